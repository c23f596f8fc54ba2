"""Metrics from ranks and lists. One target per case; rank 1 is best."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.integer[Any]]
CaseMetric = Callable[[Ranks], Floats]


def recall(ranks: Ranks, k: int) -> Floats:
    """Whether the target is among the first k, (cases,).

    >>> recall(np.array([1, 10, 11]), 10).tolist()
    [1.0, 1.0, 0.0]
    """
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: Ranks, k: int) -> Floats:
    """Discounted gain of the target among the first k, (cases,); the ideal gain is 1.

    >>> ndcg(np.array([1, 3, 11]), 10).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)


def reciprocal_rank(ranks: Ranks) -> Floats:
    """Inverse rank over the whole catalogue, (cases,).

    >>> reciprocal_rank(np.array([1, 4])).tolist()
    [1.0, 0.25]
    """
    return 1.0 / ranks


DRAWS_AT_ONCE = 10_000_000  # of a bootstrap, held in memory as int64

CASE_METRICS: dict[str, CaseMetric] = {
    "recall@10": lambda ranks: recall(ranks, 10),
    "recall@20": lambda ranks: recall(ranks, 20),
    "ndcg@10": lambda ranks: ndcg(ranks, 10),
    "ndcg@20": lambda ranks: ndcg(ranks, 20),
    "mrr": reciprocal_rank,
}


def per_user_means(values: Floats, users: npt.NDArray[np.integer[Any]]) -> Floats:
    """Average each user's cases, (users that have cases,).

    >>> per_user_means(np.array([1.0, 0.0, 1.0]), np.array([4, 4, 7])).tolist()
    [0.5, 1.0]
    """
    _, place = np.unique(users, return_inverse=True)
    means: Floats = np.bincount(place, values) / np.bincount(place)
    return means


def coverage(lists: npt.NDArray[np.integer[Any]], n_items: int) -> float:
    """Share of the catalogue that occurs in any list; −1 in a list is no item.

    >>> coverage(np.array([[0, 1], [1, -1]]), 4)
    0.5
    """
    return float(len(np.unique(lists[lists >= 0])) / n_items)


def bootstrap_interval(
    values: Floats, seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over users.

    Parameters
    ----------
    values : numpy.ndarray
        (users,).
    """
    means = bootstrap_means(values, seed, resamples)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_means(values: Floats, seed: int, resamples: int) -> Floats:
    """Draw users with replacement and average, (resamples,)."""
    rng = np.random.default_rng(seed)
    # Counting how often each distinct value is drawn is the same as drawing users, and cheap.
    distinct, counts = np.unique(values, return_counts=True)
    shares = counts / len(values)
    at_once = max(1, DRAWS_AT_ONCE // len(distinct))
    means = [
        rng.multinomial(len(values), shares, size=min(at_once, resamples - done)) @ distinct
        for done in range(0, resamples, at_once)
    ]
    return np.concatenate(means) / len(values)
