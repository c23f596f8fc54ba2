import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lite_llm4rec.text.template import TEMPLATE_VERSION, TEMPLATES, item_text, title_text

CASES = [
    (
        {"title": "Toy Story (1995)", "genres": "Animation|Children's|Comedy"},
        "Toy Story (1995). Genres: Animation, Children's, Comedy",
    ),
    (
        {
            "title": "Uno",
            "categories": "Toys & Games > Games > Card Games ; Toys & Games > Hobbies",
            "brand": "Mattel",
        },
        "Uno. Categories: Toys & Games, Games, Card Games, Hobbies. Brand: Mattel",
    ),
    ({"title": "Up", "genres": "Drama|drama||Comedy|"}, "Up. Genres: Drama, Comedy"),
    ({"title": " Tom &amp;\n Jerry\t", "year": ""}, "Tom & Jerry"),
    ({"title": "Airplane!", "release_year": "1980"}, "Airplane! Release year: 1980"),
    ({"title": "A | B > C", "brand": None}, "A | B > C"),
    ({"title": None, "genres": "Drama"}, "Genres: Drama"),
    ({"title": "Null\x00 byte \ud800"}, "Null byte"),
    ({"title": None}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("fields", "expected"), CASES)
def test_item_text(fields: dict[str, str | None], expected: str) -> None:
    assert item_text(fields) == expected


def test_title_alone() -> None:
    assert title_text({"title": "Up  (2009)", "genres": "Drama"}) == "Up (2009)"
    assert title_text({"title": None, "genres": "Drama"}) == ""
    assert title_text({}) == ""


def test_templates_are_named_with_a_version() -> None:
    assert TEMPLATES[TEMPLATE_VERSION] is item_text
    assert set(TEMPLATES) == {"title-and-fields/1", "title/1"}


ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.text("|>; &amp;\n\x85\u2028.A")


@given(st.dictionaries(ANY_TEXT, st.none() | ANY_TEXT, max_size=4))
@example({"": None, "_": "0"})
def test_never_raises_and_is_one_line(fields: dict[str, str | None]) -> None:
    for template in TEMPLATES.values():
        line = template(fields)
        assert len(line.splitlines()) <= 1
        assert line == line.strip()
        line.encode("utf-8")
