"""What a parity report says, and what it is reason to refuse."""

import json
from pathlib import Path

import numpy as np

from lite_llm4rec.export import PARITY
from lite_llm4rec.parity import faults, overlap
from lite_llm4rec.store import EXPORT


def test_the_report_of_an_exact_export(exported_folder: Path):
    report = json.loads((exported_folder / EXPORT / PARITY).read_text())
    assert report["cases"] == 40
    assert report["largest_score_error"] < 1e-4 < report["score_std"]
    assert report["top10_overlap"] == 1.0
    assert report["recall@10"]["interval"] == [0.0, 0.0]
    assert set(report["latency_ms"]) == {"batch 1", "batch 32"}
    assert faults(report) == []


def test_what_counts_as_too_far():
    change = {"first": 0.2, "difference": -0.0005, "interval": [-0.0019, 0.001]}
    good = {"precision": "int8", "top10_overlap": 0.95, "recall@10": change}
    assert faults(good) == []
    assert "0.890" in faults({**good, "top10_overlap": 0.89})[0]
    wide = {**change, "interval": [-0.0021, 0.001]}
    assert "-0.00210" in faults({**good, "recall@10": wide})[0]
    assert len(faults({**good, "recall@10": None})) == 1
    assert faults({**good, "precision": "fp32", "recall@10": None}) == []


def test_overlap_counts_items_not_places():
    assert overlap(np.array([[1, 2, 3]]), np.array([[3, 1, 2]])) == 1.0
    assert overlap(np.array([[1, 2], [4, 5]]), np.array([[3, 1], [6, 7]])) == 0.25
