"""The paper's cells: listed, measured once, gone on with, and written as pages."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import ConfigError, Interrupted
from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.exhibits import EXHIBITS, cells
from lite_llm4rec.paper.published import TABLE_4
from lite_llm4rec.paper.report import write_report
from lite_llm4rec.paper.reproduce import reproduce
from lite_llm4rec.paper.systems import SYSTEMS
from lite_llm4rec.records import write_values

SILENT = [].append


def test_every_system_of_table_4_has_a_cell_per_seed():
    found = cells(["table4"], "ml-1m", [0, 1])
    assert len(found) == 2 * len(SYSTEMS)
    assert len({cell.name for cell in found}) == len(found)
    assert all(len(rows) == 9 for rows in TABLE_4.values())
    assert {cell.exhibit for cell in cells(["all"], "ml-1m", [0])} == set(EXHIBITS)


def test_a_table_that_the_paper_does_not_have():
    with pytest.raises(ConfigError, match="did you mean 'table4'"):
        cells(["tabel4"], "ml-1m", [0])


def test_a_preset_that_is_none_is_told_before_the_first_cell(tmp_path: Path):
    for name in ("fats/short", str(tmp_path / "nope.toml")):
        with pytest.raises(ConfigError):
            cells(["table4"], "ml-1m", [0], [name])
    assert cells(["table4"], "ml-1m", [0, 0], ["fast"])[0].row == "fast"  # one's own come first
    rows = [cell.row for cell in cells(["table4"], "ml-1m", [0, 0], ["fast"])]
    assert rows.count("fast") == 1
    with pytest.raises(ConfigError, match="--also puts a preset into Table 4"):
        cells(["table3"], "ml-1m", [0], ["fast"])


def test_two_presets_do_not_share_a_row(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text('[model]\nkind = "sasrec"\n[vector]\n')
    both = [str(tmp_path / folder / "mine.toml") for folder in ("a", "b")]
    with pytest.raises(ConfigError, match="Two rows of Table 4 would be called 'mine'"):
        cells(["table4"], "ml-1m", [0], both)
    found = cells(["table4"], "ml-1m", [0], ["sasrec/long", "best/long"])
    assert [cell.row for cell in found[:2]] == ["sasrec/long", "best/long"]


def test_a_budget_of_nothing_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="trains nothing"):
        Bench(tmp_path, tmp_path, budget=0.0)


def test_counting_is_exact(cut: Bench, small_ring: Dataset):
    reproduce(cells(["table3"], "ml-1m", [0]), cut, SILENT)
    record = json.loads((cut.records / "table3" / "ml-1m.statistics.json").read_text())
    log = small_ring.interactions
    assert record["values"]["users"] == log.n_users
    assert record["values"]["interactions without the test items"] == len(log) - log.n_users
    assert record["paper"]["interactions"] == 994_169


def test_a_trained_cell_is_cut_by_its_budget_and_not_trained_again(cut: Bench, capsys):
    (cell,) = [cell for cell in cells(["table4"], "ml-1m", [0]) if cell.row == "SASRec"]
    reproduce([cell], cut, SILENT)
    record = json.loads(cell.record(cut).read_text())
    assert record["stages"][0]["cut"] and record["budget"] == 1e-6
    assert record["paper"]["recall@10"] == 0.1834
    assert (cut.runs / "table4" / cell.name / "test_cases.parquet").is_file()
    before = cell.record(cut).stat().st_mtime_ns
    reproduce([cell], cut, SILENT)
    assert cell.record(cut).stat().st_mtime_ns == before
    longer, said = replace(cut, budget=60.0), []
    reproduce([cell], longer, said.append)
    assert said == [
        f"[1/1] table4 {cell.name}: done before, cut at 1.67e-08 min; to measure it anew, delete"
        f" {cell.record(cut)}"
    ]
    page, index = write_report(cut.records, cut.records / "pages")
    line = next(line for line in page.read_text().splitlines() if line.startswith("| SASRec"))
    assert "0.1834" in line and "cut at" in line and f"{record['metrics']['recall@10']:.4f}" in line
    assert "| Popularity |" in page.read_text()
    assert "(table4.md)" in index.read_text()


def test_a_preset_that_was_changed_since_is_told(cut: Bench, tmp_path: Path):
    mine, said = tmp_path / "mine.toml", list[str]()
    sasrec = '[model]\nkind = "sasrec"\nwidth = {}\n[vector]\nstrategy = "positions"\nepochs = 2\n'
    for width in (8, 8, 16):
        mine.write_text(sasrec.format(width))
        cell = cells(["table4"], "ml-1m", [3], [str(mine)])[0]
        reproduce([cell], cut, said.append)
    assert cell.is_done(cut)
    name = f"[1/1] table4 {cell.name}"
    change = f"model.width was 8 and is 16 now; to measure it anew, delete {cell.record(cut)}"
    assert said == [name, f"{name}: done before", f"{name}: done before, {change}"]
    path = cell.record(cut)
    record = json.loads(path.read_text())
    record["settings"]["model"]["width"] = 16
    del record["settings"]["model"]["dropout"]  # of an older version
    path.write_text(json.dumps(record))
    reproduce([cell], cut, said.append)
    assert said[-1] == f"{name}: done before"


def test_what_cannot_be_measured_here_says_why_and_is_tried_again(cut: Bench):
    (cell,) = [cell for cell in cells(["table4"], "ml-1m", [0]) if cell.row.endswith("sampling")
               and "small" not in cell.row]  # fmt: skip
    reproduce([cell], cut, SILENT)
    assert not cell.is_done(cut)
    page, _ = write_report(cut.records, cut.records / "pages")
    assert "wants a GPU" in page.read_text() and "0.2733" in page.read_text()


def test_a_number_that_was_measured_outlives_a_failure_after_it(cut: Bench):
    def half(cell: Cell, bench: Bench) -> None:
        write_values(cell.record(bench), {"items": 3}, cell.about())
        raise RuntimeError("no room for samples")

    cell = Cell("table3", "ml-1m", "half", half)
    said: list[str] = []
    assert reproduce([cell], cut, said.append) == [cell]
    assert json.loads(cell.record(cut).read_text())["values"] == {"items": 3}
    assert "no room for samples" in said[-1]


def test_a_cell_that_fails_does_not_end_the_others(cut: Bench):
    def no_room(cell: Cell, cut: Bench) -> None:
        raise RuntimeError("CUDA out of memory")

    def wrong(cell: Cell, cut: Bench) -> None:
        raise ConfigError(f"{cut.runs}/x is odd.", "Move it.")

    def unforeseen(cell: Cell, cut: Bench) -> None:
        raise KeyError("loss")

    works = {"a": no_room, "b": wrong, "c": unforeseen}
    broken = [Cell("table3", "ml-1m", name, work) for name, work in works.items()]
    (good,) = cells(["table3"], "ml-1m", [0])
    lines: list[str] = []
    assert reproduce([*broken, good], cut, lines.append) == broken
    assert good.is_done(cut) and not any(cell.is_done(cut) for cell in broken)
    reasons = [json.loads(cell.record(cut).read_text())["missing"] for cell in broken]
    assert reasons == [
        "failed: CUDA out of memory",
        "failed: runs/x is odd. What to do: Move it.",
        "failed: KeyError: 'loss'",
    ]
    assert [line.strip() for line in lines if line.startswith(" ")] == reasons
    pages = {page.stem: page.read_text() for page in write_report(cut.records, cut.runs)}
    assert all(reason in pages["table3"] for reason in reasons)


def test_ctrl_c_ends_the_run(cut: Bench):
    def stopped(cell: Cell, cut: Bench) -> None:
        raise Interrupted("Stopped at epoch 3.")

    cell = Cell("table3", "ml-1m", "a", stopped)
    with pytest.raises(Interrupted):
        reproduce([cell], cut, SILENT)
    assert not cell.record(cut).exists()
