import pyarrow as pa
import pytest

from lite_llm4rec.data.attributes import read_attributes, split_values, tidy
from lite_llm4rec.data.catalogue import Catalogue

FIELDS = {
    "title": ["Heat", "War|Drama", "Uno", None, "Chess"],
    "genres": ["Crime|Drama", " war | drama ", None, "", "Drama|DRAMA"],
    "categories": [
        "Toys > Games ; Toys > Cards",
        "Toys",
        "Toys &gt; Games",
        None,
        "Games",
    ],
    "description": ["One alone", "Another", "A third", "", "A last"],
}


def catalogue(fields: dict[str, list[str | None]]) -> Catalogue:
    columns = {name: pa.array(values, pa.string()) for name, values in fields.items()}
    return Catalogue(pa.array(range(len(fields["title"]))), pa.table(columns))


def test_which_item_has_which():
    found = read_attributes(catalogue(FIELDS))
    assert found.names == ["genres: Drama", "categories: Toys", "categories: Games"]
    assert found.offsets.tolist() == [0, 3, 5, 7, 7, 9]
    assert found.numbers.tolist() == [0, 1, 2, 0, 1, 1, 2, 0, 2]


def test_a_title_is_no_attribute():
    assert read_attributes(catalogue({"title": ["Drama", "Drama"]})).names == []


@pytest.mark.parametrize("fields", [{}, {"title": [None, None], "genres": [None, None]}])
def test_nothing_known_is_nothing_found(fields: dict[str, list[str | None]]):
    ids = pa.array([7, 8])
    found = read_attributes(catalogue(fields) if fields else Catalogue.of_ids(ids))
    assert (found.names, found.numbers.tolist()) == ([], [])
    assert found.offsets.tolist() == [0, 0, 0]


def test_one_value_of_two_fields_is_two_attributes():
    fields = {"title": ["A", "B"], "brand": ["Lego", "Lego"], "category": ["Lego", "lego"]}
    found = read_attributes(catalogue(fields))
    assert found.names == ["brand: Lego", "category: Lego"]


def test_lookup_by_name():
    found = read_attributes(catalogue(FIELDS))
    assert found.lookup(["categories: Games", "genres: War", "genres: Drama"]).tolist() == [
        2,
        -1,
        0,
    ]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Animation|Children's|Comedy", ["Animation", "Children's", "Comedy"]),
        ("Toys & Games > Games ; Toys & Games > Hobbies", ["Toys & Games", "Games", "Hobbies"]),
        ("Drama|drama||Comedy|", ["Drama", "Comedy"]),
        ("1995", ["1995"]),
        ("a>b", ["a>b"]),
        ("", []),
    ],
)
def test_values_of_a_field(text: str, values: list[str]):
    assert split_values(text) == values


def test_tidy():
    assert tidy(" Arts &amp;\n Crafts\x00\t") == "Arts & Crafts"
    assert tidy(None) == ""
