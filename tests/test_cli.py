import contextlib
import io
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lite_llm4rec import stages
from lite_llm4rec.cli import console, main
from lite_llm4rec.preset import preset_names
from lite_llm4rec.recommender import Recommender
from tests.conftest import ring_tables

PRESET = """
[text]
model = "{text_model}"
max_tokens = 8
[model]
backbone = "t5"
from_scratch = true
shape = {{ d_model = 32, d_kv = 8, num_heads = 4, d_ff = 64, num_layers = 1 }}
history_length = 5
dropout = 0.0
[vector]
strategy = "all"
epochs = 40
batch = 64
lr = 1e-2
"""


@dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: object) -> Result:
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv, warnings.showwarning
    console.width = 200
    sys.argv = ["lite-llm4rec", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        status: Any = 0
    except SystemExit as error:
        status = error.code
    finally:
        sys.argv, warnings.showwarning = before
    return Result(status or 0, out.getvalue(), err.getvalue())


@dataclass
class World:
    log: Path
    items: Path
    preset: Path
    run: Path

    @property
    def tables(self) -> list[object]:
        return ["--interactions", self.log, "--items", self.items]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, text_model: Path) -> World:
    """Two CSV tables, a preset, and the run folder that `train` makes of them."""
    folder = tmp_path_factory.mktemp("cli")
    log, items = ring_tables(60, 20, 6, seed=0)
    found = World(folder / "log.csv", folder / "items.csv", folder / "p.toml", folder / "run")
    pa.csv.write_csv(log, found.log)
    pa.csv.write_csv(items, found.items)
    found.preset.write_text(PRESET.format(text_model=text_model))
    return found


@pytest.fixture(scope="session")
def first(world: World) -> Result:
    return run(
        "train", *world.tables, "--preset", world.preset, "--out", world.run, "--device", "cpu"
    )


@pytest.fixture
def folder(world: World, first: Result) -> Path:
    assert first.status == 0, first.err
    return world.run


def train(world: World, out: Path, *more: object) -> Result:
    return run("train", *world.tables, "--preset", world.preset, "--out", out, *more)


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
        patch.setattr(stages, "_measure", stop)
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


def assert_refused(result: Result, *words: str) -> None:
    assert result.status == 2, result.out + result.err
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err, result.err


def without_time(text: str) -> str:
    return "\n".join(line.rpartition(",")[0] for line in text.splitlines())


def with_bad_time(text: str) -> str:
    lines = text.splitlines()
    lines[4] = lines[4].rpartition(",")[0] + ',"soon"'
    return "\n".join(lines)


def without_an_item(text: str) -> str:
    lines = text.splitlines()
    user, _, time = lines[4].split(",")
    lines[4] = f"{user},,{time}"
    return "\n".join(lines)


def with_other_items(text: str) -> str:
    return text.replace('"i0', '"j0').replace('"i1', '"j1')


@pytest.mark.parametrize("command", ["train", "prepare", "evaluate"])
@pytest.mark.parametrize(
    ("breakage", "words"),
    [
        (without_time, ["broken.csv has no column that looks like the time", "--time"]),
        (
            with_bad_time,
            [
                "broken.csv, column 'timestamp', row 3 (from 0, header not counted)",
                "'soon' is not a time",
            ],
        ),
        (with_other_items, ["No item id of the interactions occurs in the items table", "'j"]),
    ],
)
def test_a_broken_table_is_explained_and_leaves_nothing(
    command: str,
    breakage: Callable[[str], str],
    words: list[str],
    world: World,
    folder: Path,
    tmp_path: Path,
):
    broken = tmp_path / "broken.csv"
    broken.write_text(breakage(world.log.read_text()))
    start: dict[str, list[object]] = {
        "train": ["train", "--preset", world.preset, "--out", tmp_path / "run"],
        "prepare": ["prepare", "--out", tmp_path / "run"],
        "evaluate": ["evaluate", folder],
    }
    result = run(*start[command], "--interactions", broken, "--items", world.items)
    assert_refused(result, "What to do: ", *words)
    assert list(tmp_path.iterdir()) == [broken]


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
    ],
)
def test_settings_that_do_not_exist(
    options: list[str], words: list[str], world: World, tmp_path: Path
):
    assert_refused(train(world, tmp_path / "run", *options), *words)
    assert list(tmp_path.iterdir()) == []


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
    found = run("evaluate", folder, *world.tables, "--json").json
    assert found["metrics"] == expected.metrics
    assert found["protocol"]["dataset"] == "log"
    unfiltered = run(
        "evaluate", folder, *world.tables, "--json", "--keep-seen", "--part", "valid"
    ).json
    assert unfiltered["protocol"]["part"] == "valid"
    assert not unfiltered["protocol"]["seen_filter"]
    assert_refused(run("evaluate", folder, *world.tables, "--part", "train"), "--part is 'train'")


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
    assert_refused(run("compare", folder, tmp_path), "test_cases.parquet is missing")


