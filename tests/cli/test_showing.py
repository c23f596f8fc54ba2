"""Commands that show: what a failing cell does to the run and its status."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest

from tests.cli.conftest import assert_refused, run
from tests.conftest import ring_tables


def test_reproduce_goes_on_after_a_failure_and_says_so(tmp_path: Path):
    log, items = ring_tables(40, 20, 6, seed=0)
    (tmp_path / "data" / "ml-1m").mkdir(parents=True)
    pyarrow.parquet.write_table(log, tmp_path / "data" / "ml-1m" / "interactions.parquet")
    pyarrow.parquet.write_table(items, tmp_path / "data" / "ml-1m" / "items.parquet")
    records = tmp_path / "records"
    result = run(
        "reproduce", "redundancy", "table3", "--root", tmp_path / "data", "--records", records,
        "--out", tmp_path / "pages", "--t5", tmp_path / "nothing",
    )  # fmt: skip
    assert result.status == 1
    assert "failed: No such model folder" in result.out
    assert "1 failed: ml-1m.encodings" in result.out
    counted = json.loads((records / "table3" / "ml-1m.statistics.json").read_text())
    assert counted["values"]["users"] == 40
    assert "failed: No such model folder" in (tmp_path / "pages" / "redundancy.md").read_text()


def test_the_demo_overwrites_nobodys_tables(tmp_path: Path):
    (tmp_path / "interactions.parquet").write_bytes(b"work of years")
    assert_refused(run("demo", "--out", tmp_path), "holds what the demo did not make")
    assert (tmp_path / "interactions.parquet").read_bytes() == b"work of years"


def test_a_folder_without_records_makes_no_page(tmp_path: Path):
    page = tmp_path / "results.md"
    page.write_text("as it was")
    assert_refused(run("results", tmp_path / "nope", "--out", page), "no records")
    assert page.read_text() == "as it was"


@pytest.mark.parametrize(
    "wrong", [("--threads", "0"), ("--devices", "0"), ("--seed", "-1"), ("--core", "-3")]
)
def test_numbers_that_cannot_be(wrong: tuple[str, str], tmp_path: Path):
    command = "prepare" if wrong[0] == "--core" else "train"
    found = run(command, "--data", "ml-100k", "--out", tmp_path / "run", *wrong)
    assert found.status == 2
    assert wrong[0] in found.err
    assert not list(tmp_path.iterdir())
