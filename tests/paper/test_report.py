"""Every row of a table is on its page; what needs no training once, or once per outcome."""

from pathlib import Path
from typing import Any

from lite_llm4rec.config import to_dict
from lite_llm4rec.paper.efficiency import MILLISECONDS
from lite_llm4rec.paper.exhibits import cells
from lite_llm4rec.paper.published import METRICS
from lite_llm4rec.paper.report import ALSO, _named, write_report
from lite_llm4rec.preset import load_preset
from lite_llm4rec.records import add_to_record, write_values


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


def test_what_was_not_run_has_its_row_too(tmp_path: Path):
    first, *others = cells(["figure4"], "ml-1m", [0])
    write_values(tmp_path / "figure4" / "one.json", {}, {**first.about(), "missing": "no room"})
    page, _ = write_report(tmp_path, tmp_path / "pages")
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    reasons = {line.split(" | ")[0][2:]: line.split(" | ")[-1][:-2] for line in lines[1:]}
    assert reasons.pop(first.row) == "no room"
    wants = {cell.row: cell.wants and f"wants {cell.wants}" for cell in others}
    assert reasons == {row: words or "not run yet" for row, words in wants.items()}


def test_a_count_that_is_missing_is_told_without_a_table_of_metrics(tmp_path: Path):
    (cell,) = cells(["table6"], "ml-1m", [0])
    write_values(tmp_path / "table6" / "one.json", {}, {**cell.about(), "missing": "no tokenizer"})
    page, _ = write_report(tmp_path, tmp_path / "pages")
    text = page.read_text()
    assert "length: no tokenizer." in text and "R@10" not in text
    # The paper's other data sets stand on the page, too, and need not be missing here.
    assert text.count("Not measured yet.") == 2 and "not at hand" not in text


def test_a_gpu_s_table_stands_before_a_cpu_s(tmp_path: Path):
    for name, machine in (("a", {}), ("b", {"gpu": "Some GPU"})):
        path = tmp_path / "batch" / f"{name}.json"
        about = {"dataset": "ml-1m", "row": "time", "paper": {}, "corner": "system", "unit": "ms"}
        values = {f"on {name}": {"1": 2.0}}
        write_values(path, values, {**about, "ranges": {}, "left_out": {}, "remark": ""})
        add_to_record(path, {"machine": {"processor": "CPU", "threads": 1, **machine}})
    page, _ = write_report(tmp_path, tmp_path / "pages")
    text = page.read_text()
    places = [text.index(word) for word in ("on Some GPU", "| on b", "on CPU, 1 thread", "| on a")]
    assert places == sorted(places)


def test_times_are_held_against_what_the_paper_has_too(tmp_path: Path):
    for name, machine, slow in (("a", {}, 60.0), ("b", {"gpu": "Some GPU"}, 20.0)):
        path = tmp_path / "table2" / f"ml-1m.{name}.json"
        values = {"POD": slow, "w/o_d": 4.0, "Lite": 2.0}
        turns = {row: [value] * 3 for row, value in values.items()}
        paper = {"POD": 60.0, "w/o_d": 1.0}
        about = {"dataset": "ml-1m", "row": "time", "paper": paper, "unit": MILLISECONDS}
        write_values(path, values, {**about, "turns": turns})
        add_to_record(path, {"machine": {"processor": "CPU", "threads": 1, **machine}})
    page, _ = write_report(tmp_path, tmp_path / "pages")
    lines = page.read_text().splitlines()
    rows = [line for line in lines if line.startswith(("| POD |", "| Lite |"))]
    assert rows[:4] == [
        "| POD | 20.0 | 5.0× (5.0 – 5.0) | 60.0 | 60.0× |",
        "| Lite | 2.0 | 0.5× (0.5 – 0.5) |  |  |",
        "| POD | 60.0 | 15.0× (15.0 – 15.0) | 60.0 | 60.0× |",
        "| Lite | 2.0 | 0.5× (0.5 – 0.5) |  |  |",
    ]
    captions = [line for line in lines if "ratios to w/o_d" in line]
    assert ["Some GPU" in caption for caption in captions] == [True, False]


def test_seeds_that_were_trained_otherwise_say_so(tmp_path: Path):
    for seed, rate in ((0, 0.1), (1, 0.2)):
        settings = to_dict(load_preset("sasrec/long", [f"model.dropout={rate}"], seed))
        about = {"dataset": "ml-1m", "row": "SASRec", "paper": {}, "model": "SASRec"}
        measured = {
            "metrics": dict.fromkeys((*METRICS, *ALSO), 0.1),
            "intervals": {},
            "seconds": 1.0,
        }
        rest = {"stages": [], "settings": settings, "preset": "sasrec/long", "seed": seed}
        write_values(tmp_path / "table4" / f"{seed}.json", {}, {**about, **measured, **rest})
    page, _ = write_report(tmp_path, tmp_path / "pages")
    lines = page.read_text().splitlines()
    line, *_ = [one for one in lines if one.startswith("| SASRec |")]
    heads, *_ = [one for one in lines if one.startswith("| system |")]
    assert "| N@20 | paper | MRR | C@10 | trained as |" in heads
    assert line.count(" | ") == heads.count(" | ")
    assert "dropout 0.1, " in line and "; `sasrec/long`, history" in line
