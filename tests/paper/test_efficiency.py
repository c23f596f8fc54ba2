"""Time and length of the systems, on a T5 of the paper's kind but tiny."""

import json

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.paper.cell import Bench
from lite_llm4rec.paper.exhibits import cells
from lite_llm4rec.paper.report import write_report
from lite_llm4rec.paper.reproduce import reproduce

SILENT = [].append


def record(bench: Bench, exhibit: str, name: str) -> dict:
    path = bench.records / exhibit / f"{name}.json"
    found: dict = json.loads(path.read_text())
    assert "missing" not in found, found
    return found


def test_input_lengths_are_counted(bench: Bench, small_ring: Dataset):
    reproduce(cells(["table6"], "ml-1m", [0]), bench, SILENT)
    values = record(bench, "table6", "ml-1m.length")["values"]
    # Histories of five items: user_N item_N … in single digits, a prefix, and the end.
    assert values["Lite-LLM4Rec padded"] == values["Lite-LLM4Rec unpadded"] == 5
    log = small_ring.interactions
    users = [len(str(user + 1)) + 1 for user in range(log.n_users)]
    assert values["POD unpadded"] <= max(users) + 5 * 3 + 1
    assert values["POD unpadded"] >= min(users) + 5 * 2 + 1
    assert values["POD padded"] >= values["POD unpadded"]
    # Five titles of some tokens and a comma each, and the words around them.
    assert values["POD w/o_d_TID padded"] >= values["POD w/o_d_TID unpadded"] > 10


def test_times_are_measured_side_by_side_and_shown_as_ratios(bench: Bench):
    reproduce(cells(["table1", "table5", "figure2"], "ml-1m", [0]), bench, SILENT)
    times = record(bench, "table5", "ml-1m.time")["values"]
    assert set(times) == {"P5", "POD", "Lite-LLM4Rec"}
    assert times["Lite-LLM4Rec"] < times["POD"]
    parts = record(bench, "figure2", "ml-1m.pod")["values"]
    assert list(parts) == ["data preparation", "encoder", "beam search and reading"]
    assert min(parts.values()) > 0
    pages = {page.stem: page.read_text() for page in write_report(bench.records, bench.runs)}
    assert "371.9×" in pages["table5"]  # the paper's 2,280 ms ÷ 6.13 ms
