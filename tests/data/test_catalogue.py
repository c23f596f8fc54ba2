from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.errors import DataError, UnknownItemError

ITEMS = pa.table(
    {
        "item_id": ["c", "a", "b"],
        "genres": ["G1", None, " "],
        "year": [1999, 2000, 2001],
        "title": ["Cee", "Ay", None],
    }
)


def test_rows_keep_their_order_and_the_title_comes_first() -> None:
    catalogue = Catalogue.from_table(ITEMS)
    assert len(catalogue) == 3
    assert catalogue.ids.to_pylist() == ["c", "a", "b"]
    assert catalogue.records() == [
        {"title": "Cee", "genres": "G1"},
        {"title": "Ay", "genres": None},
        {"title": None, "genres": " "},
    ]
    assert catalogue.titles() == ["Cee", "Ay", "b"]
    assert catalogue.without_text().tolist() == [False, False, True]


def test_named_columns_become_text_whatever_they_hold() -> None:
    catalogue = Catalogue.from_table(ITEMS, items_id="year", text=["item_id", "year"])
    assert catalogue.ids.to_pylist() == [1999, 2000, 2001]
    assert catalogue.records()[0] == {"item_id": "c", "year": "1999"}


def test_an_empty_id_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 1 \(from 0[^\n]*the id is empty"):
        Catalogue.from_table(pa.table({"item_id": ["a", "", "b"], "title": ["A", "Blank", "B"]}))


def test_of_repeated_ids_the_first_row_counts() -> None:
    table = pa.table({"item_id": [2, 1, 2, 1], "title": ["two", "one", "2", "1"]})
    catalogue = Catalogue.from_table(table)
    assert catalogue.ids.to_pylist() == [2, 1]
    assert catalogue.titles() == ["two", "one"]


def test_ids_alone() -> None:
    catalogue = Catalogue.of_ids(pa.array([5, 6]))
    assert catalogue.records() == [{}, {}]
    assert catalogue.titles() == ["5", "6"]
    assert catalogue.without_text().tolist() == [True, True]
    assert Catalogue.from_table(pa.table({"item_id": [5, 6]})).records() == [{}, {}]


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"title": ["x"]}, {}, "no column that looks like the item"),
        (
            {"item_id": ["a", None]},
            {},
            "column 'item_id', row 1 \\(from 0, header not counted\\): the id is missing",
        ),
        ({"item_id": pa.array([], pa.string())}, {}, "has no rows"),
        ({"item_id": ["a"], "title": ["x"]}, {"text": ["titel"]}, "has no column 'titel'"),
        ({"item_id": [1.0, None]}, {}, "the id is missing"),
        ({"item_id": [["a", "b"]]}, {}, "'item_id' holds lists or objects"),
        ({"item_id": [1.0e20, 2.0]}, {}, "'item_id' holds decimal numbers"),
        ({"item_id": ["a"], "tags": [{"x": 1}]}, {"text": ["tags"]}, "'tags', holds struct<"),
    ],
)
def test_bad_tables_are_refused(
    tmp_path: Path, table: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "items.parquet"
    pa.parquet.write_table(pa.table(table), path)
    with pytest.raises(DataError, match=message) as caught:
        Catalogue.from_table(path, **options)
    assert str(path) in caught.value.problem
    assert caught.value.remedy


def test_numbers_as_titles_and_lists_of_words_are_text() -> None:
    table = pa.table(
        {"id": [7, 8], "year": [1917, 2006], "title": [1917, 300], "tags": [["War"], ["A", "B"]]}
    )
    catalogue = Catalogue.from_table(table)
    assert catalogue.ids.to_pylist() == [7, 8]  # called "id" alone
    assert catalogue.fields.to_pydict() == {"title": ["1917", "300"], "tags": ["War", "A ; B"]}


@pytest.mark.parametrize("make", [pa.table, pl.DataFrame])
def test_lists_of_lists_are_paths(make: Any) -> None:
    paths = [[["Toys", "Games"], ["Gifts"]], [["Toys"], [None], []], [], None]
    table = make({"item_id": [1, 2, 3, 4], "title": [*"abcd"], "categories": paths})
    joined = ["Toys > Games ; Gifts", "Toys", None, None]
    assert Catalogue.from_table(table).fields["categories"].to_pylist() == joined
    named = Catalogue.from_table(table, text=["categories"])
    assert named.fields["categories"].to_pylist() == joined


def test_lists_deeper_than_paths_are_no_text() -> None:
    table = pa.table({"item_id": [1], "title": ["a"], "deep": [[[["x"]]]]})
    assert Catalogue.from_table(table).fields.column_names == ["title"]
    with pytest.raises(DataError, match="'deep', holds list<"):
        Catalogue.from_table(table, text=["deep"])


def test_new_items_with_ids_of_another_kind_are_refused() -> None:
    with pytest.raises(DataError, match="cannot be int64"):
        Catalogue.of_ids(pa.array([1, 2])).append(Catalogue.of_ids(pa.array(["n1"])))


def test_the_hash_is_of_order_and_text() -> None:
    hashes = {
        Catalogue.from_table(pa.table({"item_id": ids, "title": titles})).sha256
        for ids, titles in ((["a", "b"], ["x", "y"]), (["b", "a"], ["y", "x"]),
                            (["a", "b"], ["x", "z"]), (["a", "b"], ["x", "y"]))
    }  # fmt: skip
    assert len(hashes) == 3


def test_lookup_gives_minus_one_for_unknown_ids() -> None:
    catalogue = Catalogue.from_table(ITEMS)
    assert catalogue.lookup(["b", "?", "c", None]).tolist() == [2, -1, 0, -1]
    assert catalogue.lookup(pa.chunked_array([["b"], ["c"]])).tolist() == [2, 0]
    assert catalogue.lookup([]).tolist() == []


@pytest.mark.parametrize("ids", [["7", "x", "5"], [7, 9, 5], np.array([7, 9, 5]), [7.0, 0.5, 5.0]])
def test_lookup_converts_ids_where_that_is_possible(ids: Any) -> None:
    assert Catalogue.of_ids(pa.array([5, 6, 7])).lookup(ids).tolist() == [2, -1, 0]


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_a_few_ids_are_found_as_many_are_also_after_an_append(kind: pa.DataType) -> None:
    catalogue = Catalogue.of_ids(pa.array(range(1000)).cast(kind))
    for start in (1000, 1010):
        few = [*catalogue.ids.to_pylist()[-3:], "7", "no", None]
        many = few * 100
        assert catalogue.lookup(many).tolist() == catalogue.lookup(few).tolist() * 100
        assert catalogue.lookup(few).tolist()[3:] == [7, -1, -1]
        added = pa.array(range(start, start + 10)).cast(kind)
        catalogue = catalogue.append(Catalogue.of_ids(added))


def test_lookup_of_numbers_among_text_ids() -> None:
    assert Catalogue.of_ids(pa.array(["5", "x"])).lookup([5, "x", 6]).tolist() == [0, 1, -1]


def test_numbers_names_the_unknown_ids() -> None:
    catalogue = Catalogue.from_table(ITEMS)
    assert catalogue.numbers(["a", "c"]).tolist() == [1, 0]
    with pytest.raises(UnknownItemError, match="does not hold 'p', 'q', 'r', 's', 't' and 1 more"):
        catalogue.numbers(["a", *"pqrstu"])


def test_who_has_text_is_known_of_appended_items_too() -> None:
    catalogue = Catalogue.from_table(ITEMS)
    assert catalogue.has_text.tolist() == [True, True, False]
    more = Catalogue.from_table(pa.table({"item_id": ["x", "y"], "title": ["Ex", " "]}))
    assert catalogue.append(more).has_text.tolist() == [True, True, False, True, False]


def test_take_and_with_ids() -> None:
    catalogue = Catalogue.from_table(ITEMS).take(np.array([2, 0])).with_ids(pa.array(["new"]))
    assert catalogue.ids.to_pylist() == ["b", "c", "new"]
    assert catalogue.titles() == ["b", "Cee", "new"]
    assert catalogue.without_text().tolist() == [True, False, True]
    bare = Catalogue.of_ids(pa.array([5])).with_ids(pa.array([6])).take(np.array([1, 0]))
    assert bare.ids.to_pylist() == [6, 5]
