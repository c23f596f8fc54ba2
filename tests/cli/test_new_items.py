"""The command line where items come and go, and where training goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lite_llm4rec.recommender import Recommender
from tests.cli.conftest import Result, World, run

CAUSAL = """
[text]
model = "{text_model}"
max_tokens = 8
[model]
kind = "causal"
shape = {{ width = 16, blocks = 1, heads = 1 }}
history_length = 5
[vector]
strategy = "positions"
epochs = 3
batch = 16
lr = 1e-2
"""


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory, text_model: Path) -> Path:
    path = tmp_path_factory.mktemp("causal") / "causal.toml"
    path.write_text(CAUSAL.format(text_model=text_model))
    return path


def train(world: World, preset: Path, out: Path, *more: object) -> Result:
    return run("train", *world.tables, "--preset", preset, "--out", out, "--device", "cpu", *more)


def write_items(path: Path, *ids: str, **columns: list[str]) -> Path:
    table = pa.table({"item_id": list(ids), **(columns or {"title": ["Thing i03"] * len(ids)})})
    pyarrow.csv.write_csv(table, path)
    return path


def test_items_come_and_go(world: World, preset: Path, tmp_path: Path):
    out = tmp_path / "run"
    assert train(world, preset, out).status == 0
    new = write_items(tmp_path / "new.csv", "n1", "n2")
    added = run("add-items", out, "--items", new)
    assert (added.status, added.err) == (0, "")
    assert "2 items added, 22 in all" in added.out
    lifted = run("recommend", out, "--history", "i01,i02", "--k", 2, "--cold-offset", 99, "--json")
    assert {row["item_id"] for row in lifted.json} == {"n1", "n2"}
    again = run("add-items", out, "--items", write_items(tmp_path / "both.csv", "n1", "i01"))
    assert (again.status, "0 items added, 22 in all" in again.out) == (0, True)
    assert "1 of the items are in the catalogue with another text" in " ".join(again.err.split())
    assert run("retire-items", out, "--item", "n1,i05", "--json").json == {"retired": 2}
    left = run("recommend", out, "--history", "i01,i02", "--k", 30, "--json").json
    assert not {"n1", "i05"} & {row["item_id"] for row in left} and len(left) == 18
    assert run("retire-items", out, "--item", "i05", "--back", "--json").json == {"retired": 1}


def test_a_run_on_brought_vectors_takes_the_new_ones(world: World, preset: Path, tmp_path: Path):
    out, ids = tmp_path / "run", [f"i{number:02d}" for number in range(20)]

    def write(name: str, ids: list[str]) -> Path:
        rows = np.random.default_rng(0).normal(size=(len(ids), 8))
        pyarrow.parquet.write_table(
            pa.table({"item_id": ids, "vector": rows.tolist()}), tmp_path / name
        )
        return tmp_path / name

    settings = ("--set", "vector.epochs=1", "--vectors", write("old.parquet", ids))
    assert train(world, preset, out, *settings).status == 0
    new = write_items(tmp_path / "new.csv", "n1", "n2")
    refused = run("add-items", out, "--items", new)
    assert refused.status == 2 and "--vectors" in refused.err
    added = run("add-items", out, "--items", new, "--vectors", write("new.parquet", ["n2", "n1"]))
    assert added.status == 0 and "2 items added" in added.out, added.err


def test_new_items_may_have_ids_by_another_name(world: World, preset: Path, tmp_path: Path):
    out, new = tmp_path / "run", tmp_path / "new.csv"
    assert train(world, preset, out, "--set", "vector.epochs=1").status == 0
    pyarrow.csv.write_csv(pa.table({"sku": ["n1"], "title": ["Thing i03"]}), new)
    refused = run("add-items", out, "--items", new)
    assert refused.status == 2 and "--items-id" in refused.err
    assert "1 item added" in run("add-items", out, "--items", new, "--items-id", "sku").out


def test_items_that_cannot_come(world: World, preset: Path, tmp_path: Path, folder: Path):
    out = tmp_path / "run"
    assert train(world, preset, out, "--set", "vector.epochs=1").status == 0
    for items, words in (
        (write_items(tmp_path / "b.csv", "n1", name=["x"]), "none of the text columns title"),
        (tmp_path / "none.csv", "none.csv"),
    ):
        failed = run("add-items", out, "--items", items)
        assert failed.status == 2 and words in failed.err, failed.err
    assert len(run("recommend", out, "--history", "i01", "--k", 30, "--json").json) == 19
    papers = run("add-items", folder, "--items", write_items(tmp_path / "c.csv", "n1"))
    assert papers.status == 2 and "cannot score items that it never learnt" in papers.err
    unknown = run("retire-items", out, "--item", "nothing")
    assert unknown.status == 2 and "'nothing'" in unknown.err


def test_warm_and_cold_are_shown_apart(world: World, preset: Path, tmp_path: Path):
    shown = train(world, preset, tmp_path / "run", "--set", "cold_share=0.2")
    assert shown.status == 0, shown.err
    assert "Warm and cold targets, in one ranking" in shown.out
    for system in ("popularity", "nearest text", "Lite-LLM4Rec, causal"):
        assert f"{system}, warm" in shown.out and f"{system}, cold" in shown.out
    assert "% of the model's lists" in shown.out
    again = run("evaluate", tmp_path / "run", *world.tables, "--json")
    assert "20 % of items cold" in again.json["protocol"]["split"]


def test_without_a_preset_it_says_what_it_takes(world: World, preset: Path, tmp_path: Path):
    model = preset.read_text().split('"')[1]
    text = f"text.model={model}"
    shown = run(
        "train", *world.tables, "--out", tmp_path / "run", "--device", "cpu",
        "--set", text, "--set", "vector.epochs=1",
    )  # fmt: skip
    assert shown.status == 0, shown.err
    assert "Preset fast/small, for " in shown.err and " interactions, 6 per user" in shown.err
    wrong = run("train", *world.tables, "--out", tmp_path / "no", "--set", "vector.epoch=1")
    assert wrong.status == 2 and "epochs" in wrong.err


def test_training_goes_on_from_a_run(world: World, preset: Path, tmp_path: Path):
    assert train(world, preset, tmp_path / "old").status == 0
    more = train(world, preset, tmp_path / "new", "--init-from", tmp_path / "old")
    assert more.status == 0, more.err
    changed = run(
        "train", *world.tables, "--out", tmp_path / "same", "--device", "cpu",
        "--init-from", tmp_path / "old", "--set", "vector.epochs=1", "--seed", "5",
    )  # fmt: skip
    assert changed.status == 0 and f"The settings of {tmp_path / 'old'}" in changed.err
    old, same = (Recommender.load(tmp_path / name).preset for name in ("old", "same"))
    assert same == replace(old, seed=5, vector=replace(old.vector, epochs=1))
    named = run(
        "train", *world.tables, "--out", tmp_path / "family", "--device", "cpu",
        "--init-from", tmp_path / "old", "--preset", "sasrec",
    )  # fmt: skip
    assert named.status == 2 and "model.kind was 'causal' and is 'sasrec' now" in named.err
    other = train(
        world, preset, tmp_path / "other", "--init-from", tmp_path / "old",
        "--set", "model.shape={width=8}",
    )  # fmt: skip
    assert other.status == 2 and "differs: model.shape.width was 16 and is 8 now" in other.err
    missing = train(world, preset, tmp_path / "third", "--init-from", tmp_path / "nothing")
    assert missing.status == 2 and "not a run folder" in missing.err
