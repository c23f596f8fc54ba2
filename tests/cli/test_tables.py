"""doctor and prepare, and tables that are wrong."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lite_llm4rec.recommender import Recommender
from tests.cli.conftest import World, assert_refused, run
from tests.data.test_sources import write_root


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
    assert run("prepare", *world.tables, "--out", tmp_path / "prepared").status == 0
    assert run("doctor", "--data", tmp_path / "prepared").status == 0
    assert_refused(run("doctor", "--data", tmp_path), "was not made by")


def test_brackets_in_names_are_shown_as_they_are(world: World, tmp_path: Path):
    items = pyarrow.csv.read_csv(world.items)
    path = tmp_path / "items [new].csv"
    pyarrow.csv.write_csv(items.append_column("note [/old]", items["title"]), path)
    found = run("doctor", "--interactions", world.log, "--items", path)
    assert "title, note [/old]" in found.out


def test_what_would_be_ignored_is_refused(world: World, tmp_path: Path):
    both = run("doctor", "--data", tmp_path, "--interactions", world.log)
    assert_refused(both, "--interactions does not go with --data.")
    root = run("prepare", *world.tables, "--root", tmp_path, "--out", tmp_path / "new")
    assert_refused(root, "--root does not go with --interactions.")


def test_doctor_tells_on_what_terms_a_named_set_is_had(tmp_path: Path):
    write_root(tmp_path, "ml-100k")
    found = run("doctor", "--data", "ml-100k", "--root", tmp_path, "--json")
    assert "Acknowledge F. M. Harper" in found.json["facts"]["licence"]
