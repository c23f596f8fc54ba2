"""User vectors on a GPU: CUDA graphs of fixed shapes against eager torch, all in one run.

`Recommender.compile` makes such graphs. The models have the shape of the paper's on ML-1M
(T5-small's encoder, histories of 20) and of the preset fast/long (2 blocks of width 128, 64
items); weights are drawn: time does not depend on them.

    python benchmarks/compiled.py    # wants a GPU
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lite_llm4rec.compiled import FixedShapes
from lite_llm4rec.machine import Machine
from lite_llm4rec.models import (
    MODELS,
    CatalogueFacts,
    CausalConfig,
    EncoderModel,
    LiteConfig,
    ModelConfig,
)
from lite_llm4rec.paper.timing import ratio, side_by_side, spread
from lite_llm4rec.records import write_benchmark

RESULT = Path(__file__).parents[1] / "results" / "benchmarks" / "compiled.json"
N_ITEMS, WIDTH = 3706, 512
BATCHES = (1, 32)
TURNS = 50
SHAPES: dict[str, ModelConfig] = {
    "T5-small's shape": LiteConfig(backbone="t5", from_scratch=True, history_length=20),
    "fast/long's shape": CausalConfig(
        shape={"width": 128, "blocks": 2, "heads": 4, "positions": "rotary"}, history_length=64
    ),
}


def measure(name: str, config: ModelConfig, device: str) -> dict[str, Any]:
    """Time one model at each batch size."""
    facts = CatalogueFacts(torch.randn(N_ITEMS, WIDTH), torch.ones(N_ITEMS, dtype=torch.int64))
    model: Any = MODELS[config.kind].create(config, facts).eval().to(device)
    assert isinstance(model, EncoderModel)
    fixed = FixedShapes(model.encode, model.history_length, BATCHES)
    found = {}
    for batch in BATCHES:
        items = torch.randint(N_ITEMS, (batch, model.history_length), device=device)
        with torch.no_grad():
            vectors, mask = model.input_vectors(items), torch.ones_like(items, dtype=torch.bool)
            torch.testing.assert_close(
                fixed(vectors, mask), model.encode(vectors, mask), atol=1e-4, rtol=1e-3
            )
        works = {
            "eager": partial(model.encode, vectors, mask),
            "compiled": partial(fixed, vectors, mask),
        }
        times = side_by_side(works, TURNS, device)
        found[f"batch {batch}"] = {
            **{f"{way}_ms": round(1000 * spread(times[way]).median, 3) for way in times},
            "ratio": round(ratio(times["eager"], times["compiled"]).median, 2),
        }
        print(name, batch, found[f"batch {batch}"], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.manual_seed(0)
    device = Machine("cuda").name()
    found = {name: measure(name, config, device) for name, config in SHAPES.items()}
    print(
        write_benchmark(
            options.out,
            "user vectors on a GPU: milliseconds of eager torch ÷ those of CUDA graphs of a fixed"
            " shape (`Recommender.compile`), the ratio at T5-small's shape for one history",
            found["T5-small's shape"]["batch 1"]["ratio"],
            {"items": N_ITEMS, "measured": found},
        )
    )


if __name__ == "__main__":
    main()
