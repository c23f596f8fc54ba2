"""Full cross-entropy over the catalogue, forward and backward: ours against torch's two."""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import LinearCrossEntropyOptions, functional

from lite_llm4rec.losses import full_cross_entropy
from lite_llm4rec.records import write_benchmark

RESULT = Path(__file__).parents[1] / "results" / "benchmarks" / "losses.json"
SHAPES = {"Toys 2014": (900, 11_924, 128), "ML-1M": (3_500, 3_416, 128)}  # targets, items, width
TURNS = 9

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def plain(users: torch.Tensor, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(users @ items.T, targets)


def chunked(users: torch.Tensor, items: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    options = LinearCrossEntropyOptions()
    return functional.linear_cross_entropy(users, items, targets, options=options)


SIDES: dict[str, tuple[Loss, bool]] = {
    "ours, bf16": (full_cross_entropy, True),
    "ours, fp32": (full_cross_entropy, False),
    "cross_entropy of all logits, bf16": (plain, True),
    "cross_entropy of all logits, fp32": (plain, False),
    "linear_cross_entropy, fp32": (chunked, False),
}


def seconds(loss: Loss, low: bool, shape: tuple[int, int, int]) -> float:
    """Time one forward and backward pass."""
    targets, n_items, width = shape
    users = torch.randn(targets, width, requires_grad=True)
    items = (torch.randn(n_items, width) * 0.1).requires_grad_()
    chosen = torch.randint(n_items, (targets,))
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        loss(users, items, chosen).backward()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    medians: dict[str, dict[str, float]] = {}
    for data, shape in SHAPES.items():
        turns = [
            {name: seconds(loss, low, shape) for name, (loss, low) in SIDES.items()}
            for _ in range(TURNS)
        ]
        medians[data] = {name: statistics.median(turn[name] for turn in turns) for name in SIDES}
    toys = medians["Toys 2014"]
    print(
        write_benchmark(
            options.out,
            "full cross-entropy over 11,924 items for 900 targets of width 128, forward and"
            " backward: torch's linear_cross_entropy (fp32) ÷ ours (bf16)",
            toys["linear_cross_entropy, fp32"] / toys["ours, bf16"],
            {"seconds": medians},
        )
    )


if __name__ == "__main__":
    main()
