"""Training steps per second, and what fraction of the time is the model itself.

The bare loop runs forward, backward and AdamW on batches that are already there; `fit` makes its
batches, seeds its dropout, logs and keeps its checkpoints. Both in turn, medians.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from lite_llm4rec.data.batching import make_batch
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.sampling import random_segment
from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.data.synthetic import big_log
from lite_llm4rec.machine import Machine
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.models.lite import LiteConfig, LiteLLM4Rec
from lite_llm4rec.preset import load_preset
from lite_llm4rec.records import write_benchmark
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.train import fit

RESULT = Path(__file__).parents[1] / "results" / "benchmarks" / "train_steps.json"
USERS, ITEMS, INTERACTIONS, WIDTH = 12_800, 4_000, 640_000, 384
TURNS = 3


def bare(model: LiteLLM4Rec, split: Split, stage: StageConfig, steps: int) -> float:
    """Seconds per step of the model alone, on the batches of `fit`'s first epoch."""
    examples = random_segment(split, model.history_length, 0, 0)
    rows = [slice(at, at + stage.batch) for at in range(0, len(examples), stage.batch)]
    items = split.interactions.items
    batches = [make_batch(items, examples.starts[part], examples.targets[part]) for part in rows]
    optimizer = torch.optim.AdamW(model.parameters(), lr=stage.lr, fused=True)
    model.train()
    started = time.perf_counter()
    for batch in batches[:steps]:
        optimizer.zero_grad()
        model.training_loss(batch).backward()
        optimizer.step()
    return (time.perf_counter() - started) / steps


def whole(model: LiteLLM4Rec, split: Split, stage: StageConfig, steps: int) -> float:
    """Seconds per step of `fit`, validation left out."""
    timed: list[float] = []
    loss = model.training_loss

    def noted(batch: object) -> torch.Tensor:
        timed.append(time.perf_counter())
        return loss(batch)  # type: ignore[arg-type]

    model.training_loss = noted  # type: ignore[method-assign,assignment]
    with tempfile.TemporaryDirectory() as folder:
        fit(model, split, stage, Path(folder), machine=Machine("cpu"), progress=False)
    model.training_loss = loss  # type: ignore[method-assign]
    return (timed[steps - 1] - timed[0]) / (steps - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()

    dataset = Dataset.from_tables(big_log(USERS, ITEMS, INTERACTIONS, 0), name="made-up")
    split = leave_one_out(dataset.interactions)
    preset = load_preset("cpu/small")
    assert preset.vector is not None
    stage = StageConfig(batch=preset.vector.batch, lr=1e-3, epochs=1)
    steps = USERS // stage.batch
    assert isinstance(preset.model, LiteConfig)
    n_items = len(dataset.catalogue)
    model = LiteLLM4Rec.create(
        preset.model, CatalogueFacts(torch.randn(n_items, WIDTH), torch.ones(n_items))
    )
    bare(model, split, stage, 10)
    turns = [
        (bare(model, split, stage, steps), whole(model, split, stage, steps)) for _ in range(TURNS)
    ]
    model_only, with_all = (statistics.median(side) for side in zip(*turns, strict=True))
    print(
        write_benchmark(
            options.out,
            "preset `cpu/small`, 4,000 items: seconds per step of the bare model ÷ of `fit`, that"
            " is the fraction of training that is the model",
            model_only / with_all,
            {
                "steps_per_second": {"bare": 1 / model_only, "fit": 1 / with_all},
                "batch": stage.batch,
                "seconds_per_step": turns,
            },
        )
    )


if __name__ == "__main__":
    main()
