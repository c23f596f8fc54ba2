from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.errors import ConfigError, DataError

LOG = {
    "user_id": ["u", "u", "u", "v", "v"],
    "item_id": ["c", "a", "c", "a", "x"],
    "timestamp": [10, 20, 30, 5, 6],
}
ITEMS = {"item_id": ["a", "b", "c"], "title": ["Ay", "Bee", "Cee"]}


def titles_of_histories(data: Dataset) -> list[list[str]]:
    titles = data.catalogue.titles()
    log = data.interactions
    return [[titles[item] for item in log.history(user)] for user in range(log.n_users)]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_item_numbers_are_rows_of_the_catalogue(make: Any) -> None:
    data = Dataset.from_tables(make(LOG), pa.table(ITEMS))
    assert titles_of_histories(data) == [["Cee", "Ay", "Cee"], ["Ay", "x"]]
    assert data.catalogue.ids.to_pylist() == ["a", "c", "x"]
    assert data.interactions.item_ids.equals(data.catalogue.ids)
    assert data.candidates == "interacted"


def test_the_whole_catalogue_as_candidates_keeps_cold_items() -> None:
    data = Dataset.from_tables(pa.table(LOG), pa.table(ITEMS), candidates="catalogue")
    assert data.catalogue.ids.to_pylist() == ["a", "b", "c", "x"]
    assert data.interactions.item_counts().tolist() == [2, 0, 2, 1]
    assert titles_of_histories(data) == [["Cee", "Ay", "Cee"], ["Ay", "x"]]


def test_the_sequences_do_not_depend_on_the_items_table() -> None:
    hashes = {
        Dataset.from_tables(
            pa.table(LOG), items, candidates=candidates
        ).interactions.sequences_sha256
        for items in (None, pa.table(ITEMS))
        for candidates in ("interacted", "catalogue")
    }
    assert len(hashes) == 1


def test_without_items_only_ids_are_known() -> None:
    data = Dataset.from_tables(pa.table(LOG), name="mine")
    assert data.name == "mine"
    assert data.catalogue.records() == [{}, {}, {}]
    assert titles_of_histories(data) == [["c", "a", "c"], ["a", "x"]]


def test_the_items_table_may_call_its_id_otherwise() -> None:
    log = pa.table(LOG).rename_columns(["user_id", "product", "timestamp"])
    data = Dataset.from_tables(log, pa.table(ITEMS), item="product")
    assert data.catalogue.titles() == ["Ay", "Cee", "x"]


def test_both_tables_may_call_the_id_in_their_own_way() -> None:
    log = pa.table(LOG).rename_columns(["user_id", "product", "timestamp"])
    items = pa.table(ITEMS).rename_columns(["sku", *list(ITEMS)[1:]])
    data = Dataset.from_tables(log, items, item="product", items_id="sku")
    assert data.catalogue.titles() == ["Ay", "Cee", "x"]
    with pytest.raises(DataError, match="looks like the items' id"):
        Dataset.from_tables(log, items, item="product")


def test_of_a_logs_columns_the_one_that_the_items_table_knows_is_taken() -> None:
    log = pa.table({"asin": ["1", "2", "3", "4", "5"], **LOG}).rename_columns(
        ["asin", "user_id", "parent_asin", "timestamp"]
    )
    items = pa.table(ITEMS).rename_columns(["parent_asin", *list(ITEMS)[1:]])
    assert Dataset.from_tables(log, items).catalogue.titles() == ["Ay", "Cee", "x"]
    other = items.add_column(0, "asin", pa.array(["7", "8", "9"]))
    named = Dataset.from_tables(log, other, items_id="parent_asin")
    assert named.catalogue.titles() == ["Ay", "Cee", "x"]


def test_many_items_without_a_row_are_told() -> None:
    with pytest.warns(UserWarning, match=r"1 of the 3 items [\s\S]* no text: 'x' for one"):
        Dataset.from_tables(pa.table(LOG), pa.table(ITEMS))


