"""Recommending for files of histories."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lite_llm4rec.batch import BatchCounts, recommend_file
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import ConfigError, DataError, StoreError
from lite_llm4rec.lists import EMPTY_HISTORY
from lite_llm4rec.models import SASRecConfig
from lite_llm4rec.paths import alone
from lite_llm4rec.recommender import Recommender
from tests.conftest import elsewhere, tiny_preset, untrained

USERS, CHUNK = 50, 8


@pytest.fixture
def recommender(small_ring: Dataset) -> Recommender:
    return untrained(
        small_ring, tiny_preset(model=SASRecConfig(width=8, blocks=1, history_length=4))
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Histories of 0 to 6 items, of which every tenth user has one that nobody knows."""
    rng = np.random.default_rng(0)
    lists: list[Any] = [
        [f"i{item:02}" for item in rng.integers(0, 20, user % 7)]
        + (["nobody's"] if user % 10 == 3 else [])
        for user in range(USERS)
    ]
    lists[7] = None
    table = pa.table({"user_id": [f"u{user}" for user in range(USERS)], "history": lists})
    pyarrow.parquet.write_table(table, tmp_path / "users.parquet", row_group_size=13)
    return tmp_path / "users.parquet"


def chunked(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch, after: int = 10**9
) -> list[int]:
    """Note how many histories come at a time; the process dies at the chunk behind `after`."""
    sizes: list[int] = []
    whole = recommender.recommend

    def recommend(histories: Any, *args: Any, **how: Any) -> Any:
        if len(sizes) == after:
            os._exit(9)
        sizes.append(len(histories))
        return whole(histories, *args, **how)

    monkeypatch.setattr(recommender, "recommend", recommend)
    return sizes


def batch(recommender: Recommender, source: Path, target: Path, **how: Any) -> BatchCounts:
    return recommend_file(recommender, source, target, 3, chunk=CHUNK, progress=False, **how)


def test_it_gives_what_recommend_gives(recommender, source, tmp_path):
    counts = batch(recommender, source, tmp_path / "out.parquet", exclude=["i04"])
    assert counts == BatchCounts(USERS, 3 * USERS, 5, 0)
    table = pyarrow.parquet.read_table(source)
    known = [
        [item for item in row or [] if item != "nobody's"] for row in table["history"].to_pylist()
    ]
    expected = recommender.recommend(known, 3, exclude=["i04"]).to_table()
    found = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert found.column_names == ["user", "rank", "item_id", "score", "note"]
    assert found["user"].to_pylist() == [f"u{user}" for user in range(USERS) for _ in range(3)]
    for name in ("rank", "item_id", "note"):
        assert found[name].to_pylist() == expected[name].to_pylist()
    np.testing.assert_allclose(found["score"], expected["score"], atol=1e-6)
    assert found["note"].to_pylist()[21:24] == [EMPTY_HISTORY] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "users.parquet"]


def test_a_csv_holds_the_same(recommender, source, tmp_path):
    batch(recommender, source, tmp_path / "out.csv")
    batch(recommender, source, tmp_path / "out.parquet")
    found = pyarrow.csv.read_csv(tmp_path / "out.csv")
    expected = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    for name in ("user", "rank", "item_id", "note"):
        assert found[name].to_pylist() == expected[name].to_pylist()
    with pytest.raises(ConfigError, match="Parquet or CSV"):
        batch(recommender, source, tmp_path / "out.xlsx")
    assert not (tmp_path / "out.xlsx.parts").exists()


def test_no_more_than_a_chunk_is_held_whatever_the_row_groups(
    recommender, source, tmp_path, monkeypatch
):
    sizes = chunked(recommender, monkeypatch)
    batch(recommender, source, tmp_path / "out.parquet")
    assert sizes == [CHUNK] * 6 + [2]


def test_killed_and_resumed_it_writes_the_same_file(recommender, source, tmp_path, monkeypatch):
    target = tmp_path / "out.parquet"
    batch(recommender, source, tmp_path / "at-once.parquet")
    child = os.fork()
    if child == 0:
        chunked(recommender, monkeypatch, after=3)
        batch(recommender, source, target)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not target.exists()
    (tmp_path / "out.parquet.parts" / "00000003.part").write_bytes(b"half")
    sizes = chunked(recommender, monkeypatch)
    counts = batch(recommender, source, target)
    assert sizes == [CHUNK] * 3 + [2]
    assert counts == BatchCounts(USERS, 3 * USERS, 5, 3 * CHUNK)
    assert target.read_bytes() == (tmp_path / "at-once.parquet").read_bytes()
    assert not (tmp_path / "out.parquet.parts").exists()


def interrupted(recommender: Recommender, source: Path, target: Path) -> None:
    """Leave the parts of a run that did not end."""
    whole = recommender.recommend
    recommender.recommend = _fail_at_third(whole)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        batch(recommender, source, target)
    recommender.recommend = whole  # type: ignore[method-assign]


