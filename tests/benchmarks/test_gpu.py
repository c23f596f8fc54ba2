"""The GPU's cells: their order, what is brought home, and slices that go on."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from lite_llm4rec import Recommender
from lite_llm4rec.records import write_values
from tests.conftest import ring_tables

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu", BENCHMARKS / "gpu.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_most_wanted_come_first(gpu: ModuleType):
    cells = gpu.wanted("ml-1m", [0])
    assert [cell.row for cell in cells[:4]] == [
        f"Lite-LLM4Rec {strategy}, from scratch{dropout}"
        for strategy in ("sampling", "all")
        for dropout in (", dropout 0.1", "")
    ]
    timed = [cell for cell in cells if cell.seed is None]
    assert cells[4 : 4 + len(timed)] == timed
    assert {cell.exhibit for cell in timed} == set(gpu.EFFICIENCY)
    assert [cell.row for cell in cells[4 + len(timed) :]][:2] == [
        "P5 from scratch",
        "P5 w/o_d from scratch",
    ]
    assert all(cell.wants for cell in cells if cell.seed is not None)


def test_some_of_them(gpu: ModuleType):
    cells = gpu.wanted("ml-1m", [0], "Table4 p5")
    assert {cell.exhibit for cell in cells} == {"table4"}
    assert all(cell.row.startswith("P5") for cell in cells)
    assert len(cells) == 3
    assert gpu.wanted("ml-1m", [0], "table4 nothing") == []


def test_what_has_a_record_is_left_out(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    for name in ("p5", "pod"):
        path = tmp_path / "known" / "figure2" / f"ml-1m.{name}.json"
        write_values(path, {"encoder": 1.0}, {"row": name})
    words = ["gpu.py", tmp_path / "no-data", "t5", tmp_path / "out", "--known", tmp_path / "known"]
    monkeypatch.setattr(
        sys, "argv", [*map(str, words), "--seeds", "", "--only", "figure2", "--device", "cpu"]
    )
    assert gpu.main() == 0
    assert "2 of 2 cells have records" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_half_precision_folders_load_again(gpu: ModuleType, trained: Recommender, tmp_path: Path):
    folder = tmp_path / "runs" / "table4" / "ml-1m.x.0"
    trained.save(folder)
    for _ in range(2):
        gpu.bring_home(tmp_path / "runs", tmp_path / "home")
    brought = tmp_path / "home" / "table4" / "ml-1m.x.0"
    assert sorted(path.name for path in brought.iterdir()) == sorted(
        path.name for path in folder.iterdir()
    )
    whole, half = (path.stat().st_size for path in (folder / WEIGHTS, brought / WEIGHTS))
    assert half < 0.6 * whole
    again = Recommender.load(brought)
    before = trained.model.state_dict()
    for name, value in again.model.state_dict().items():
        np.testing.assert_allclose(value, before[name], rtol=1e-3, atol=1e-6)
    history = [["i03", "i04", "i05"]]
    first, second = (model.recommend(history, k=1).to_table() for model in (trained, again))
    assert first["item_id"] == second["item_id"]


@pytest.mark.slow
def test_no_module_that_it_loads_wants_typer_or_rich():
    tell = "import gpu, sys; print(*[m for m in sys.modules if m.startswith('lite_llm4rec.')])"
    path = os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)])
    done = subprocess.run(
        [sys.executable, "-c", tell],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    names = done.stdout.split()
    assert "lite_llm4rec.paper.reproduce" in names
    for name in names:
        source = Path(str(importlib.import_module(name).__file__)).read_text()
        assert not re.search(r"^(import|from) (typer|rich)", source, re.M), name


def test_a_slice_that_is_killed_is_no_slice_that_is_over(tmp_path: Path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -9 $$\n")
    python.chmod(0o755)
    words = [BENCHMARKS / "gpu.sh", tmp_path, tmp_path, tmp_path / "out"]
    environment = {**os.environ, "PYTHON": str(python), "SLICE": "60"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "want of memory" in done.stdout


@pytest.mark.slow
def test_slices_go_on(t5: Path, tmp_path: Path):
    data = tmp_path / "data" / "ml-100k"
    data.mkdir(parents=True)
    for name, table in zip(("interactions", "items"), ring_tables(40, 20, 6, seed=0), strict=True):
        pyarrow.parquet.write_table(table, data / f"{name}.parquet")
    home = tmp_path / "out" / "home" / "records"
    environment = {**os.environ, "PYTHON": sys.executable, "PYTHONPATH": "", "DEVICE": "cpu"}

    def slice_of(seconds: int) -> tuple[int, str]:
        words = [BENCHMARKS / "gpu.sh", data.parent, t5, tmp_path / "out", "--data", "ml-100k"]
        words += ["--known", tmp_path / "none"]
        done = subprocess.run(
            words, env={**environment, "SLICE": str(seconds)}, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    status, output = slice_of(12)
    assert status == 75, output
    measured = [path for path in home.glob("*/*.json") if "missing" not in path.read_text()]
    status, output = slice_of(600)
    assert status == 0, output
    assert output.count("done before") == len(measured)
    reasons = [json.loads(path.read_text()).get("missing") for path in home.glob("*/*.json")]
    gpu = {"wants a GPU", "wants a GPU and pretrained weights"}
    assert set(reasons) == {None, *gpu, "the items have no attributes"}
