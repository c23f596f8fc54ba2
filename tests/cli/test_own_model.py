"""A model of one's own on the command line."""

import json
from pathlib import Path

import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.paper import cell as cell_module
from tests.cli.conftest import World, run

FILE = Path(__file__).parents[2] / "examples" / "own_model.py"
PRESET = FILE.with_suffix(".toml")


def test_train_and_recommend(world: World, tmp_path: Path):
    folder = tmp_path / "run"
    own = ("--model-file", FILE)
    trained = run(
        *own, "train", "--preset", PRESET, *world.tables, "--out", folder, "--device", "cpu",
        "--set", "vector.lr=1e-2", "--set", "vector.batch=8", "--json",
    )  # fmt: skip
    assert trained.status == 0, trained.err
    assert trained.json["evaluation"]["metrics"]["recall@10"] > 0.85  # chance: about a half
    asked = run(*own, "recommend", folder, "--history", "i03,i04", "--k", 5, "--json")
    assert asked.status == 0, asked.err
    assert "i05" in [row["item_id"] for row in asked.json]


def test_a_row_of_table_4(small_ring: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cell_module, "load", lambda name, root: small_ring)
    monkeypatch.setattr("lite_llm4rec.paper.exhibits.SYSTEMS", ())
    cell_module._load.cache_clear()
    places = [
        part for name in ("records", "runs", "out") for part in (f"--{name}", tmp_path / name)
    ]
    done = run(
        "--model-file", FILE, "reproduce", "table4", "--also", PRESET, "--device", "cpu",
        "--budget", "0.0001", *places,
    )  # fmt: skip
    cell_module._load.cache_clear()
    assert done.status == 0, done.err
    record = json.loads((tmp_path / "records/table4/ml-1m.own_model.0.json").read_text())
    assert record["model"] == "GRU4Rec"
    assert "| own_model |" in (tmp_path / "out/table4.md").read_text()