def _fail_at_third(whole: Any) -> Any:
    calls: list[int] = []

    def recommend(*args: Any, **how: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*args, **how)

    return recommend


def test_parts_of_another_question_are_neither_taken_nor_lost(recommender, source, tmp_path):
    target = tmp_path / "out.parquet"
    interrupted(recommender, source, target)
    with pytest.raises(ConfigError, match=r"out.parquet.parts holds parts .* made otherwise"):
        batch(recommender, source, target, exclude=["i01"])
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(source).slice(1), source)
    with pytest.raises(ConfigError, match="made otherwise"):
        batch(recommender, source, target)
    shutil.rmtree(tmp_path / "out.parquet.parts")
    counts = batch(recommender, source, target)
    assert (counts.resumed, counts.users) == (0, USERS - 1)
    interrupted(recommender, source, target)
    recommender.retire_items(["i02"])
    with pytest.raises(ConfigError, match="made otherwise"):
        batch(recommender, source, target)


def test_two_do_not_make_one_target(recommender, source, tmp_path):
    target, parts = tmp_path / "out.parquet", tmp_path / "out.parquet.parts"
    with elsewhere(parts), pytest.raises(StoreError, match="Another process"):
        batch(recommender, source, target)
    assert batch(recommender, source, target).rows and not parts.exists()


def test_the_parts_are_made_and_removed_by_who_has_the_target(
    recommender, source, tmp_path, monkeypatch
):
    done = []

    @contextmanager
    def alone_and_told(parts, seconds):
        with alone(parts, seconds):
            done.append(parts.exists())
            yield
            done.append(parts.exists())

    monkeypatch.setattr("lite_llm4rec.batch.alone", alone_and_told)
    batch(recommender, source, tmp_path / "out.parquet")
    assert done == [False, False]


def test_a_refused_call_leaves_nothing(recommender, source, tmp_path):
    target, before = tmp_path / "out.parquet", sorted(tmp_path.iterdir())
    with pytest.raises(DataError):
        batch(recommender, source, target, candidates=["nosuch"])
    with pytest.raises(DataError, match="is the column of lists"):
        recommend_file(recommender, source, target, user="history", progress=False)
    assert sorted(tmp_path.iterdir()) == before


def test_the_input_is_not_replaced_by_its_lists(recommender, source):
    with pytest.raises(ConfigError, match="is the input"):
        batch(recommender, source, source.parent / "." / source.name)
    assert pyarrow.parquet.read_table(source).num_rows == USERS


def test_a_chunk_without_a_single_row(recommender, tmp_path):
    source = tmp_path / "in.parquet"
    table = pa.table({"user_id": ["a", "b", "c"], "items": [["i01"], ["i01"], ["i02"]]})
    pyarrow.parquet.write_table(table, source)
    target, only = tmp_path / "out.parquet", ["i01"]
    counts = recommend_file(recommender, source, target, candidates=only, chunk=2, progress=False)
    assert (counts.users, counts.rows) == (3, 1)
    assert pyarrow.parquet.read_table(target)["user"].to_pylist() == ["c"]


def test_killed_while_parts_are_removed_it_goes_on(recommender, source, tmp_path, monkeypatch):
    target = tmp_path / "out.parquet"
    monkeypatch.setattr(shutil, "rmtree", lambda folder: (_ for _ in ()).throw(OSError()))
    with pytest.raises(OSError):
        recommend_file(recommender, source, target, 3, chunk=7, progress=False)
    before = target.read_bytes()
    monkeypatch.undo()
    recommend_file(recommender, source, target, 3, chunk=7, progress=False)
    assert target.read_bytes() == before
    assert not list(tmp_path.glob("*.parts"))


def test_a_folder_is_no_target(recommender, source, tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        recommend_file(recommender, source, tmp_path, 3, progress=False)


def test_a_file_without_users(recommender, source, tmp_path):
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(source).slice(0, 0), source)
    assert batch(recommender, source, tmp_path / "out.parquet") == BatchCounts(0, 0, 0, 0)
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 0


def test_what_is_no_file_of_histories_is_refused(recommender, source, tmp_path):
    target = tmp_path / "out.parquet"
    with pytest.raises(DataError, match="No such file"):
        batch(recommender, tmp_path / "no.parquet", target)
    (tmp_path / "text.parquet").write_text("user,history")
    with pytest.raises(DataError, match="no Parquet"):
        batch(recommender, tmp_path / "text.parquet", target)
    pyarrow.parquet.write_table(pa.table({"user_id": [1], "item_id": [2]}), source)
    with pytest.raises(DataError, match="0 columns of lists"):
        batch(recommender, source, target)
    pyarrow.parquet.write_table(pa.table({"who": [1], "history": [["i01"]]}), source)
    with pytest.raises(DataError, match="looks like the user"):
        batch(recommender, source, target)
    assert batch(recommender, source, target, user="who").rows == 3
    assert not (tmp_path / "out.parquet.parts").exists()
