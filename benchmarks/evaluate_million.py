"""Ranking targets among 1,000,000 items: time and memory, ours against sorting all scores.

Each measurement is a process of its own, so that its peak memory is its own.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parents[1] / "results" / "benchmarks" / "evaluate_million.json"
CASES, BATCH, WIDTH, HISTORY = 512, 256, 64, 50
TURNS = 3


def vectors(n_items: int) -> tuple[Any, Any, Any, Any]:
    """User vectors, item matrix, targets, and seen items as (cases, HISTORY)."""
    import torch

    generator = torch.Generator().manual_seed(0)
    users = torch.randn(CASES, WIDTH, generator=generator)
    matrix = torch.randn(n_items, WIDTH, generator=generator)
    targets = torch.randint(0, n_items, (CASES,), generator=generator)
    seen = torch.randint(0, n_items, (CASES, HISTORY), generator=generator)
    return users, matrix, targets, seen


def ours(n_items: int) -> dict[str, Any]:
    import torch

    from lite_llm4rec.rank import Seen, target_ranks

    users, matrix, targets, seen = vectors(n_items)
    before, started, ranks = peak(), time.perf_counter(), []
    for first in range(0, CASES, BATCH):
        part = slice(first, first + BATCH)
        rows = torch.arange(BATCH).repeat_interleave(HISTORY)
        items = seen[part].flatten()
        other = items != targets[part][rows]
        hidden = Seen(rows[other], items[other])
        ranks.append(target_ranks(users[part], matrix, targets[part], hidden))
    return {
        "seconds": time.perf_counter() - started,
        "added_mb": peak() - before,
        "checksum": int(torch.cat(ranks).sum()),
    }


def sorting(n_items: int) -> dict[str, Any]:
    """Keep a batch's whole score matrix and sort it, as evaluation loops often do."""
    import torch

    users, matrix, targets, seen = vectors(n_items)
    before, started, total = peak(), time.perf_counter(), 0
    for first in range(0, CASES, BATCH):
        part = slice(first, first + BATCH)
        scores = users[part] @ matrix.T
        own = scores.gather(1, targets[part, None])
        scores.scatter_(1, seen[part], -torch.inf)
        scores.scatter_(1, targets[part, None], own)
        order = scores.argsort(1, descending=True)
        total += int((order == targets[part, None]).nonzero()[:, 1].sum()) + BATCH
    return {
        "seconds": time.perf_counter() - started,
        "added_mb": peak() - before,
        "checksum": total,
    }


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux gives KiB


def alone(task: Callable[[int], Any], n_items: int) -> Any:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(task, n_items).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()

    turns = [(alone(ours, options.items), alone(sorting, options.items)) for _ in range(TURNS)]
    sums = [side["checksum"] for turn in turns for side in turn]
    # Scores that differ by a rounding may stand either way round.
    assert max(sums) - min(sums) < 1e-4 * min(sums), f"the ranks differ: {sums}"
    mine, theirs = ([turn[side] for turn in turns] for side in (0, 1))
    seconds = [statistics.median(run["seconds"] for run in side) for side in (mine, theirs)]
    memory = [round(max(run["added_mb"] for run in side)) for side in (mine, theirs)]

    # Only now: torch in this process would count in the peak of the processes it starts.
    from lite_llm4rec.records import write_benchmark

    print(
        write_benchmark(
            options.out,
            f"ranks of {CASES:,} targets among {options.items:,} items: seconds of sorting all"
            f" scores ÷ ours (added memory {memory[0]:,} MB against {memory[1]:,} MB)",
            seconds[1] / seconds[0],
            {"items": options.items, "cases": CASES, "ours": mine, "sorting": theirs},
        )
    )


if __name__ == "__main__":
    main()
