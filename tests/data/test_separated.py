"""CSV and TSV: quotation, leading zeros, separators, encodings."""

import gzip
from pathlib import Path

import pytest

from lite_llm4rec.data.readers import read_table
from lite_llm4rec.errors import DataError
from tests.data.test_readers import write


def test_quoted_csv_with_comma_quote_and_newline(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", 'item_id,title\na,"One, ""two""\nthree"\nb,Four\n')
    assert read_table(path).to_pylist() == [
        {"item_id": "a", "title": 'One, "two"\nthree'},
        {"item_id": "b", "title": "Four"},
    ]


def test_quotes_mean_nothing_in_tsv(tmp_path: Path) -> None:
    path = write(tmp_path / "items.tsv", 'item_id\ttitle\na\t7" single\nb\tLP\n')
    assert read_table(path)["title"].to_pylist() == ['7" single', "LP"]


def test_a_quotation_mark_that_is_not_closed_is_told(tmp_path: Path) -> None:
    rows = [f'{number},"Thing {number}"\n' for number in range(9)]
    path = write(tmp_path / "items.csv", "item_id,title\n" + "".join(rows).replace('3"', "3", 1))
    assert read_table(path).num_rows < 9  # closed by a later one, which nobody can tell
    path = write(tmp_path / "open.csv", 'item_id,title\n1,a\n2,"b 24 wide\n3,c\n')
    with pytest.raises(DataError, match=r"row 1 \(from 0[\s\S]*no quotation mark ends it"):
        read_table(path)
    closed = write(tmp_path / "closed.csv", 'item_id,title,n\n1,"two\nlines",3\n2,"two\nlines",4')
    assert read_table(closed)["title"].to_pylist() == ["two\nlines"] * 2
    last = write(tmp_path / "last.csv", 'item_id,title\n1,"two\nlines"\n')
    assert read_table(last)["title"].to_pylist() == ["two\nlines"]


def test_a_blank_before_leading_zeros_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", "user_id,item_id,time\n1, 007,3\n2, 12,4\n")
    assert read_table(path)["item_id"].to_pylist() == ["007", "12"]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz"])
def test_leading_zeros_are_kept(tmp_path: Path, ending: str) -> None:
    rows = ["item_id,n", "0012,5", "12,6", "7,-08"]
    text = "\n".join(rows).replace(",", "\t" if "tsv" in ending else ",").encode()
    path = tmp_path / f"log{ending}"
    path.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    assert read_table(path).to_pydict() == {
        "item_id": ["0012", "12", "7"], "n": ["5", "6", "-08"]
    }  # fmt: skip
    path.write_bytes(gzip.compress(b"a,b\n10,0\n") if ending.endswith("gz") else b"a,b\n10,0\n")
    if "tsv" not in ending:
        assert read_table(path).to_pydict() == {"a": [10], "b": [0]}


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes("item_id,title\n1,Am\u00e9lie\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"'title': the text is not UTF-8[\s\S]*CSV UTF-8"):
        read_table(path)


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_the_header_tells_what_separates_the_values(tmp_path: Path, separator: str) -> None:
    rows = [["user", "item", "time"], ["u1", "007", "3"], ["u2", '"a;b|c"', "4"]]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(separator.join(row) for row in rows) + "\n", encoding="utf-8")
    expected = [
        {"user": "u1", "item": "007", "time": 3},
        {"user": "u2", "item": "a;b|c", "time": 4},
    ]
    assert read_table(path).to_pylist() == expected
