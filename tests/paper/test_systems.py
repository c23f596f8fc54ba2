"""Systems as they are trained: with what is at hand, and what their records say of it."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.paper.cell import Bench, Cell, NotHereError
from lite_llm4rec.paper.exhibits import CHAIN, ITEM_LLMS, VARIANTS, cells
from lite_llm4rec.paper.reproduce import reproduce
from lite_llm4rec.paper.same_training import take_measured
from lite_llm4rec.paper.systems import SYSTEMS, System, settings_of, train_system
from lite_llm4rec.records import add_to_record
from lite_llm4rec.store import read_cases


def named(row: str) -> System:
    return next(replace(one, gpu=False) for one in (*SYSTEMS, *CHAIN) if one.row == row)


def cell_of(system: System, exhibit: str) -> Cell:
    work, settings = partial(train_system, system), partial(settings_of, system)
    return Cell(exhibit, "ml-1m", system.row, work, 0, {"recall@20": 0.5}, settings=settings)


def trained(system: System, bench: Bench) -> dict[str, Any]:
    """Train for a moment and return the record."""
    cell = cell_of(system, "table4")
    assert reproduce([cell], replace(bench, budget=1e-6), print) == []
    found: dict[str, Any] = json.loads(cell.record(bench).read_text())
    return found


def test_a_record_tells_the_name_of_a_local_folder_alone(bench: Bench):
    found = trained(named("POD from scratch"), bench)
    assert found["settings"]["model"]["backbone"] == "t5"
    assert str(bench.records.parent) not in json.dumps(found)
    assert Bench(Path(), Path()).t5_name == "google-t5/t5-small"


def test_brought_vectors_take_the_place_of_minilm(bench: Bench, tmp_path: Path):
    np.save(tmp_path / "minilm.npy", np.ones((20, 384), np.float32))
    brought = replace(bench, vectors=tmp_path / "minilm.npy")
    found = trained(named("Lite-LLM4Rec sampling, from scratch"), brought)
    assert found["settings"]["joint"] is None
    assert found["remark"] == "item vectors brought, so no joint stage"
    assert [stage["stage"] for stage in found["stages"]] == ["vector"]


@pytest.mark.parametrize("row", ["P5", "Lite-LLM4Rec sampling"])
def test_a_folder_without_weights_says_so(bench: Bench, row: str):
    cell = Cell("table4", "ml-1m", row, partial(train_system, named(row)), 0)
    with pytest.raises(NotHereError, match="weights not at hand: t5 holds none"):
        cell.measure(cell, bench)


def test_without_t5_s_tokenizer_a_cell_says_how_to_name_it(bench: Bench):
    unknown = replace(bench, t5="nobody/none")
    for exhibit in ("table6", "redundancy"):
        (cell,) = cells([exhibit], "ml-1m", [0])
        assert reproduce([cell], unknown, print) == []
        told = json.loads(cell.record(bench).read_text())["missing"]
        assert "by --t5" in told and "minilm" not in told.lower()


def test_what_stands_in_two_tables_is_trained_once(bench: Bench):
    first = trained(named("POD from scratch"), bench)
    (other,) = [one for one in CHAIN if one.row == "POD from scratch"]
    assert other.wants == "a GPU"  # though there is none here
    cell = cell_of(other, "table2")
    left = bench.runs / "table2" / cell.name
    left.mkdir(parents=True)
    (left / "of another training").touch()
    assert reproduce([cell], replace(bench, budget=1e-6), print) == []
    second = json.loads(cell.record(bench).read_text())
    assert second["metrics"] == first["metrics"] and second["samples"] == first["samples"]
    assert (second["experiment"], second["trained_for"]) == ("table2", "table4")
    assert read_cases(left) == read_cases(bench.runs / "table4" / cell.name)
    assert not (left / "of another training").exists()
    beside = sorted(path.name for path in (bench.records / "table2").glob("*.json"))
    assert beside == sorted(path.name for path in (bench.records / "table4").glob("*.json"))


def test_it_may_have_another_name_there(bench: Bench):
    first = trained(named("Lite-LLM4Rec small, sampling"), bench)
    (other,) = [one for one in CHAIN if one.row == "Lite-LLM4Rec small"]
    cell = cell_of(other, "table2")
    assert reproduce([cell], replace(bench, budget=1e-6), print) == []
    second = json.loads(cell.record(bench).read_text())
    assert second["metrics"] == first["metrics"]
    assert (second["row"], second["cell"]) == ("Lite-LLM4Rec small", cell.name)
    third = cell_of(next(one for one in ITEM_LLMS if one.row == "Sbert, small backbone"), "table7")
    assert reproduce([third], replace(bench, budget=1e-6), print) == []
    assert json.loads(third.record(bench).read_text())["trained_for"] == "table4"
    beside = sorted(path.name for path in (bench.records / "table2").glob("*.json"))
    assert beside == [f"{cell.name}{end}.json" for end in ("", ".nearest-text", ".popularity")]


@pytest.mark.parametrize(
    ("change", "budget", "taken"),
    [
        ({}, 1e-6, True),
        ({"sequences_sha256": "other"}, 1e-6, False),
        ({"protocol": {"candidates": "given"}}, 1e-6, False),
        ({"machine": {"gpu": "large"}}, 1e-6, False),  # which learns more in the same time
        ({"machine": {"gpu": "large"}, "stages": []}, 1e-6, True),
        ({}, 2e-6, False),  # another budget would have ended it elsewhere
        ({"stages": [], "seconds": 1.0}, 2.0, True),  # no budget ended it
        ({"stages": [], "seconds": 3.0}, 2.0, False),
        ({"stages": [], "seconds": 3.0}, None, True),
        ({"settings": {"model": {"kind": "gone"}}}, 1e-6, False),
        ({"missing": "no room"}, 1e-6, False),
    ],
)
def test_what_is_the_same_training(
    bench: Bench, change: dict[str, Any], budget: float | None, taken: bool
):
    record = {
        "metrics": {"recall@10": 0.5}, "budget": 1e-6, "stages": [{"cut": True}], "machine": {},
        "sequences_sha256": bench.dataset("ml-1m").interactions.sequences_sha256,
        "protocol": {"candidates": "interacted"},
    }  # fmt: skip
    settings = settings_of(named("POD small"), cell_of(named("POD small"), "table4"), bench)
    del settings["split"]  # as before there was one
    cell = cell_of(named("POD small"), "table2")
    path = bench.records / "table4" / cell.record(bench).name
    path.parent.mkdir(parents=True)
    whole = {"seconds": 0.0, "settings": settings, **record, **change}
    if "missing" in change:
        del whole["metrics"]
    path.write_text(json.dumps(whole))
    assert take_measured(cell, replace(bench, budget=budget)) == taken
    assert cell.record(bench).exists() == taken


def test_what_is_measured_anew_is_renewed_where_it_was_copied_to(bench: Bench):
    record = trained(named("POD small"), bench)
    own, copied = (cell_of(named("POD small"), name) for name in ("table4", "table2"))
    bench = replace(bench, budget=1e-6)
    assert take_measured(copied, bench)
    own.record(bench).unlink()
    assert not take_measured(own, bench)  # not from its own copy
    add_to_record(copied.record(bench), {"metrics": {"recall@10": 0.5}})
    trained(named("POD small"), bench)
    assert json.loads(copied.record(bench).read_text())["metrics"] == record["metrics"]
    assert json.loads(copied.record(bench).read_text())["trained_for"] == "table4"


def test_settings_that_cannot_be_here_are_nobody_s(bench: Bench):
    trained(named("POD small"), bench)

    def refused(cell: Cell, bench: Bench) -> dict[str, Any]:
        raise ConfigError("This T5 has no tokenizer.", "Name one that has.")

    cell = replace(cell_of(named("POD small"), "table2"), settings=refused)
    assert not take_measured(cell, replace(bench, budget=1e-6))


def test_other_settings_are_another_training(bench: Bench):
    trained(named("POD small"), bench)
    changed = replace(named("POD small"), settings=("model.dropout=0.2",))
    assert not take_measured(cell_of(changed, "table2"), replace(bench, budget=1e-6))


def test_times_of_a_gpu_stand_beside_those_of_a_cpu():
    for timed, name in ((True, "ml-1m.time.cuda.json"), (False, "ml-1m.time.json")):
        cell = Cell("table5", "ml-1m", "time", print, timed=timed)
        assert cell.record(Bench(Path(), Path(), device="cuda")).name == name
        assert cell.record(Bench(Path(), Path())).name == "ml-1m.time.json"


@pytest.mark.parametrize(
    ("row", "wants"),
    [
        ("P5", "a GPU and pretrained weights"),
        ("P5 from scratch", "a GPU"),
        ("POD w/o_d_TID", "a GPU and pretrained weights"),
        ("Lite-LLM4Rec all", "a GPU and pretrained weights"),
        ("Lite-LLM4Rec all, from scratch", "a GPU"),
        ("Sbert", "a GPU and pretrained weights"),
        ("Scratch, T5-small", "a GPU and pretrained weights"),  # its items' vectors are T5's
        ("POD small", ""),
    ],
)
def test_what_a_row_wants(row: str, wants: str):
    every = (*SYSTEMS, *CHAIN, *ITEM_LLMS, *VARIANTS)
    assert {system.wants for system in every if system.row == row} == {wants}
