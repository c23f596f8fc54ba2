"""Comparing two systems on the same users."""

import numpy as np
import pyarrow as pa
import pytest

from lite_llm4rec import compare
from lite_llm4rec.errors import DataError


def cases(ranks: list[int], users: list[int] | None = None) -> pa.Table:
    users = list(range(len(ranks))) if users is None else users
    return pa.table({"user_id": users, "target_id": ["x"] * len(ranks), "rank": ranks})


def test_a_run_against_itself_differs_by_nothing():
    found = compare(cases([1, 5, 30, 11]), cases([1, 5, 30, 11]))
    assert list(found) == ["recall@10", "recall@20", "ndcg@10", "ndcg@20", "mrr"]
    for row in found.values():
        assert row["first"] == row["second"]
        assert (row["difference"], row["interval"], row["not_better"]) == (0.0, (0.0, 0.0), 1.0)


def test_what_is_no_table_of_cases():
    with pytest.raises(DataError, match=r"not a list[\s\S]*`cases` of two evaluations"):
        compare([1, 5], cases([1, 5]))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not a NoneType"):
        compare(cases([1, 5]), None)  # type: ignore[arg-type]


def test_a_better_run_is_better():
    ranks = [11 + place % 30 for place in range(200)]
    found = compare(cases(ranks), cases([1 if rank < 30 else rank for rank in ranks]))
    row = found["recall@10"]
    assert row["first"] == 0.0
    assert row["second"] == row["difference"] == np.mean(np.array(ranks) < 30)
    assert 0 < row["interval"][0] < row["difference"] < row["interval"][1]
    assert row["not_better"] == 0.0


def test_pairs_are_matched_whatever_the_order_of_rows():
    first = cases([1, 20, 3])
    found = compare(first, first.take(pa.array([2, 0, 1])))
    assert found["mrr"]["interval"] == (0.0, 0.0)


def test_a_user_with_two_cases_counts_once():
    found = compare(cases([1, 2, 2], [7, 7, 8]), cases([1, 1, 1], [7, 7, 8]))
    assert found["mrr"]["first"] == pytest.approx((0.75 + 0.5) / 2)
    assert found["mrr"]["difference"] == pytest.approx((0.25 + 0.5) / 2)


@pytest.mark.parametrize("other", [cases([1, 2], [0, 2]), cases([1])])
def test_other_users_cannot_be_compared(other: pa.Table):
    with pytest.raises(DataError, match="not evaluated on the same users and targets"):
        compare(cases([1, 2]), other)
