"""How far an export is from the model that it was made of: scores, lists, recall, time."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.evaluate import encode_cases, rank_cases
from lite_llm4rec.metrics import per_user_means, recall
from lite_llm4rec.models import EncoderModel, ExportedModel, SequenceModel
from lite_llm4rec.paired import paired_difference
from lite_llm4rec.rank import top_k
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import machine
from lite_llm4rec.sample_histories import Histories, sample_histories

CASES, SCORED = 10_000, 256
LIST_LENGTH = 10
TURNS = {1: 6, 32: 2}  # of each latency's batch size
CALLS = 4  # timed in a turn
LOWEST_OVERLAP = 0.9
LARGEST_LOSS = 0.01  # of the recall, relative


def measure(
    recommender: Recommender, exported: ExportedModel, dataset: Dataset | None
) -> dict[str, Any]:
    """Compare an export with its model.

    Parameters
    ----------
    recommender : Recommender
        The model that was exported.
    exported : ExportedModel
    dataset : Dataset, optional
        Up to 10,000 of its validation's users are compared; without it, drawn histories.

    Returns
    -------
    dict
        `largest_score_error` and the scores' `score_std`, both in logits; `top10_overlap`, the
        mean share of the model's ten best that the export lists too; `recall@10` of both with the
        95 % paired bootstrap interval of their difference over users, None for drawn histories;
        `latency_ms` of a pass at batch 1 and 32, and how many times faster the export is.

    Raises
    ------
    DataError
        When the data set's items are not this model's, or its histories are too short to split.
    """
    model = recommender.model
    assert isinstance(model, EncoderModel)
    histories = sample_histories(recommender, dataset, CASES)
    filtered = not recommender.preset.repeats
    before, after = (
        rank_cases(one, histories.items, histories.cases, seen_filter=filtered)
        for one in (model, exported)
    )
    return {
        "runtime": exported.config.runtime,
        "precision": exported.config.precision,
        "cases": len(histories.cases),
        "histories": f"validation of {dataset.name}" if dataset else "drawn",
        **_scores(model, exported, histories),
        "top10_overlap": overlap(before[1], after[1]),
        "recall@10": _recalls(before[0], after[0], histories) if histories.known else None,
        "latency_ms": latencies(model, exported, TURNS),
        "machine": machine(),
    }


def faults(report: dict[str, Any]) -> list[str]:
    """Say what in a report is reason to refuse an export; nothing when it may be used."""
    found = []
    if report["top10_overlap"] < LOWEST_OVERLAP:
        found.append(
            f"The ten best items agree to {report['top10_overlap']:.3f} only, of at least"
            f" {LOWEST_OVERLAP}."
        )
    change = report["recall@10"]
    if change is None:
        if report["precision"] != "fp32":
            found.append("How recall@10 changes is not known without the data (--data).")
    elif change["interval"][0] < -LARGEST_LOSS * change["first"]:
        found.append(
            f"Recall@10 changes by {change['difference']:+.5f} from {change['first']:.4f}, and the"
            f" interval reaches down to {change['interval'][0]:+.5f}: more than"
            f" {100 * LARGEST_LOSS:.0f} % may be lost."
        )
    return found


@torch.no_grad()
def _scores(model: SequenceModel, exported: SequenceModel, histories: Histories) -> dict[str, Any]:
    few = histories.cases.take(np.arange(min(SCORED, len(histories.cases))))
    before, after = (encode_cases(one, histories.items, few, "cpu") for one in (model, exported))
    matrix = exported.item_matrix()
    # The matrix is the same, so that the largest scores of the difference are the largest errors.
    errors = [top_k(sign * (after - before), matrix, 1)[1].max() for sign in (1, -1)]
    some = matrix[:: max(1, len(matrix) // 1000)]
    return {
        "largest_score_error": float(max(errors)),
        "score_std": float((before @ some.T).std()),
    }


def overlap(first: Ints, second: Ints) -> float:
    """Average the share of each list that the other holds too, (cases, k) items, −1 is none.

    >>> overlap(np.array([[1, 2], [3, -1]]), np.array([[2, 5], [3, -1]]))
    0.75
    """
    there = first >= 0
    common = (first[:, :, None] == second[:, None, :]).any(2) & there
    return float((common.sum(1) / there.sum(1).clip(1)).mean())


def _recalls(first: Ints, second: Ints, histories: Histories) -> dict[str, Any]:
    users = histories.cases.users
    a, b = (per_user_means(recall(ranks, LIST_LENGTH), users) for ranks in (first, second))
    return paired_difference(a, b)


@torch.no_grad()
def latencies(
    model: EncoderModel, exported: ExportedModel, turns: dict[int, int]
) -> dict[str, dict[str, float]]:
    """Time both encoders on full histories, in `turns` turns for each batch size.

    A turn is several calls of the same, as a service has one of the two: what the other has left
    in the caches, and its threads that are still awake, are not to be in the way.

    Returns
    -------
    dict
        For each batch size the medians in milliseconds and `ratio`, eager torch ÷ export.
    """
    found = {}
    for batch, repeats in turns.items():
        items = torch.randint(len(exported.matrix), (batch, model.history_length))
        mask = torch.ones_like(items, dtype=torch.bool)
        runs = [partial(one.user_vectors, items, mask) for one in (model, exported)]
        torch_ms, exported_ms = _alternate(runs, repeats)
        found[f"batch {batch}"] = {
            "torch": round(torch_ms, 3),
            "exported": round(exported_ms, 3),
            "ratio": round(torch_ms / exported_ms, 2),
        }
    return found


def _alternate(runs: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Give the median milliseconds of each; a turn's first call does not count."""
    spent: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, seconds in zip(runs, spent, strict=True):
            run()
            for _ in range(CALLS):
                started = time.perf_counter()
                run()
                seconds.append(time.perf_counter() - started)
    return [1000 * statistics.median(seconds) for seconds in spent]
