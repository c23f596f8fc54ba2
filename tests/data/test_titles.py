import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite_llm4rec.data.titles import find_title, plain_title
from lite_llm4rec.errors import UnknownItemError

TITLES = [
    "Toy Story (1995)",
    "Toy Story 2 (1999)",
    "Matrix, The (1999)",
    "Heat (1995)",
    "Heat (1972)",
    "City Heat (1984)",
    "Bug's Life, A (1998)",
    "2001: A Space Odyssey (1968)",
]


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("Toy Story (1995)", 0),
        ("toy story", 0),
        ("Toy Story 2", 1),
        ("The Matrix", 2),
        ("matrix, the", 2),
        ("matrix", 2),
        ("heat (1972)", 4),
        ("city", 5),
        ("a bug's life (1998)", 6),
        ("space odyssey", 7),
        ("  HEAT (1995) ", 3),
    ],
)
def test_titles_as_people_type_them(words: str, place: int):
    assert find_title(TITLES, words) == place


def test_several_matches_are_named():
    with pytest.raises(UnknownItemError, match=r"'heat' is the title of 2 items: Heat \(1995\); H"):
        find_title(TITLES, "heat")
    with pytest.raises(UnknownItemError, match="is in the titles of 2 items: Toy Story"):
        find_title(TITLES, "story")
    with pytest.raises(UnknownItemError, match=r"of 9 items: x; x; x; x; x…[\s\S]*item's id"):
        find_title(["x"] * 9, "x")


def test_no_match_suggests_the_nearest():
    with pytest.raises(
        UnknownItemError, match=r"No title contains 'matrx'[\s\S]*'Matrix, The \(1999\)'"
    ):
        find_title(TITLES, "matrx")


@pytest.mark.parametrize("place", range(len(TITLES)))
def test_a_whole_title_finds_its_item(place: int):
    assert find_title(TITLES, TITLES[place]) == place
    assert find_title(TITLES, TITLES[place].upper()) == place


@given(st.text())
def test_plain_titles_have_no_year_and_no_outer_space(title: str):
    plain = plain_title(f"  {title} (1999) ")
    assert not plain.endswith("(1999)") or "(1999)" in title
