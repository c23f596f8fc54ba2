"""Figure 5's cells: fine-tuned, measured in both ways, written on a page, gone on with."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.paper import cell as cell_module
from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.exhibits import CHOOSERS, FORMS, cells
from lite_llm4rec.paper.report import write_report
from lite_llm4rec.paper.reproduce import reproduce
from lite_llm4rec.store import CONFIG, read_cases
from lite_llm4rec.top_n import METRICS
from tests.conftest import ring_tables

SILENT = [].append


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    tables = ring_tables(10, 130, 6, seed=0)
    wide = Dataset.from_tables(*tables, name="ml-100k", candidates="catalogue")
    monkeypatch.setattr(cell_module, "load", lambda name, root: wide)
    cell_module._load.cache_clear()
    yield Bench(tmp_path / "results", tmp_path / "runs", budget=1e-6)  # over after the first step
    cell_module._load.cache_clear()


def pods() -> list[Cell]:
    return [cell for cell in cells(["figure5"], "ml-100k", [0]) if cell.row.startswith("POD small")]


def test_every_system_has_a_cell_for_each_form_and_seed():
    found = cells(["figure5"], "ml-100k", [0, 1])
    assert len({cell.name for cell in found}) == len(found) == 2 * len(CHOOSERS) * len(FORMS)
    rows = {cell.row for cell in found}
    assert {"P5 small, as printed", "POD, history in front", "Lite-LLM4Rec, as printed"} < rows


def test_both_forms_are_fine_tuned_from_one_run(bench: Bench):
    printed, with_history = pods()
    reproduce([printed, with_history], bench, SILENT)
    runs = [path.parent for path in (bench.runs / "figure5").glob(f"*/{CONFIG}")]
    assert [path.name for path in runs] == ["ml-100k.pod-small.0.cpu-5e-07s"]
    for cell, length in ((printed, 0), (with_history, 20)):
        record = json.loads(cell.record(bench).read_text())
        assert set(METRICS) < set(record["metrics"])
        assert set(record["intervals"]) == set(METRICS)
        assert record["protocol"]["history_length"] == length
        assert [stage["stage"] for stage in record["stages"]] == ["vector", "top-n"]
        assert all(stage["cut"] for stage in record["stages"])
        held = json.loads(
            (bench.records / "figure5" / f"{cell.name[:-2]}-held-to-the-candidates.0.json")
            .read_text()
        )  # fmt: skip
        assert held["metrics"]["not offered"] == held["metrics"]["malformed"] == 0
        rows = read_cases(bench.runs / "figure5" / cell.name)
        assert rows.num_rows == 10
    longer = replace(bench, budget=2e-6)
    said: list[str] = []
    reproduce([printed], longer, said.append)
    assert "cut at 1.67e-08 min" in said[0] and "delete" in said[0]
    printed.record(bench).unlink()
    reproduce([printed], longer, SILENT)  # begins anew: the old run had less time
    assert (bench.runs / "figure5" / "ml-100k.pod-small.0.cpu-1e-06s").is_dir()
    before = printed.record(bench).stat().st_mtime_ns
    reproduce([printed], bench, SILENT)
    assert printed.record(bench).stat().st_mtime_ns == before
    page = write_report(bench.records, bench.records / "pages")[0].read_text()
    heads = "| system | R@1 | R@5 | R@10 | N@5 | N@10 | trained as | seeds | training | remarks |"
    assert heads in page
    held_line = next(line for line in page.splitlines() if "front, held to" in line)
    assert held_line.startswith("| POD small, history in front, held")
    assert "0.0% malformed" in held_line and "0.0% not offered" in held_line
    assert "| Popularity |" in page
    assert "100 given candidates" in page and "not offered" in page


def test_large_systems_want_a_gpu(bench: Bench):
    large = [cell for cell in cells(["figure5"], "ml-100k", [0]) if "small" not in cell.row]
    reproduce(large, bench, SILENT)
    assert not any(cell.is_done(bench) for cell in large)
    page = write_report(bench.records, bench.records / "pages")[0].read_text()
    assert page.count("wants a GPU") == len(large) == 14
