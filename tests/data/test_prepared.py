import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.prepared import read_prepared, write_prepared
from lite_llm4rec.errors import DataError
from tests.conftest import ring_tables


def same(found: Dataset, expected: Dataset) -> bool:
    one, other = found.interactions, expected.interactions
    assert one.user_ids.equals(other.user_ids)
    assert one.item_ids.equals(other.item_ids)
    assert np.array_equal(one.offsets, other.offsets)
    assert np.array_equal(one.items, other.items)
    assert np.array_equal(one.times, other.times)
    assert (one.time, one.time_ties) == (other.time, other.time_ties)
    assert one.duplicates_removed == other.duplicates_removed
    assert one.sequences_sha256 == other.sequences_sha256
    assert found.catalogue.ids.equals(expected.catalogue.ids)
    assert found.catalogue.fields.equals(expected.catalogue.fields)
    assert found.candidates == expected.candidates
    return True


@pytest.mark.parametrize("candidates", ["interacted", "catalogue"])
def test_what_is_read_is_what_was_written(candidates, tmp_path: Path):
    log, items = ring_tables(30, 15, 5, seed=1)
    items = pa.concat_tables([items, pa.table({"item_id": ["zz"], "title": ["Never seen"]})])
    dataset = Dataset.from_tables(log, items, candidates=candidates)
    facts = write_prepared(dataset, tmp_path / "new" / "folder", "rings")
    found = read_prepared(tmp_path / "new" / "folder")
    assert same(found, dataset)
    assert found.name == "rings"
    assert facts == json.loads((tmp_path / "new" / "folder" / "prepared.json").read_text())
    assert facts == {
        "name": "rings",
        "candidates": candidates,
        "users": 30,
        "items": 15 + (candidates == "catalogue"),
        "interactions": 150,
        "duplicates_removed": 0,
        "time": "unix",
        "time_ties": 0,
        "sequences_sha256": dataset.interactions.sequences_sha256,
        "catalogue_sha256": dataset.catalogue.sha256,
    }
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == [
        "interactions.parquet",
        "items.parquet",
        "prepared.json",
    ]


def test_what_was_changed_or_damaged_since_is_told(tmp_path: Path):
    log, items = ring_tables(30, 15, 5, seed=1)
    write_prepared(Dataset.from_tables(log, items), tmp_path, "rings")
    table = pa.parquet.read_table(tmp_path / "items.parquet")
    other = table.set_column(1, "title", pa.array(["Another"] * len(table)))
    pa.parquet.write_table(other, tmp_path / "items.parquet")
    with pytest.raises(DataError, match="has changed since it was prepared"):
        read_prepared(tmp_path)
    for content in ("{", '{"name": "x"}', "[]"):
        (tmp_path / "prepared.json").write_text(content)
        with pytest.raises(DataError, match=r"prepared\.json is damaged"):
            read_prepared(tmp_path)


def test_a_text_column_that_is_called_as_the_id(tmp_path: Path):
    log, items = ring_tables(30, 15, 5, seed=1)
    items = items.rename_columns(["asin", "item_id"])
    dataset = Dataset.from_tables(log, items, items_id="asin")
    with pytest.raises(DataError, match="called 'item_id'"):
        write_prepared(dataset, tmp_path, "rings")


def test_without_an_items_table(tmp_path: Path):
    log, _ = ring_tables(30, 15, 5, seed=1)
    dataset = Dataset.from_tables(log)
    write_prepared(dataset, tmp_path, "ids")
    assert same(read_prepared(tmp_path), dataset)


def test_text_columns_keep_the_callers_order(tmp_path: Path):
    log, items = ring_tables(30, 15, 5, seed=1)
    items = items.append_column("name", [[f"n{row}" for row in range(15)]])
    items = items.append_column("text", [[None] * 14 + ["x"]])
    dataset = Dataset.from_tables(log, items, text=["text", "name", "title"])
    write_prepared(dataset, tmp_path, "rings")
    found = read_prepared(tmp_path)
    assert same(found, dataset)
    assert found.catalogue.fields.column_names == ["text", "name", "title"]


def test_positions_stay_positions_though_a_core_leaves_gaps(tmp_path: Path):
    users = [user for user in range(6) for _ in range(4)]
    items = [item for user in range(6) for item in ("a", f"only{user}", "b", "c")]
    log = pa.table({"user_id": users, "item_id": items, "timestamp": [1, 2, 3, 4] * 6})
    dataset = Dataset.from_tables(log, core=2)
    assert dataset.interactions.time == "order"
    assert dataset.interactions.times.tolist() == [1, 3, 4] * 6
    write_prepared(dataset, tmp_path, "order")
    assert same(read_prepared(tmp_path), dataset)


def test_duplicates_removed_are_remembered(tmp_path: Path):
    log = pa.table(
        {"user_id": [1, 1, 1, 2], "item_id": [7, 8, 7, 8], "timestamp": [50, 60, 70, 80]}
    )
    dataset = Dataset.from_tables(log, duplicates="last")
    write_prepared(dataset, tmp_path, "few")
    assert read_prepared(tmp_path).interactions.duplicates_removed == 1
    assert same(read_prepared(tmp_path), dataset)


def test_tables_that_changed_are_refused(tmp_path: Path, small_ring: Dataset):
    write_prepared(small_ring, tmp_path, "rings")
    path = tmp_path / "interactions.parquet"
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path).slice(1), path)
    with pytest.raises(DataError, match="has changed since it was prepared"):
        read_prepared(tmp_path)


def test_other_folders_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"was not made by `lite-llm4rec prepare`"):
        read_prepared(tmp_path)


def test_the_callers_own_tables_are_not_overwritten(tmp_path: Path):
    log, items = ring_tables(30, 15, 5, seed=1)
    pyarrow.parquet.write_table(log, tmp_path / "interactions.parquet")
    pyarrow.parquet.write_table(items, tmp_path / "items.parquet")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    dataset = Dataset.from_tables(tmp_path / "interactions.parquet", tmp_path / "items.parquet")
    with pytest.raises(DataError, match="would be overwritten"):
        write_prepared(dataset, tmp_path, "rings")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_crash_leaves_the_old_folder(tmp_path: Path, small_ring: Dataset, monkeypatch):
    write_prepared(small_ring, tmp_path, "rings")
    log, items = ring_tables(30, 15, 5, seed=1)
    write = pyarrow.parquet.write_table

    def crash(table: pa.Table, path: Path) -> None:
        if "items" in path.name:
            raise OSError(28, "No space left on device")
        write(table, path)

    monkeypatch.setattr(pyarrow.parquet, "write_table", crash)
    with pytest.raises(OSError, match="No space"):
        write_prepared(Dataset.from_tables(log, items), tmp_path, "others")
    assert same(read_prepared(tmp_path), small_ring)


def test_a_folder_is_replaced_by_a_new_preparation(tmp_path: Path, small_ring: Dataset):
    log, items = ring_tables(30, 15, 5, seed=1)
    write_prepared(Dataset.from_tables(log, items), tmp_path, "others")
    write_prepared(small_ring, tmp_path, "rings")
    assert same(read_prepared(tmp_path), small_ring)
