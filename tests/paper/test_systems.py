"""Systems as they are trained: with what is at hand, and what their records say of it."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_llm4rec.paper.cell import Bench, Cell, NotHereError
from lite_llm4rec.paper.exhibits import CHAIN
from lite_llm4rec.paper.reproduce import reproduce
from lite_llm4rec.paper.systems import SYSTEMS, System, train_system


def named(row: str) -> System:
    return next(replace(one, gpu=False) for one in (*SYSTEMS, *CHAIN) if one.row == row)


def trained(system: System, bench: Bench) -> dict[str, Any]:
    """Train for a moment and return the record."""
    cell = Cell("table4", "ml-1m", system.row, partial(train_system, system), 0)
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
