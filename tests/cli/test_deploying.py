"""export, index, and recommend for a file."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from lite_llm4rec import recommender as recommender_module
from lite_llm4rec.recommender import Recommender
from tests.cli.conftest import World, assert_refused, run


def test_export_and_ask(folder: Path, world: World, tmp_path: Path):
    out = tmp_path / "export"
    shown = run("export", folder, "--out", out, *world.tables)
    assert shown.status == 0, shown.err
    assert "60 histories, validation of log" in shown.out
    assert "ten best in common   1.0000" in shown.out
    assert "95 % interval of the change +0.0000 – +0.0000" in shown.out
    assert f"Saved to {out}" in shown.out
    asked = ["--history", "i03,i04", "--k", 3, "--json"]
    one, other = (run("recommend", place, *asked).json for place in (folder, out))
    assert [row["item_id"] for row in one] == [row["item_id"] for row in other]
    assert "20 items" in run("info", out).out


def test_export_refuses_what_it_cannot_do(folder: Path, world: World, tmp_path: Path):
    out = tmp_path / "export"
    wrong = run("export", folder, "--out", out, "--precision", "int4")
    assert_refused(wrong, "--precision is 'int4'", "int8")
    assert_refused(run("export", folder, "--out", out, "--runtime", "torch"), "--runtime", "onnx")
    assert_refused(run("export", folder, "--out", out, "--precision", "bf16"), "no bf16")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    assert_refused(run("export", folder, "--out", tmp_path / "other"), "not a run folder")


def test_index(folder: Path, world: World, tmp_path: Path, monkeypatch):
    assert_refused(run("index", folder), "20,000 items or more, not for 20")
    monkeypatch.setattr(recommender_module, "EXACT_BELOW", 10)
    Recommender.load(folder).save(tmp_path / "run")
    shown = run("index", tmp_path / "run", "--recall", 1.0, *world.tables)
    assert shown.status == 0, shown.err
    assert "an index of 18 cells" in shown.out
    assert "1.0000 of the ten best of 60 users" in shown.out
    assert Recommender.load(tmp_path / "run").index is not None


def test_recommend_for_a_file(folder: Path, world: World, tmp_path: Path):
    lists = [["i03", "i04"], ["i09", "unknown"], ["i10"]]
    users = tmp_path / "users.parquet"
    pa.parquet.write_table(pa.table({"user_id": [7, 8, 9], "items": lists}), users)
    out = tmp_path / "lists.parquet"
    asked = ["recommend", folder, "--input", users, "--k", 2]
    shown = run(*asked, "--output", out)
    assert shown.status == 0, shown.err
    assert f"6 rows for 3 users written to {out}; 1 unknown items were left out" in shown.out
    assert pa.parquet.read_table(out)["user"].to_pylist() == [7, 7, 8, 8, 9, 9]
    counts = run(*asked, "--output", out, "--json").json
    assert counts == {"users": 3, "rows": 6, "unknown": 1, "resumed": 0}
    assert_refused(run(*asked), "--input goes with --output")
    assert_refused(run(*asked, "--output", out, "--history", "i03"), "--history does not go with")
