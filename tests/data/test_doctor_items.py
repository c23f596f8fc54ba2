from pathlib import Path

import pyarrow as pa
import pytest

from lite_llm4rec.data.doctor import examine
from tests.data.doctor_tables import GOOD, found, items_of, only, table


def test_items_without_row_and_cold_items() -> None:
    findings = found(examine(GOOD, items_of([*"xyvw"])))
    assert findings["items_without_row"].message == (
        "1 item has interactions but no row in the items table, for example 'z'."
        " This touches 33.3% of the interactions."
    )
    assert findings["cold_items"].message.startswith(
        "2 items (50.0%) have a row in the items table"
    )
    assert findings["items_without_row"].severity == "warning"
    assert findings["cold_items"].severity == "note"


def test_ids_of_two_kinds_are_compared_as_text() -> None:
    log = table([*"aaabbb"], [1, 2, 3, 3, 2, 1])
    finding = only(examine(log, items_of(["1", "2", "3"])), "id_types")
    assert finding.message == (
        "Item ids are integers in the interactions and text in the items table; they are compared"
        " as text."
    )
    assert finding.severity == "note"
    assert only(examine(log, items_of([1, 2, 3, 3])), "repeated_item_ids")


def test_integer_ids_of_another_width_are_fine() -> None:
    log = table([*"aaabbb"], pa.array([1, 2, 3, 3, 2, 1], pa.int32()))
    assert found(examine(log, items_of([1, 2, 3]))) == {}


def test_no_common_ids() -> None:
    finding = found(examine(GOOD, items_of([*"uvw"])))["no_common_ids"]
    assert finding.severity == "error"
    assert "('x' against 'u')" in finding.message


@pytest.mark.parametrize(
    ("ids", "repair"),
    [
        (["ab ", " cd", "ef"], "stripping spaces"),
        (["AB", "Cd", "EF"], "ignoring case"),
        (["00ab", "0cd", "ef"], "removing leading zeros"),
        (["ab.0", "cd.0", "ef.0"], "removing a final '.0'"),
    ],
)
def test_ids_that_nearly_match(ids: list[str], repair: str) -> None:
    log = table([*"uuuvvv"], ["ab", "cd", "ef", "ef", "cd", "ab"])
    finding = found(examine(log, items_of(ids)))["ids_nearly_match"]
    nearly = sum(one not in ("ab", "cd", "ef") for one in ids)
    assert finding.message.startswith(f"After {repair}, {nearly} more item id")
    assert finding.severity == ("error" if nearly == 3 else "warning")


def test_numbers_against_padded_text() -> None:
    log = table([*"aaabbb"], [1, 2, 3, 3, 2, 1])
    findings = found(examine(log, items_of(["001", "002", "003"])))
    assert {"id_types", "no_common_ids", "ids_nearly_match"} <= set(findings)
    assert "leading zeros" in findings["ids_nearly_match"].message


def test_missing_and_repeated_item_ids() -> None:
    findings = found(examine(GOOD, items_of(["x", None, "y", "z", "x", "z"])))
    assert set(findings) == {"missing_item", "repeated_item_ids"}
    assert "no item in 1 of 6 rows, the first is row 1" in findings["missing_item"].message
    assert findings["repeated_item_ids"].message.startswith(
        "In the items table, 2 rows repeat an id"
    )


def test_items_without_text() -> None:
    finding = only(examine(GOOD, items_of([*"xyz"], ["Ex", " ", None])), "no_text")
    assert finding.message == "2 items (66.7%) have no text, for example 'y'."
    bare = examine(GOOD, pa.table({"item_id": [*"xyz"]}))
    assert only(bare, "no_text").message.startswith("3 items (100.0%)")
    assert dict(bare.facts)["text fields"] == "none"


def test_shared_text_counts_all_fields() -> None:
    items = items_of([*"xyz"], ["Same", "Same", "Same"]).append_column(
        "genre", pa.array(["g", "h", "g"])
    )
    finding = only(examine(GOOD, items), "shared_text")
    assert finding.message.startswith("2 items have the very same text")
    assert finding.message.endswith("Most often, 2 times, it is 'Same | g'.")
    untitled = items.set_column(1, "title", pa.nulls(3, pa.string()))
    assert only(examine(GOOD, untitled), "shared_text").message.endswith("2 times, it is 'g'.")
    by_title = only(examine(GOOD, items, text=["title"]), "shared_text")
    assert by_title.message.startswith("3 items have")


@pytest.mark.parametrize("title", ["<b>Bold</b>", "A<br/>B", "Tom &amp; Jerry", "It&#39;s"])
def test_html(title: str) -> None:
    finding = only(examine(GOOD, items_of([*"xyz"], ["Ex", title, "1 < 2 & 3 > 2; AT&T"])), "html")
    assert finding.message == f"1 item has HTML in 'title', for example {title!r}."


def test_a_quotation_mark_left_open_in_a_csv(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text('item_id,title,brand\nx,Ex,"Open\ny,Why,Foo"\nz,Zed,Bar\n')
    finding = found(examine(GOOD, path))["line_breaks"]
    assert finding.message == "1 item has a line break in 'brand', the first is 'x'."
    assert "quotation mark" in finding.remedy
    path.write_text('item_id,title,brand\nx,Ex,"Open\ny,Why,Foo\nz,Zed,Bar\n')
    assert "no quotation mark ends it" in found(examine(GOOD, path))["unreadable"].message
    long = items_of([*"xyz"], ["A\nB", "C", "D"])
    assert found(examine(GOOD, long)) == {}  # which no CSV is


def test_what_is_not_read_is_told() -> None:
    items = items_of([*"xyz"]).append_column("year", pa.array([1990, 1991, 1992]))
    assert dict(examine(GOOD, items).facts)["columns that are not read"] == "year"
    assert "columns that are not read" not in dict(examine(GOOD, items_of([*"xyz"])).facts)


def test_an_id_by_another_name() -> None:
    items = items_of([*"xyz"]).rename_columns(["sku", "title"])
    assert only(examine(GOOD, items), "no_item_column").severity == "error"
    assert found(examine(GOOD, items, items_id="sku")) == {}
    assert found(examine(GOOD, items_of([*"xyz"]).rename_columns(["id", "title"]))) == {}


def test_a_text_column_that_is_named_twice() -> None:
    finding = only(examine(GOOD, items_of([*"xyz"]), text=["title", "title"]), "items_table")
    assert (finding.message, finding.remedy) == (
        "The text columns name 'title' twice.", "Name each once."
    )  # fmt: skip


def test_columns_that_are_no_text() -> None:
    items = items_of([*"xyz"]).append_column("price", pa.array([1.5, 2.5, 3.5]))
    items = items.append_column("tags", pa.array([["a"], ["b"], []]))
    items = items.append_column("sizes", pa.array([[1], [2], []]))
    columns = ["title", "price", "tags", "sizes", "titel"]
    findings = found(examine(GOOD, items, text=columns))
    assert "'sizes'" in findings["text_type"].message
    assert {code: finding.severity for code, finding in findings.items()} == {
        "text_type": "error",
        "no_title_column": "error",
        "numeric_text": "warning",
    }


def test_a_title_that_is_called_otherwise() -> None:
    items = items_of([*"xyz"]).rename_columns(["item_id", "genres"])
    finding = only(examine(GOOD, items), "no_title")
    assert finding.severity == "warning" and "'genres' is taken for the title" in finding.message
    assert found(examine(GOOD, items, text=["genres"])) == {}
