"""recommend, similar, info."""

from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from lite_llm4rec.preset import preset_names
from lite_llm4rec.recommender import Recommender
from tests.cli.conftest import World, assert_refused, run


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
    both = run("recommend", folder, "--history", "i03", "--history", "", "-k", 1, "--json").json
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


def test_options_that_would_be_ignored_and_a_log_that_would_be_lost(
    folder: Path, world: World, tmp_path: Path
):
    log = tmp_path / "log.csv"
    log.write_bytes(world.log.read_bytes())
    assert_refused(
        run("recommend", folder, "--interactions", log, "--out", log), "it would be replaced"
    )
    assert log.read_bytes() == world.log.read_bytes()
    named = run("recommend", folder, "--history", "i03", "--user", "nosuch")
    assert_refused(named, "--user does not go with --history and --title.")
    users = run("recommend", folder, "--input", log, "--out", "x.csv", "--drop-unknown")
    assert_refused(users, "--drop-unknown does not go with --input.")
    assert run("recommend", folder, "--history", "i03", "--among", "", "--json").json == []
    assert_refused(run("similar", folder, "--title", ""), "title")


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
    assert_refused(run("recommend", folder), "in one way")
    both = run("recommend", folder, "--history", "i01", "--interactions", "log.csv")
    assert_refused(both, "in one way")
    assert_refused(run("recommend", folder, "--history", "i01", "--title", "i02"), "in one way")
    text = run("recommend", folder, "--history", "i01", "--out", tmp_path / "lists.txt")
    assert_refused(text, "Parquet or CSV")
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
