import pyarrow as pa
import pytest

from lite_llm4rec.data.columns import find_column, id_column, text_columns
from lite_llm4rec.errors import DataError


def table(*names: str) -> pa.Table:
    return pa.table({name: ["x"] for name in names})


def test_the_callers_name_wins_over_the_usual_one() -> None:
    assert find_column(table("user_id", "customer"), "user", "customer", "log") == "customer"


@pytest.mark.parametrize(
    ("role", "names", "expected"),
    [
        ("user", ("rating", "userId"), "userId"),
        ("user", ("reviewerID",), "reviewerID"),
        ("item", ("asin", "movieId"), "asin"),
        ("item", ("asin", "item_id"), "item_id"),
        ("time", ("unixReviewTime",), "unixReviewTime"),
        ("title", ("movie_title", "genres"), "movie_title"),
    ],
)
def test_usual_names_are_known_in_their_order(
    role: str, names: tuple[str, ...], expected: str
) -> None:
    assert find_column(table(*names), role, None, "log") == expected


def test_of_several_usual_names_the_one_that_holds_what_is_known() -> None:
    log = pa.table({"asin": ["A1", "A2"], "parent_asin": ["P1", "P1"], "item": [[1], [2]]})
    assert find_column(log, "item", None, "log", pa.array(["P1", "A1", None])) == "parent_asin"
    assert find_column(log, "item", None, "log", pa.array(["A1"])) == "asin"
    assert find_column(log, "item", None, "log") == "item"
    assert find_column(log, "item", "asin", "log", pa.array(["P1"])) == "asin"
    numbers = pa.table({"item_id": ["x", "y"], "movie_id": [1, 2]})
    assert find_column(numbers, "item", None, "log", pa.array(["2", "3"])) == "movie_id"


def test_the_id_of_an_items_table() -> None:
    assert id_column(table("id", "title"), None, "items") == "id"
    assert id_column(table("id", "asin"), None, "items") == "asin"
    assert id_column(table("id", "sku"), "sku", "items") == "sku"
    with pytest.raises(DataError, match="looks like the items' id; it has: sku, title") as caught:
        id_column(table("sku", "title"), None, "items")
    assert "--items-id" in caught.value.remedy


def test_a_misspelt_column_gets_a_suggestion() -> None:
    with pytest.raises(DataError, match=r"log\.csv has no column 'user_idd'") as caught:
        find_column(table("user_id"), "user", "user_idd", "log.csv")
    assert caught.value.remedy == "did you mean 'user_id'?"


def test_no_usual_column_lists_what_there_is_and_how_to_name_it() -> None:
    with pytest.raises(DataError, match="looks like the user; it has: a, b") as caught:
        find_column(table("a", "b"), "user", None, "log.csv")
    assert 'user="…"' in caught.value.remedy


def test_text_columns_are_the_strings_with_the_title_first() -> None:
    items = pa.table({"item_id": ["1"], "genres": ["g"], "year": [1999], "title": ["t"]})
    assert text_columns(items, "item_id", None, "items") == ["title", "genres"]


def test_without_a_title_the_tables_order_stays() -> None:
    assert text_columns(table("b", "id", "a"), "id", None, "items") == ["b", "a"]


def test_named_text_columns_keep_their_order_and_must_exist() -> None:
    assert text_columns(table("a", "b"), "id", ["b", "a"], "items") == ["b", "a"]
    with pytest.raises(DataError, match="text is 'title', and should be a list"):
        text_columns(table("title"), "id", "title", "items")
    with pytest.raises(DataError, match="name 'a' twice"):
        text_columns(table("a", "b"), "id", ["a", "b", "a"], "items")
    with pytest.raises(DataError, match="items has no column 'c'"):
        text_columns(table("a", "b"), "id", ["c"], "items")
