"""What a causal mask costs weights that were pretrained to look both ways.

    python experiments/causal_mask.py results/causal-mask --minutes 10

MiniLM's first layers are the Recommendation LLM, once as they were made and once looking back
only; all else is alike: the last position is the user vector and alone is taught, one segment per
user and epoch, as a mask that looks ahead allows no more. Beside both, the same with weights drawn
anew. The time is the same for each, validation chooses the epoch, and records that exist are
skipped.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from lite_llm4rec.config import to_dict
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.data.sources import load
from lite_llm4rec.losses import full_cross_entropy
from lite_llm4rec.models import CatalogueFacts, CausalConfig, CausalLLM4Rec, register
from lite_llm4rec.preset import Preset, TextConfig
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_record
from lite_llm4rec.stage_config import StageConfig

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
LAYERS = 2


@dataclass(frozen=True)
class LastPositionConfig(CausalConfig):
    kind: Literal["last-position"] = "last-position"  # type: ignore[assignment]
    two_way: bool = False


class LastPosition(CausalLLM4Rec):
    """The causal model, taught at its last position alone, with either mask."""

    @classmethod
    def create(cls, config: LastPositionConfig, facts: CatalogueFacts) -> "LastPosition":  # type: ignore[override]
        made = super().create(config, facts)
        made.backbone.causal = not config.two_way
        assert isinstance(made, LastPosition)
        return made

    def training_loss(self, batch: Batch) -> torch.Tensor:
        table = self.items.matrix()
        states = self.position_vectors(table[batch.items], batch.mask)
        last = batch.mask.sum(1) - 1
        users = states[torch.arange(len(last), device=last.device), last]
        return full_cross_entropy(users, self._scored_by(table), batch.targets)


def preset_of(two_way: bool, from_scratch: bool, seed: int) -> Preset:
    return Preset(
        f"{'two-way' if two_way else 'causal'}, {'anew' if from_scratch else 'pretrained'}",
        seed=seed,
        text=TextConfig(MINILM, max_tokens=64),
        model=LastPositionConfig(
            backbone=MINILM,
            from_scratch=from_scratch,
            shape={"num_hidden_layers": LAYERS},
            history_length=20,
            dropout=0.2,
            two_way=two_way,
        ),
        vector=StageConfig(
            strategy="sampling", batch=128, lr=5e-4, epochs=200, validate_every=2, patience=50,
            schedule="linear", warmup=0.02,
        ),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="amazon-toys-2014")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    register(LastPosition, LastPositionConfig, "One position taught")
    dataset = load(options.data)
    for from_scratch in (False, True):
        for two_way in (True, False):
            preset = preset_of(two_way, from_scratch, options.seed)
            cell = f"{options.data}-{preset.name.replace(', ', '-')}-{options.seed}"
            path = options.out / f"{cell}.json"
            if path.exists():
                continue
            with tempfile.TemporaryDirectory() as folder:
                model = Recommender.fit(
                    dataset, preset, folder=folder, device="cpu",
                    max_seconds=60 * options.minutes,
                )  # fmt: skip
            found = model.evaluate(dataset, part="valid")
            stage = model.stages[-1]
            write_record(
                path, found, model=f"MiniLM, {LAYERS} layers, {preset.name}", preset=preset.name,
                seed=options.seed, seconds=stage["seconds"],
                details={"epochs": stage["epochs"], "settings": to_dict(preset)},
            )  # fmt: skip
            print(preset.name, found.metrics["recall@10"], stage, flush=True)


if __name__ == "__main__":
    main()
