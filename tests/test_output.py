import io
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from lite_llm4rec.card import METRIC_ORDER
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.doctor_report import Finding, Report
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.evaluate import Protocol
from lite_llm4rec.lists import Recommendations
from lite_llm4rec.output import show_evaluation, show_report, show_results, show_run, write_stream
from tests.conftest import ring_tables, untrained


def test_results_fit_a_narrow_terminal():
    protocol = Protocol(
        "ml-1m-sasrec", "0" * 64, "order", None, "leave_one_out", "test", "interacted", 3416,
        True, 20,
    )  # fmt: skip
    names = ["popularity", "nearest text", "Lite-LLM4Rec"]
    metrics = dict.fromkeys(METRIC_ORDER, 0.1234)
    out = io.StringIO()
    show_results(Console(file=out, width=80), protocol, [(name, metrics) for name in names])
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for name in names:
        (row,) = [line for line in lines if name in line]
        assert row.count("0.1234") == len(METRIC_ORDER)
    shown = " ".join(out.getvalue().split())
    assert "R@10" in shown and "R recall, N NDCG, C coverage" in shown
    assert "3,416 candidates (interacted)" in shown


def test_targets_that_no_ranking_can_hold_are_told():
    dataset = Dataset.from_tables(*ring_tables(30, 4, 6, seed=0))
    for removed, told in ((True, "which the ranking leaves out: these are missed"), (False, "")):
        out = io.StringIO()
        found = untrained(dataset).evaluate(dataset, seen_filter=removed)
        show_evaluation(Console(file=out, width=200), found)
        assert "30 targets occur in their own history" in out.getvalue()
        assert ("--set repeats=true" in out.getvalue()) == removed
        assert told in out.getvalue()


def test_a_stage_that_was_not_validated_is_shown_by_what_it_cost():
    config = {
        "format_version": 1,
        "shape": [20, 0],
        "preset": {"name": "s3rec/short", "model": {"kind": "s3rec", "history_length": 50}},
    }
    stages = [
        {"stage": "pretrain", "epochs": 3, "seconds": 2.0, "best": None},
        {"stage": "vector", "epochs": 4, "seconds": 5.0, "best": 0.5},
    ]
    out = io.StringIO()
    show_run(Console(file=out, width=80), Path("run"), config, {"stages": stages})
    assert "S3-Rec, 20 items, history ≤ 50" in out.getvalue()
    assert "pretrain stage: 3 epochs, 2 s\n" in out.getvalue()
    assert "vector stage: 4 epochs, 5 s, valid recall@10 0.5000\n" in out.getvalue()


def test_lists_are_written_as_their_file_is_called(tmp_path: Path):
    one = Recommendations(None, [[7, 8]], [["Seven", "A, B"]], [[0.5, 0.25]], [""])
    assert write_stream(iter([one, one]), tmp_path / "new" / "lists.csv") == 4
    expected = pa.concat_tables([one.to_table()] * 2).drop_columns("note")
    found = pa.csv.read_csv(tmp_path / "new" / "lists.csv")
    assert found.drop_columns("note").to_pylist() == expected.to_pylist()
    with pytest.raises(ConfigError, match=r"Parquet or CSV[\s\S]*lists.parquet, or lists.csv"):
        write_stream(iter([one]), tmp_path / "lists.txt")
    assert not (tmp_path / "lists.txt").exists()


def test_a_report_fits_a_narrow_terminal_and_cuts_nothing():
    finding = Finding("warning", "code", "Some [users] are odd. " * 9, "Look at them. " * 9)
    out = io.StringIO()
    console = Console(file=out, width=80)
    show_report(console, Report([("sequences_sha256", "0123456789abcdef" * 4)], [finding]))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    told = " ".join(out.getvalue().split())
    assert " ".join(finding.message.split()) in told
    assert f"What to do: {finding.remedy.strip()}" in told
    assert "0123456789abcdef" * 4 in told.replace(" ", "")
    beside = [line for line in lines if "odd" in line][1:]
    assert beside and all(line.startswith("         ") for line in beside)


def test_lists_without_items_are_written_too(tmp_path: Path):
    none = Recommendations(None, [[]], [[]], [[]], [""])
    one = Recommendations(None, [[7]], [["Seven"]], [[0.5]], [""])
    for parts, rows in (([none, one, none], 1), ([none], 0), ([], 0)):
        path = tmp_path / f"{len(parts)}.parquet"
        assert write_stream(iter(parts), path) == rows
        assert path.is_file()
        if rows:
            assert pq.read_table(path).to_pylist() == one.to_table().to_pylist()