def test_text_of_no_items_table_is_refused() -> None:
    with pytest.raises(ConfigError, match="text names a column of an items table"):
        Dataset.from_tables(pa.table(LOG), text=["title"])


def test_an_id_of_no_items_table_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is none"):
        Dataset.from_tables(pa.table(LOG), items_id="sku")


def test_core_and_duplicates() -> None:
    data = Dataset.from_tables(pa.table(LOG), pa.table(ITEMS), core=2)
    assert titles_of_histories(data) == [["Cee", "Cee"]]
    once = Dataset.from_tables(pa.table(LOG), pa.table(ITEMS), duplicates="last")
    assert titles_of_histories(once) == [["Ay", "Cee"], ["Ay", "x"]]


@pytest.mark.parametrize(
    ("ours", "theirs"), [(pa.int32(), pa.int64()), (pa.int64(), pa.int16())], ids=str
)
def test_integer_ids_may_differ_in_width(ours: pa.DataType, theirs: pa.DataType) -> None:
    log = pa.table(LOG).set_column(1, "item_id", pa.array([3, 1, 3, 1, 4], ours))
    items = pa.table(ITEMS).set_column(0, "item_id", pa.array([1, 2, 3], theirs))
    data = Dataset.from_tables(log, items)
    assert titles_of_histories(data) == [["Cee", "Ay", "Cee"], ["Ay", "4"]]


def test_interactions_of_another_order_are_numbered_as_the_catalogue() -> None:
    data = Dataset.from_tables(pa.table(LOG), pa.table({"item_id": ["x", "c", "a"]}))
    assert data.renumber(data.catalogue) is data
    mixed = replace(data, interactions=Interactions.from_table(pa.table(LOG)))
    assert mixed.interactions.items.tolist() == [1, 0, 1, 0, 2]
    found = mixed.renumber(data.catalogue)
    assert found.interactions.items.tolist() == data.interactions.items.tolist()


def test_integer_ids_that_no_one_type_holds_are_refused() -> None:
    log = pa.table(LOG).set_column(1, "item_id", pa.array([1, 2**63 + 5, 1, 2, 2], pa.uint64()))
    items = pa.table(ITEMS).set_column(0, "item_id", pa.array([1, 2, 3], pa.int64()))
    with pytest.raises(DataError, match="cannot all be int64: Integer value 9223372036854775813"):
        Dataset.from_tables(log, items)


def test_ids_of_two_kinds_are_refused() -> None:
    items = pa.table(ITEMS).set_column(0, "item_id", pa.array([b"a", b"b", b"c"]))
    with pytest.raises(DataError, match="string in the interactions and binary in the items"):
        Dataset.from_tables(pa.table(LOG), items)


def test_ids_that_never_meet_are_refused_with_an_example() -> None:
    items = pa.table(ITEMS).set_column(0, "item_id", pa.array(["A", "B", "C"]))
    with pytest.raises(DataError, match="'a' against 'A'"):
        Dataset.from_tables(pa.table(LOG), items)


def test_an_unusable_items_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "films.parquet"
    pq.write_table(pa.table(ITEMS).slice(0, 0), path)
    with pytest.raises(DataError, match=r"films\.parquet has no rows"):
        Dataset.from_tables(pa.table(LOG), path)


def test_numbers_in_one_table_are_found_as_text_in_the_other() -> None:
    log = pa.table({"user_id": [1, 1], "item_id": [10, 20], "timestamp": [1, 2]})
    items = pa.table({"item_id": ["20", "10", "x1"], "title": ["B", "A", "C"]})
    data = Dataset.from_tables(log, items, candidates="catalogue")
    assert data.catalogue.ids.to_pylist() == ["20", "10", "x1"]
    assert data.interactions.items.tolist() == [1, 0]


@pytest.mark.parametrize("wrong", [{"duplicates": "drop"}, {"candidates": "all"}])
def test_settings_that_do_not_exist_are_refused(wrong: dict[str, Any]) -> None:
    log = pa.table({"user_id": [1, 1], "item_id": [10, 20], "timestamp": [1, 2]})
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is"):
        Dataset.from_tables(log, **wrong)