def test_recommend_by_id_by_title_and_by_table(folder: Path, world: World, tmp_path: Path):
    shown = run("recommend", folder, "--history", "i03, i04,i05", "--k", 3)
    assert shown.status == 0, shown.err
    recommender = Recommender.load(folder)
    expected = recommender.recommend([["i03", "i04", "i05"]], k=3)
    assert shown.out == f"{expected}\n"
    assert "i06" in recommender.recommend([["i03", "i04", "i05"]]).ids[0]
    titles = ["--title", "thing i03", "--title", "Thing i04", "--title", "i05"]
    by_title = run("recommend", folder, *titles, "--k", 3, "--json").json
    assert by_title == expected.to_table().to_pylist()
    both = run("recommend", folder, "--history", "i03", "--history", "", "--k", 1, "--json").json
    assert [row["user"] for row in both] == [0, 1]
    assert both[1]["note"] == "empty history: the most popular items"
    out = tmp_path / "new" / "lists.parquet"
    written = run("recommend", folder, "--interactions", world.log, "--k", 4, "--out", out)
    assert f"240 rows written to {out}" in written.out
    whole = recommender.recommend(world.log, k=4)
    assert pa.parquet.read_table(out).equals(whole.to_table())
    assert list(out.parent.iterdir()) == [out]
    printed = run("recommend", folder, "--interactions", world.log, "--k", 4, "--json").json
    assert printed == whole.to_table().to_pylist()


def test_recommend_with_allow_and_deny_lists(folder: Path):
    def ids(*options: object) -> list[str]:
        found = run("recommend", folder, "--history", "i03,i04", "--json", *options)
        assert found.status == 0, found.err
        return [row["item_id"] for row in found.json]

    best = ids("--k", 3)
    assert ids("--k", 2, "--exclude", best[0]) == best[1:]
    assert sorted(ids("--among", "i07,i09,i03")) == ["i07", "i09"]
    assert sorted(ids("--among", "i07,i09,i03", "--include-seen")) == ["i03", "i07", "i09"]
    found = run("recommend", folder, "--history", "i03,nope,i04", "--drop-unknown", "--json")
    assert [row["item_id"] for row in found.json[:3]] == best


def test_json_is_one_document_however_many_histories(folder: Path, tmp_path: Path):
    log = pa.table(
        {
            "user_id": list(range(1030)),
            "item_id": [f"i{user % 20:02}" for user in range(1030)],
            "timestamp": [0] * 1030,
        }
    )
    pa.parquet.write_table(log, tmp_path / "log.parquet")
    table = ["--interactions", tmp_path / "log.parquet", "--k", 1]
    found = run("recommend", folder, *table, "--json").json
    assert [row["user"] for row in found] == list(range(1030))
    written = run("recommend", folder, *table, "--json", "--out", tmp_path / "lists.parquet")
    assert written.json == {"rows": 1030}
    assert pa.parquet.read_table(tmp_path / "lists.parquet").num_rows == 1030


def test_recommend_that_cannot_work(folder: Path, world: World, tmp_path: Path):
    assert_refused(run("recommend", folder, "--history", "i03,nope"), "'nope'", "--drop-unknown")
    assert_refused(run("recommend", folder, "--title", "Nothing"), "No title contains 'Nothing'")
    assert_refused(run("recommend", folder), "Name a history.")
    assert_refused(run("recommend", folder, "--history", "i03", "--k", 0), "k must be at least 1")
    for no_run in (tmp_path, tmp_path / "none"):
        assert_refused(run("recommend", no_run, "--history", "i03"), "is not a run folder")


def test_nothing_half_written_when_a_later_history_is_unknown(folder: Path, tmp_path: Path):
    users = list(range(1100))
    items = ["i03"] * 1099 + ["nope"]
    log = pa.table({"user_id": users, "item_id": items, "timestamp": users})
    pa.parquet.write_table(log, tmp_path / "log.parquet")
    out = tmp_path / "lists.parquet"
    result = run("recommend", folder, "--interactions", tmp_path / "log.parquet", "--out", out)
    assert_refused(result, "'nope'")
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


