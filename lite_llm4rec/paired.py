"""Two systems on the same users → which is better, by paired bootstrap."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lite_llm4rec.errors import DataError
from lite_llm4rec.metrics import CASE_METRICS, CaseMetric, bootstrap_means, per_user_means


def compare(
    first: pa.Table,
    second: pa.Table,
    resamples: int = 2000,
    seed: int = 0,
    metrics: Mapping[str, CaseMetric] = CASE_METRICS,
) -> dict[str, Any]:
    """Compare two systems by paired bootstrap over the same users.

    Parameters
    ----------
    first, second : pyarrow.Table
        The `cases` of two evaluations of the same targets.
    resamples : int
        How often the users are drawn anew.
    seed : int
        By which they are drawn.
    metrics : mapping
        Name to what makes (cases,) values of (cases,) ranks.

    Returns
    -------
    dict
        For each metric: both means, the difference second − first, its 95 % interval and the
        share of resamples in which second is not better.

    Raises
    ------
    DataError
        When the two were not measured on the same targets.
    """
    for given in (first, second):
        if not isinstance(given, pa.Table):
            raise DataError(
                f"compare takes tables of cases, not a {type(given).__name__}.",
                "Pass the `cases` of two evaluations.",
            )
    keys = [("user_id", "ascending"), ("target_id", "ascending")]
    first, second = first.sort_by(keys), second.sort_by(keys)
    if not first.select(["user_id", "target_id"]).equals(second.select(["user_id", "target_id"])):
        raise DataError(
            "The two runs were not evaluated on the same users and targets.",
            "Evaluate both on one data set, file and split.",
        )
    users = first["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    result = {}
    for name, metric in metrics.items():
        a = per_user_means(metric(first["rank"].to_numpy()), users)
        b = per_user_means(metric(second["rank"].to_numpy()), users)
        result[name] = paired_difference(a, b, resamples, seed)
    return result


def paired_difference(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Compare two systems' values of the same users, (users,); see `compare`."""
    difference = b - a
    means = bootstrap_means(difference, seed, resamples)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "first": float(a.mean()),
        "second": float(b.mean()),
        "difference": float(difference.mean()),
        "interval": (float(low), float(high)),
        "not_better": float((means <= 0).mean()),
    }
