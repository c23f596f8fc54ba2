"""The experiments: what their records say, which are skipped, and how one goes on after a stop."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lite_llm4rec.config import to_dict
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import Interrupted
from lite_llm4rec.models import CausalConfig
from lite_llm4rec.preset import Preset, load_preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import read_folder
from tests.conftest import drawn_vectors, tiny_preset

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PLAN = """
data = "small-ring"
[base.model]
kind = "sasrec"
width = 16
blocks = 1
heads = 1
history_length = 5
[base.vector]
strategy = "positions"
epochs = 4
batch = 16
[[cell]]
name = "base"
question = "base"
[[cell]]
name = "dropout"
question = "dropout"
set = ["model.dropout=0.5"]
"""


def module(name: str, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    monkeypatch.setattr(found, "load", lambda name: dataset)
    return found


def run(found: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", [found.__name__, *map(str, words)])
    found.main()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_ablation_s_cells(
    small_ring: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ablation = module("ablation", small_ring, monkeypatch)
    Path("plan.toml").write_text(PLAN)
    run(ablation, monkeypatch, "plan.toml", "out/cells", "--cells", "dropout")
    (record,) = read_folder(Path("out/cells"))
    assert record["protocol"]["part"] == "valid"
    assert (record["changed"], record["order"]) == (["model.dropout=0.5"], 1)
    assert record["settings"]["model"]["dropout"] == 0.5
    run(ablation, monkeypatch, "plan.toml", "out/cells")
    assert [one["preset"] for one in read_folder(Path("out/cells"))] == ["base", "dropout"]
    assert not list(Path("runs").rglob("*.training"))
    capsys.readouterr()
    Path("plan.toml").write_text(PLAN.replace("epochs = 4", "epochs = 5"))
    run(ablation, monkeypatch, "plan.toml", "out/cells")
    told = capsys.readouterr().out
    assert told.count("was made otherwise") == 2 and "epochs" in told
    with pytest.raises(SystemExit):
        run(ablation, monkeypatch, "plan.toml", "out/cells", "--cells", "bas")
    assert "did you mean 'base'" in capsys.readouterr().err


def test_an_ablation_from_a_preset_with_the_same_time_for_each(
    small_ring: Dataset, monkeypatch: pytest.MonkeyPatch
):
    ablation = module("ablation", small_ring, monkeypatch)
    cell = (
        '[[cell]]\nname = "narrow"\nquestion = "width"\nset = ["model.width=16", "model.heads=1"]'
    )
    plan = f'data = "small-ring"\nbase = "sasrec/short"\nmax_seconds = 0.001\n{cell}\n'
    Path("plan.toml").write_text(plan)
    run(ablation, monkeypatch, "plan.toml", "out/cells")
    (record,) = read_folder(Path("out/cells"))
    base, settings = to_dict(load_preset("sasrec/short")), record["settings"]
    assert {**settings["model"], "width": 128, "heads": 2} == base["model"]
    assert (settings["vector"], settings["name"]) == (base["vector"], "narrow")
    assert record["max_seconds"] == 0.001 and record["epochs"] <= 1 < base["vector"]["epochs"]


def test_a_stopped_cell_goes_on(small_ring: Dataset, monkeypatch: pytest.MonkeyPatch):
    ablation = module("ablation", small_ring, monkeypatch)
    Path("plan.toml").write_text(PLAN)
    fit, folders = Recommender.fit, []

    def stopped(*given: Any, folder: Path, **more: Any) -> Recommender:
        folders.append(folder)
        if len(folders) == 1:
            folder.mkdir(parents=True)
            (folder / "left").touch()
            raise Interrupted("Stopped.", "Again.")
        assert (folder / "left").exists()
        return fit(*given, folder=folder, **more)

    monkeypatch.setattr(ablation.Recommender, "fit", stopped)
    words = ("plan.toml", "out/cells", "--cells", "base")
    with pytest.raises(Interrupted):
        run(ablation, monkeypatch, *words)
    run(ablation, monkeypatch, *words)
    assert folders[0] == folders[1] and not folders[0].exists()


def test_runs_asked_with_fewer_items(small_ring: Dataset, monkeypatch: pytest.MonkeyPatch):
    history = module("history", small_ring, monkeypatch)
    vectors = drawn_vectors(len(small_ring.catalogue))
    Recommender.fit(small_ring, tiny_preset(), vectors=vectors, progress=False).save("run")
    run(history, monkeypatch, "out/history", "small-ring", "run")
    lengths = [one["protocol"]["history_length"] for one in read_folder(Path("out/history"))]
    assert sorted(lengths) == [1, 2, 3, 5]


def test_held_out_items_with_other_offsets(ring: Dataset, monkeypatch: pytest.MonkeyPatch):
    cold = module("cold", ring, monkeypatch)
    model = CausalConfig(shape={"width": 16, "blocks": 1}, history_length=5)
    vectors = drawn_vectors(len(ring.catalogue))

    def preset_of(family: str, dataset: Dataset, changes: Any, share: float, seed: int) -> Preset:
        plain = tiny_preset(model=model, cold_share=share, seed=seed)
        assert plain.vector is not None
        return replace(plain, vector=replace(plain.vector, strategy="positions", epochs=2))

    fit = Recommender.fit
    monkeypatch.setattr(cold, "preset_of", preset_of)
    monkeypatch.setattr(
        cold.Recommender, "fit", lambda *given, **more: fit(*given, vectors=vectors, **more)
    )
    words = ("out/cold", "--systems", "default", "--share", "0.2")
    run(cold, monkeypatch, *words)
    found = {one["cell"]: one for one in read_folder(Path("out/cold"))}
    assert set(found) == {
        "popularity", "nearest-text", "default-0", "default-2-0", "default-1-0", "default+1-0",
        "default+2-0",
    }  # fmt: skip
    own, higher = found["default-0"], found["default+2-0"]
    assert higher["offset"] == pytest.approx(own["offset"] + 2)
    assert higher["metrics"]["cold@10"] >= own["metrics"]["cold@10"]
    before = {path: path.read_bytes() for path in Path("out/cold").iterdir()}
    run(cold, monkeypatch, *words)
    assert {path: path.read_bytes() for path in Path("out/cold").iterdir()} == before
    assert json.loads(before[Path("out/cold/default-0.json")])["note"] == "(default)"
