import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lite_llm4rec.data.readers import read_table
from lite_llm4rec.errors import DataError


def write(path: Path, text: str) -> Path:
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("year", [2014, 2018])
def test_amazon_reviews(tmp_path: Path, year: int) -> None:
    review = {
        "reviewerID": "A1",
        "asin": "0000031852",
        "overall": 5.0,
        "unixReviewTime": 1252800000,
        "helpful": [2, 3],
    }
    if year == 2018:
        del review["helpful"]
        review |= {"verified": True, "vote": "5", "style": {"Format:": " Hardcover"}}
    path = write(tmp_path / "reviews_Toys_5.json.gz", json.dumps(review) + "\n")
    assert read_table(path).to_pylist() == [
        {"reviewerID": "A1", "asin": "0000031852", "overall": 5.0, "unixReviewTime": 1252800000}
    ]


def test_amazon_reviews_of_2023_are_not_taken_for_meta_data(tmp_path: Path) -> None:
    review = {"title": "Nice", "asin": "B1", "parent_asin": "B0", "user_id": "A", "timestamp": 5}
    path = write(tmp_path / "Toys.jsonl.gz", json.dumps(review) + "\n")
    assert read_table(path).to_pylist() == [review]


AMAZON_META = {
    "asin": "0000031852",
    "title": "Girls Ballet Tutu",
    "brand": "Coxlures",
    "categories": "Sports > Dance ; Toys",
}


@pytest.mark.parametrize(
    "line",
    [
        "{'asin': '0000031852', 'title': 'Girls Ballet Tutu', 'price': 3.17, 'brand': 'Coxlures',"
        " 'categories': [['Sports', 'Dance'], ['Toys']]}\n",
        '{"category": [], "asin": "0000031852", "title": "Girls Ballet Tutu", "brand": "Coxlures",'
        ' "also_buy": null, "categories": [["Sports", "Dance"], ["Toys"]]}\n',
    ],
    ids=["2014", "json"],
)
def test_amazon_meta(tmp_path: Path, line: str) -> None:
    assert read_table(write(tmp_path / "meta_Toys.json.gz", line)).to_pylist() == [AMAZON_META]


def test_amazon_meta_of_2018_has_one_category_path_and_may_lack_text(tmp_path: Path) -> None:
    first = '{"category": ["Toys", "Games"], "tech1": "", "asin": "B1", "title": ""}\n'
    lines = first + '\n{"asin": "B2"}\n'
    assert read_table(write(tmp_path / "meta_Toys.json.gz", lines)).to_pylist() == [
        {"asin": "B1", "title": None, "brand": None, "categories": "Toys > Games"},
        {"asin": "B2", "title": None, "brand": None, "categories": None},
    ]


def test_amazon_meta_names_the_broken_line(tmp_path: Path) -> None:
    path = write(tmp_path / "meta_Toys.json", "{'asin': 'B1', 'categories': []}\n{'asin': \n")
    with pytest.raises(DataError, match=r"meta_Toys\.json, line 2: neither JSON"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("log.jsonl", {"reviewerID": "A", "asin": "B", "timestamp": 5, "overall": 4, "shop": "x"}),
        ("items.jsonl", {"asin": "B", "title": "x", "category": "Toys", "description": "Long"}),
        ("meta_items.jsonl", {"asin": "B", "title": "x", "description": "Long"}),
        ("meta_items.jsonl", {"asin": "B", "title": "x", "category": "Toys", "color": "red"}),
    ],
)
def test_own_json_with_some_of_amazons_names_keeps_its_columns(
    tmp_path: Path, name: str, row: dict[str, Any]
) -> None:
    assert read_table(write(tmp_path / name, json.dumps(row) + "\n")).to_pylist() == [row]


def test_categories_that_are_words_stay_words(tmp_path: Path) -> None:
    path = tmp_path / "meta_items.jsonl"
    path.write_text(
        '{ "asin": "a", "category": "Toys", "main_cat": ""}\n'
        '{"asin": "b", "categories": ["A", "B"]}\n'
    )
    assert read_table(path)["categories"].to_pylist() == ["Toys", "A > B"]
