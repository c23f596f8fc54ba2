"""Both clocks, input lengths and batch sizes, at a tiny shape."""

import json
from typing import Any

import pytest
import torch

from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.models import GenerativeRec
from lite_llm4rec.paper import clocks
from lite_llm4rec.paper.cell import Bench
from lite_llm4rec.paper.efficiency import WRITERS, batch_of, build, first_cases
from lite_llm4rec.paper.exhibits import cells
from lite_llm4rec.paper.grid import Grid
from lite_llm4rec.paper.report import write_report
from lite_llm4rec.paper.reproduce import reproduce

SILENT = [].append


def record(bench: Bench, exhibit: str, name: str) -> dict[str, Any]:
    found = json.loads((bench.records / exhibit / f"ml-1m.{name}.json").read_text())
    assert "missing" not in found, found
    return found


def test_clocks_are_the_sums_of_their_parts(bench: Bench):
    assert reproduce(cells(["clocks"], "ml-1m", [0]), bench, print) == []
    found = record(bench, "clocks", "components")
    values, ranges = found["values"], found["ranges"]
    # The ring's items have nothing but titles, which FDSA and S3-Rec cannot learn from.
    assert set(found["left_out"]) == {"FDSA", "S3-Rec"}
    assert set(values) == set(clocks.SYSTEMS) - {"FDSA", "S3-Rec"}
    for name, row in values.items():
        parts = [part for part in (clocks.PREPARE, clocks.ITEMS, clocks.RANK, clocks.READ)]
        known = [part for part in parts if part in row]
        assert (clocks.ITEMS in row) == (name == "Lite-LLM4Rec")
        low, high = (sum(ranges[name][part][end] for part in known) for end in (0, 1))
        assert low <= row[clocks.ALL] <= high
    assert values["Lite-LLM4Rec"][f"{clocks.RANK}, ratio"] == 1
    assert values["POD"][f"{clocks.RANK}, ratio"] > 1
    beams = record(bench, "clocks", "encoder-once-or-per-beam")["values"]["POD"]
    assert beams["encoder, per beam"] > beams["encoder, once"]
    assert (
        beams["tokens at most, free"] == 10 and beams["tokens at most, held"] == 3
    )  # two digits and the end
    pages = {page.stem: page.read_text() for page in write_report(bench.records, bench.runs)}
    assert pages["clocks"].count("| BERT4Rec |") == 1 and "off-line" in pages["clocks"]


def test_an_encoder_run_per_beam_gives_the_same_states(bench: Bench):
    dataset = bench.dataset("ml-1m")
    split = leave_one_out(dataset.interactions)
    model: GenerativeRec = build(WRITERS["POD"], dataset, split, bench.t5)
    prompts = model.prompts_of(*batch_of(split, first_cases(split), 5, "cpu"))
    with torch.no_grad():
        once, _ = model.encode(prompts)
        again, _ = model.encode(clocks._per_beam(prompts))
    torch.testing.assert_close(again[::20], once)
    torch.testing.assert_close(again[19::20], once)


def test_lengths_that_no_history_has_are_left_out(bench: Bench):
    assert reproduce(cells(["length"], "ml-1m", [0]), bench, SILENT) == []
    found = record(bench, "length", "pod")
    assert {row: list(columns) for row, columns in found["values"].items()} == {
        "POD, tokens": ["5"],
        "POD, encoder": ["5"],
        "POD, beam search": ["5"],
    }
    assert set(found["left_out"]) == {f"POD, {length}" for length in (10, 20, 40, 80)}
    assert list(record(bench, "length", "lite-llm4rec")["values"]) == ["Lite-LLM4Rec, model alone"]


def test_batches_beyond_the_test_users_take_them_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(clocks, "SIZES", (1, 8, 64))
    assert reproduce(cells(["batch"], "ml-1m", [0]), bench, SILENT) == []
    values = record(bench, "batch", "time")["values"]
    assert set(values) == {"BERT4Rec", "Lite-LLM4Rec", "P5", "POD"}
    assert all(list(row) == ["1", "8", "64"] for row in values.values())


def test_what_takes_too_long_or_has_no_memory_is_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clocks, "clock", lambda work, device: work())
    grid = Grid()
    kept = clocks._bearable(
        "slow", (1, 8, 32, 128), lambda size: {("slow", str(size)): lambda: 1.3 * size}, grid, "cpu"
    )
    # 32 took 41.6 s, so 128 would take four times as long.
    assert [column for _, column in kept] == ["1", "8", "32"]
    assert grid.left_out == {"slow, 128": "more than 60 s a batch"}

    def no_room(size: int) -> clocks.Works:
        if size > 1:
            raise torch.OutOfMemoryError
        return {("large", "1"): lambda: 0.0}

    assert list(clocks._bearable("large", (1, 8, 32), no_room, grid, "cpu")) == [("large", "1")]
    assert grid.left_out["large, 8"] == grid.left_out["large, 32"] == "out of memory"
