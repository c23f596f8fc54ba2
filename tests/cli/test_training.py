"""train, evaluate, compare."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lite_llm4rec import fitting
from lite_llm4rec.recommender import Recommender
from tests.cli.conftest import Result, World, assert_refused, run, train


def test_train_prints_results_and_leaves_a_run_folder(world: World, first: Result, folder: Path):
    assert "popularity" in first.out and "Lite-LLM4Rec" in first.out
    assert "leave_one_out test, 20 candidates (interacted), seen items removed" in " ".join(
        first.out.split()
    )
    assert f"lite-llm4rec recommend {folder} --history" in first.out
    assert "vector stage epoch 1/40" in first.err
    assert "to go" in first.err
    left = {path.name for path in folder.parent.iterdir()}
    assert left == {"log.csv", "items.csv", "p.toml", "run"}
    assert Recommender.load(folder).evaluations[1].metrics["recall@10"] > 0.9


def test_train_without_an_items_table(world: World, tmp_path: Path):
    log = ("--interactions", world.log, "--preset", "sasrec/short", "--set", "vector.epochs=1")
    prepared, out = tmp_path / "prepared", tmp_path / "run"
    found = run("train", *log, "--out", out, "--quiet", "--json")
    assert found.status == 0, found.err
    assert run("prepare", "--interactions", world.log, "--out", prepared).status == 0
    again = run("train", "--data", prepared, *log[2:], "--out", tmp_path / "again", "--json")
    assert again.json["evaluation"]["metrics"] == found.json["evaluation"]["metrics"]
    refused = run("train", "--interactions", world.log, "--out", tmp_path / "none", "--quiet")
    assert_refused(refused, "No item has any text")


def test_train_within_a_given_time(world: World, tmp_path: Path):
    result = train(
        world, tmp_path / "run", "--minutes", "0.0000001", "--set", "vector.epochs=2000", "--json"
    )
    assert result.status == 0, result.err
    assert result.json["stages"][0]["cut"] and result.json["stages"][0]["epochs"] < 2000
    assert "is replaced" not in result.err
    again = train(world, tmp_path / "run", "--minutes", "0.0000001")
    assert "run holds a trained run; it is replaced when this is through." in again.err


def test_train_can_be_silent_and_give_json(world: World, tmp_path: Path):
    record = tmp_path / "results" / "mine" / "cell.json"
    result = train(
        world, tmp_path / "run", "--quiet", "--json", "--set", "vector.epochs=1", "--seed", 4,
        "--record", record, "--threads", 1,
    )  # fmt: skip
    assert (result.status, result.err) == (0, "")
    assert list(result.json) == ["model", "baselines", "evaluation", "stages", "seconds"]
    assert result.json["stages"][0]["epochs"] == 1
    assert Recommender.load(tmp_path / "run").preset.seed == 4
    assert json.loads(record.read_text())["metrics"] == result.json["evaluation"]["metrics"]
    page = tmp_path / "docs" / "results.md"
    assert run("results", tmp_path / "results", "--out", page).status == 0
    assert "## mine" in page.read_text()


def interrupted(world: World, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "write_curves", stop)
        assert train(world, out, "--quiet").status != 0
    assert out.with_name("run.training").is_dir()


def test_an_interrupted_run_of_other_settings(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    interrupted(world, out, monkeypatch)
    refused = train(world, out, "--set", "vector.batch=32")
    assert_refused(refused, "preset.vector.batch was 64 and is 32 now", "--restart")
    assert out.with_name("run.training").is_dir() and not out.exists()
    again = train(world, out, "--set", "vector.batch=32", "--set", "vector.epochs=1", "--restart")
    assert again.status == 0
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--preset", "cpu/smal"], ["No preset 'cpu/smal'", "did you mean 'cpu/small'?"]),
        (["--set", "vector.epoch=3"], ["no setting 'epoch'", "did you mean 'epochs'?"]),
        (["--set", "vector.lr=fast"], ["preset.vector.lr should be float, not 'fast'"]),
        (["--candidates", "all"], ["--candidates is 'all'", "interacted or catalogue"]),
        (["--duplicates", "none"], ["--duplicates is 'none'", "keep, first or last"]),
        (["--data", "ml-100k"], ["either --data, or --interactions"]),
        (["--user", "usr"], ["log.csv has no column 'usr'"]),
        (["--split", "last"], ["No split 'last'", "leave_one_out, last_3, or by_time_"]),
    ],
)
def test_settings_that_do_not_exist(
    options: list[str], words: list[str], world: World, tmp_path: Path
):
    assert_refused(train(world, tmp_path / "run", *options), *words)
    assert list(tmp_path.iterdir()) == []


def test_evaluate_goes_by_the_split_of_the_training(world: World, tmp_path: Path):
    once = ("--split", "last_2", "--set", "vector.epochs=1", "--json")
    trained = train(world, tmp_path / "run", *once)
    assert trained.status == 0, trained.err
    assert trained.json["evaluation"]["protocol"]["split"] == "last_2"
    found = run("evaluate", tmp_path / "run", *world.tables, "--json").json
    assert found["metrics"] == trained.json["evaluation"]["metrics"]
    assert found["protocol"] == trained.json["evaluation"]["protocol"]


def test_a_place_that_is_taken(world: World, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("kept")
    assert_refused(train(world, tmp_path), "exists and is not a run folder")
    assert_refused(train(world, tmp_path / "notes.txt"), "exists and is not a run folder")
    assert_refused(train(world, tmp_path / "notes.txt" / "run"), "Not a directory")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_evaluate(world: World, folder: Path, tmp_path: Path):
    shown = run("evaluate", folder, *world.tables, "--cases", tmp_path / "new" / "cases.parquet")
    assert shown.status == 0, shown.err
    expected = Recommender.load(folder).evaluations[1]
    assert f"{expected.metrics['ndcg@10']:.4f}" in shown.out
    assert "Leak checks passed" in shown.out
    assert "history 1–5" in shown.out
    assert "60 cases in" in shown.out
    cases = pa.parquet.read_table(tmp_path / "new" / "cases.parquet")
    assert cases.equals(expected.cases)
    lines = tmp_path / "cases.csv"
    assert run("evaluate", folder, *world.tables, "--cases", lines).status == 0
    assert pa.csv.read_csv(lines)["rank"].equals(cases["rank"])
    spoilt = run("evaluate", folder, *world.tables, "--cases", world.log)
    assert_refused(spoilt, "is an input: it would be replaced")
    assert_refused(run("evaluate", folder, *world.tables, "--cases", "cases.txt"), "as Parquet or")
    found = run("evaluate", folder, *world.tables, "--json").json
    assert found["metrics"] == expected.metrics
    assert found["protocol"]["dataset"] == "log"
    unfiltered = run(
        "evaluate", folder, *world.tables, "--json", "--keep-seen", "--part", "valid"
    ).json
    assert unfiltered["protocol"]["part"] == "valid"
    assert not unfiltered["protocol"]["seen_filter"]
    assert_refused(run("evaluate", folder, *world.tables, "--part", "train"), "--part is 'train'")


def test_evaluate_tells_of_other_interactions(world: World, folder: Path, tmp_path: Path):
    log = pa.csv.read_csv(world.log)
    shorter = tmp_path / "log.csv"
    pa.csv.write_csv(log.slice(0, len(log) - 1), shorter)
    tables = ("--interactions", shorter, "--items", world.items)
    found = run("evaluate", folder, *tables)
    told = " ".join(found.out.split())
    assert (found.status, found.err) == (0, ""), found.err
    assert "trained on other interactions" in told and "Leak checks passed" not in told


def test_compare(world: World, folder: Path, tmp_path: Path):
    itself = run("compare", folder, folder, "--json").json
    assert itself["recall@10"]["difference"] == 0.0
    assert itself["recall@10"]["interval"] == [0.0, 0.0]
    worse = tmp_path / "worse"
    assert train(world, worse, "--quiet", "--set", "vector.lr=1e-9").status == 0
    shown = run("compare", worse, folder)
    found = run("compare", worse, folder, "--json").json["recall@10"]
    assert found["interval"][0] > 0
    assert f"{found['difference']:+.4f}" in shown.out
    assert_refused(run("compare", folder, tmp_path), "is not a run folder", "There is one in it")
    other = tmp_path / "other"
    quick = ("--quiet", "--set", "vector.epochs=1", "--set", "repeats=true")
    assert train(world, other, *quick).status == 0
    assert_refused(run("compare", folder, other), "seen items removed and sequences")
    shorter = tmp_path / "shorter.csv"
    pyarrow.csv.write_csv(pyarrow.csv.read_csv(world.log).slice(6), shorter)
    tables = ("--interactions", shorter, "--items", world.items, "--preset", world.preset)
    assert run("train", *tables, "--out", other, *quick[:3]).status == 0
    assert_refused(run("compare", folder, other), "were not measured alike: sequences")