def test_similar(folder: Path):
    recommender = Recommender.load(folder)
    for by in ("text", "behaviour"):
        expected = recommender.similar_items(["i07"], k=3, by=by)  # type: ignore[arg-type]
        assert run("similar", folder, "--item", "i07", "--k", 3, "--by", by).out == f"{expected}\n"
        found = run("similar", folder, "--title", "Thing i07", "--k", 3, "--by", by, "--json")
        assert found.json == expected.to_table().to_pylist()
    assert_refused(run("similar", folder), "Name one item.")
    assert_refused(run("similar", folder, "--item", "nope"), "'nope'")
    assert_refused(run("similar", folder, "--item", "i07", "--by", "txt"), "did you mean 'text'?")
    assert_refused(run("similar", folder, "--item", "i07", "--k", 0), "k must be at least 1")


def test_info(folder: Path, tmp_path: Path):
    shown = run("info", folder)
    assert "20 items, text vectors of 16" in shown.out
    (stage,) = Recommender.load(folder).stages
    assert f"vector stage: {stage['epochs']} epochs" in shown.out
    found = run("info", folder, "--json").json
    assert found["config"]["format_version"] == 1
    parts = [row["protocol"]["part"] for row in found["metrics"]["evaluations"]]
    assert parts == ["valid", "test"]
    assert run("info", "--json").json == preset_names()
    assert all(name in run("info").out for name in preset_names())
    assert 'model = "google-t5/t5-small"' in run("info", "paper/toys").out
    assert run("info", "paper/toys", "--json").json["model"]["dropout"] == 0.8
    assert_refused(run("info", "paper/toy"), "did you mean 'paper/toys'?")
    assert_refused(run("info", tmp_path), "is not a run folder")


def test_prepare_then_train(world: World, folder: Path, tmp_path: Path):
    out = tmp_path / "prepared"
    facts = run("prepare", *world.tables, "--out", out, "--name", "rings", "--json").json
    assert (facts["users"], facts["items"], facts["interactions"]) == (60, 20, 360)
    again = run("prepare", *world.tables, "--out", out, "--name", "rings")
    assert f"60 users, 20 items, 360 interactions ({facts['sequences_sha256'][:12]})" in again.out
    found = run("evaluate", folder, "--data", out, "--json").json
    assert found["protocol"]["dataset"] == "rings"
    assert found["metrics"] == Recommender.load(folder).evaluations[1].metrics
    assert_refused(run("prepare", "--data", tmp_path, "--out", out), "was not made by")


def test_prepare_does_not_overwrite_what_it_reads(world: World, tmp_path: Path):
    log = tmp_path / "interactions.parquet"
    pa.parquet.write_table(pa.csv.read_csv(world.log), log)
    before = log.read_bytes()
    assert_refused(run("prepare", "--interactions", log, "--out", tmp_path), "would be overwritten")
    assert log.read_bytes() == before
    assert list(tmp_path.iterdir()) == [log]


def test_doctor(world: World, tmp_path: Path):
    good = run("doctor", *world.tables)
    assert good.status == 0
    assert "Ready to train." in good.out
    found = run("doctor", *world.tables, "--json")
    assert found.status == 0 and found.json["ok"]
    broken = tmp_path / "broken.csv"
    broken.write_text(with_bad_time(world.log.read_text()))
    bad = run("doctor", "--interactions", broken, "--items", world.items)
    assert bad.status == 1
    assert "to mend before training." in bad.out and "What to do:" in bad.out
    found = run("doctor", "--interactions", broken, "--json")
    assert found.status == 1 and not found.json["ok"]
    assert any("soon" in finding["message"] for finding in found.json["findings"])
    assert run("doctor", "--interactions", tmp_path / "none.csv").status == 1
    assert_refused(run("doctor"), "Name a table to look at.")


def test_help_names_every_command():
    shown = run("--help")
    assert shown.status == 0
    for command in ("doctor", "prepare", "train", "evaluate", "compare", "recommend", "similar"):
        assert command in shown.out


def test_a_path_that_cannot_be_written(folder: Path, world: World, tmp_path: Path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "lists.parquet"
    result = run("recommend", folder, "--history", "i03", "--out", out)
    assert_refused(result, str(tmp_path / "file"), "What to do: Check the path")
