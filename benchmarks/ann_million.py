"""One user's ten best of a million items: the index against exact search, both in one run.

The catalogue is made up of a real one: each further item is a real item's vector and noise, of
random direction and as long as the way from a real item to its nearest neighbour.

python benchmarks/ann_million.py [--run RUN_FOLDER --data NAME]
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.sources import load
from lite_llm4rec.evaluate import encode_cases
from lite_llm4rec.index import Index
from lite_llm4rec.models import SequenceModel
from lite_llm4rec.rank import Seen, seen_items, top_k
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_benchmark
from lite_llm4rec.sample_histories import sample_histories

RESULT = Path(__file__).parents[1] / "results" / "benchmarks" / "ann_million.json"
FITTED, ASKED, TURNS = 1000, 1000, 100
SMALLER = (5_000, 10_000, 20_000, 50_000, 100_000)  # where the index begins to pay
SAMPLE = 1000  # real items whose nearest neighbours are looked up


def trained(data: str, run: Path | None, seconds: float) -> tuple[Recommender, Dataset]:
    dataset = load(data)
    if run is not None:
        return Recommender.load(run), dataset
    found = Recommender.fit(dataset, "fast", max_seconds=seconds, device="cpu")
    return found, dataset


def enlarged(real: torch.Tensor, width: int, n_items: int) -> torch.Tensor:
    """Real items first, then noisy ones, (n_items, dim); columns behind `width` get no noise."""
    generator = torch.Generator().manual_seed(0)
    sample = real[torch.randperm(len(real), generator=generator)[:SAMPLE], :width]
    nearest = torch.cdist(sample, real[:, :width]).topk(2, largest=False)[0][:, 1]
    sources = torch.randint(len(real), (max(0, n_items - len(real)),), generator=generator)
    noise = torch.randn(len(sources), width, generator=generator)
    length = nearest[torch.randint(len(nearest), (len(sources), 1), generator=generator)]
    noisy = real[sources]
    noisy[:, :width] += torch.nn.functional.normalize(noise, dim=1) * length
    return torch.cat([real, noisy])[:n_items]


def alternate(matrix: torch.Tensor, index: Index, users: torch.Tensor, seen: Seen) -> Any:
    """Median milliseconds for one user, exact and by the index, in turn."""
    spent: dict[str, list[float]] = {"exact": [], "index": []}
    for row in range(TURNS + 3):
        one = Seen(torch.zeros_like(seen.rows[seen.rows == row]), seen.items[seen.rows == row])
        user = users[row : row + 1]
        for name, search in (
            ("exact", lambda user=user, one=one: top_k(user, matrix, 10, one)),
            ("index", lambda user=user, one=one: index.top_k(user, 10, one)),
        ):
            started = time.perf_counter()
            search()
            if row >= 3:  # the first warm up
                spent[name].append(time.perf_counter() - started)
    return {name: 1000 * statistics.median(times) for name, times in spent.items()}


def measure(
    matrix: torch.Tensor, fitted: torch.Tensor, users: torch.Tensor, seen: Seen, recall: float
) -> dict[str, Any]:
    started = time.perf_counter()
    index = Index.build(matrix, fitted, recall)
    seconds = time.perf_counter() - started
    exact, found = top_k(users, matrix, 10, seen)[0], index.top_k(users, 10, seen)[0]
    hits = (exact[:, :, None] == found[:, None, :]).any(2)
    return {
        "items": len(matrix),
        "milliseconds": alternate(matrix, index, users, seen),
        "recall": float(hits.float().mean()),
        "cells": index.facts.cells,
        "probes": index.facts.probes,
        "build_seconds": seconds,
    }


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--data", default="amazon-toys-2014")
    parser.add_argument("--train-seconds", type=float, default=120)
    parser.add_argument("--recall", type=float, default=0.992, help="for which it is built")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    with torch.enable_grad():
        recommender, dataset = trained(options.data, options.run, options.train_seconds)
    torch.set_num_threads(options.threads)
    model = recommender.model
    assert isinstance(model, SequenceModel)
    sample = sample_histories(recommender, dataset, FITTED + ASKED)
    fitted = encode_cases(model, sample.items, sample.cases.take(np.arange(FITTED)), "cpu")
    rest = sample.cases.take(np.arange(FITTED, len(sample.cases)))
    users = encode_cases(model, sample.items, rest, "cpu")
    seen = seen_items(sample.items, rest.starts, rest.positions)
    real = model.item_matrix()
    largest = enlarged(real, real.shape[1] - model.bias_columns, options.items)
    sizes = [*[size for size in SMALLER if size < options.items], options.items]
    rows = []
    for size in sizes:
        # Histories name real items, so that a smaller catalogue than theirs knows not all of them.
        known = Seen(seen.rows[seen.items < size], seen.items[seen.items < size])
        rows.append(measure(largest[:size].contiguous(), fitted, users, known, options.recall))
        print(rows[-1], flush=True)
    times = rows[-1]["milliseconds"]
    print(
        write_benchmark(
            options.out,
            f"ten best of {options.items:,} items for one user at recall"
            f" {rows[-1]['recall']:.3f}: milliseconds of exact search ÷ the index's"
            f" ({times['exact']:.1f} ms against {times['index']:.1f} ms)",
            times["exact"] / times["index"],
            {
                "data": options.data,
                "made_up": "real item vectors, then copies with noise as long as the way to the"
                " nearest neighbour",
                "users": len(users),
                "sizes": rows,
            },
        )
    )


if __name__ == "__main__":
    main()
