"""What needs no training stands once on a page, or once per outcome."""

from typing import Any

from lite_llm4rec.paper.report import _named


def beside(cell: str, recall: float) -> dict[str, Any]:
    named = {"dataset": "ml-100k", "model": "Nearest text"}
    return {**named, "cell": f"ml-100k.{cell}.0.nearest-text", "metrics": {"recall@10": recall}}


def test_one_outcome_has_one_row():
    rows = _named([beside("mean", 0.1), beside("first-token", 0.1)])
    assert [row["row"] for row in rows] == ["Nearest text"]


def test_outcomes_that_differ_are_told_apart():
    rows = _named([beside("mean", 0.1), beside("first-token", 0.2)])
    assert {row["row"]: row["metrics"]["recall@10"] for row in rows} == {
        "Nearest text, beside mean": 0.1,
        "Nearest text, beside first-token": 0.2,
    }
