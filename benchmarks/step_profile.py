"""Where a training step of the default presets spends its time, part by part.

python benchmarks/step_profile.py --data amazon-toys-2014
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from lite_llm4rec.data.batching import make_batch
from lite_llm4rec.data.sources import load
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.losses import catalogue_loss
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.models.causal import CausalConfig, CausalLLM4Rec
from lite_llm4rec.preset import load_preset, preset_for
from lite_llm4rec.records import write_benchmark
from lite_llm4rec.train import Task

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
STEPS, TEXT_WIDTH = 40, 384


class Clock:
    """Gathers the seconds of named parts."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)


def steps(model: CausalLLM4Rec, task: Task, clock: Clock) -> Iterator[int]:
    """Train, part by part; give the targets that each step teaches."""
    assert isinstance(model.config, CausalConfig)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    examples, batch = task.examples(0), task.stage.batch
    for first in range(0, min(STEPS, len(examples) // batch) * batch, batch):
        with clock.part("batch"):
            part = examples.take(torch.arange(first, first + batch).numpy())
            made = make_batch(task.split.interactions.items, part.starts, part.targets)
        with torch.autocast("cpu", torch.bfloat16):
            with clock.part("item vectors"):
                table = model.items.matrix()
                vectors = table[made.items]
            with clock.part("transformer"):
                users = model.position_vectors(vectors, made.mask)[made.mask]
            with clock.part("loss and its gradient"):
                loss = catalogue_loss(
                    users, table, made.following[made.mask], model.counts, model.config.loss
                )
        with clock.part("backward of the rest"):
            loss.backward()
        with clock.part("optimizer"):
            optimizer.step()
            optimizer.zero_grad()
        yield len(users)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="amazon-toys-2014")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dataset = load(options.data)
    split = leave_one_out(dataset.interactions)
    preset = load_preset(preset_for("fast", dataset))
    assert isinstance(preset.model, CausalConfig) and preset.vector is not None
    text = torch.randn(len(dataset.catalogue), TEXT_WIDTH)
    model = CausalLLM4Rec.create(preset.model, CatalogueFacts(text, torch.ones(len(text))))
    clock = Clock()
    taught = list(steps(model.train(), Task(model, split, preset.vector, 0), clock))
    medians = {name: statistics.median(values) for name, values in clock.seconds.items()}
    whole = sum(medians.values())
    parts = ", ".join(f"{name} {100 * value / whole:.0f} %" for name, value in medians.items())
    print(
        write_benchmark(
            RESULTS / f"step_profile_{options.data}.json",
            f"share of a training step of {preset.name} on {options.data} that is the loss and its"
            f" gradient; all parts: {parts}",
            medians["loss and its gradient"] / whole,
            {
                "milliseconds": {name: round(1000 * value, 2) for name, value in medians.items()},
                "share": {name: round(value / whole, 3) for name, value in medians.items()},
                "targets_per_step": round(statistics.mean(taught)),
                "targets_per_second": round(statistics.mean(taught) / whole),
            },
        )
    )


if __name__ == "__main__":
    main()
