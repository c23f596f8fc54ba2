import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from lite_llm4rec.data import readers
from lite_llm4rec.data.readers import read_table
from lite_llm4rec.errors import DataError

ROWS = [
    {"user_id": "u1", "item_id": "i1", "timestamp": 10},
    {"user_id": "u1", "item_id": "i2", "timestamp": 20},
    {"user_id": "u2", "item_id": "i1", "timestamp": 15},
]
FRAME = pd.DataFrame(ROWS)
CSV = "user_id,item_id,timestamp\nu1,i1,10\nu1,i2,20\nu2,i1,15\n"
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda: FRAME,
        lambda: FRAME.astype({"user_id": "category"}),
        lambda: pl.DataFrame(ROWS),
        lambda: pl.DataFrame(ROWS).with_columns(pl.col("item_id").cast(pl.Categorical)),
        lambda: pa.Table.from_pylist(ROWS),
        lambda: pa.RecordBatch.from_pylist(ROWS),
        lambda: duckdb.sql("select * from FRAME"),
    ],
    ids=["pandas", "pandas-category", "polars", "polars-categorical", "pyarrow", "batch", "duckdb"],
)
def test_tables_of_any_library_have_the_same_types_and_rows(make: Callable[[], object]) -> None:
    read = read_table(make())
    assert read.to_pylist() == ROWS
    assert read.schema.types == [pa.string(), pa.string(), pa.int64()]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.csv", CSV),
        ("log.csv.gz", CSV),
        ("LOG.CSV", CSV),
        ("log.tsv", CSV.replace(",", "\t")),
        ("log.tsv.gz", CSV.replace(",", "\t")),
        ("log.jsonl", LINES),
        ("log.jsonl.gz", LINES),
        ("log.ndjson", LINES),
        ("log.json", LINES),
    ],
)
def test_text_files(tmp_path: Path, name: str, text: str) -> None:
    assert read_table(write(tmp_path / name, text)).to_pylist() == ROWS


def test_parquet_by_path_and_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "log.parquet")
    assert read_table(tmp_path / "log.parquet").to_pylist() == ROWS
    assert read_table(str(tmp_path / "log.parquet")).to_pylist() == ROWS


def test_movielens_ratings(tmp_path: Path) -> None:
    path = write(tmp_path / "ratings.dat", "1::1193::5::978300760\n1::661::3::978302109\n")
    assert read_table(path).to_pylist() == [
        {"user_id": "1", "item_id": "1193", "rating": 5, "timestamp": 978300760},
        {"user_id": "1", "item_id": "661", "rating": 3, "timestamp": 978302109},
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"], ids=["ML-1M", "ML-10M"])
def test_movielens_movies_keep_their_accents(tmp_path: Path, encoding: str) -> None:
    line = "73::Misérables, Les (1995)::Drama|Musical\n"
    assert read_table(write(tmp_path / "movies.dat", line, encoding)).to_pylist() == [
        {"item_id": "73", "title": "Misérables, Les (1995)", "genres": "Drama|Musical"}
    ]


def test_recbole_headers_lose_their_types_and_ids_stay_text(tmp_path: Path) -> None:
    log = "user_id:token\titem_id:token\ttimestamp:float\n007\t1\t881250949\n"
    items = (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        '1\t"Quoted" Story\tV\tDrama War\n'
    )
    assert read_table(write(tmp_path / "x.inter", log)).to_pylist() == [
        {"user_id": "007", "item_id": "1", "timestamp": 881250949}
    ]
    assert read_table(write(tmp_path / "x.item", items)).to_pylist() == [
        {
            "item_id": "1",
            "movie_title": '"Quoted" Story',
            "release_year": "V",
            "class": ["Drama", "War"],
        }
    ]


def test_a_json_list_has_every_field_that_an_object_has(tmp_path: Path) -> None:
    rows = [{"item_id": 1, "title": "a"}, {"item_id": 2, "title": "b", "genres": "War"}]
    found = read_table(write(tmp_path / "items.json", json.dumps(rows)))
    assert found.to_pylist() == [{"genres": None, **row} for row in rows]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.jsonl", '{"item_id": 1, "title": "Café"}\n'),
        ("x.csv", "item_id,Café\n1,a\n"),
        ("y.csv", "item_id,title\n1,Café\n"),
    ],
)
def test_text_in_another_encoding_is_told(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(DataError) as caught:
        read_table(write(tmp_path / name, content, "latin-1"))
    assert caught.value.remedy == 'Save the file as UTF-8 (in Excel: "CSV UTF-8").'


def test_a_frame_with_a_column_of_two_types_is_told() -> None:
    frame = pd.DataFrame({"user_id": ["a", 1]})
    with pytest.raises(DataError, match="cannot be read") as caught:
        read_table(frame)
    assert caught.value.remedy == "Give each column one type."


@pytest.mark.parametrize(
    "kind", [pa.large_list(pa.large_string()), pa.list_(pa.string_view()), pa.list_(pa.string(), 2)]
)
def test_lists_of_text_have_one_type_too(kind: pa.DataType) -> None:
    rows = [["War", "Drama"], None]
    found = read_table(pa.table({"genres": pa.array(rows, pa.list_(pa.string())).cast(kind)}))
    assert found.schema.field("genres").type == pa.list_(pa.string())
    assert found["genres"].to_pylist() == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.xlsx", b"PK", "the format '.xlsx' is not known"),
        ("log.csv", b"", "is empty"),
        ("log.csv.gz", gzip.compress(b"", mtime=0), "cannot be read as .csv.gz: Empty CSV file"),
        ("log.csv.gz", gzip.compress(CSV.encode() * 500)[:-50], "cannot be read as .csv.gz"),
        ("log.jsonl.gz", gzip.compress(LINES.encode() * 500)[:-50], "cannot be read as .jsonl.gz"),
        ("log.csv.gz", CSV.encode(), "cannot be read as .csv.gz"),
        ("log.csv", b"a,b\n1,2\n3\n", "cannot be read as .csv"),
        ("log.parquet", CSV.encode(), "cannot be read as .parquet"),
        ("log.jsonl", b"{not json\n", "cannot be read as .jsonl"),
        ("links.dat", b"1::2\n", "MovieLens has no file of this name"),
    ],
)
def test_bad_files_are_named_with_what_is_wrong(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_table(tmp_path / name)
    assert str(tmp_path / name) in caught.value.problem
    assert message in caught.value.problem
    assert caught.value.remedy


def test_damaged_gzip_says_to_fetch_again(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(CSV.encode() * 500))
    content[30:60] = bytes(30)
    (tmp_path / "log.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match="fetch it again"):
        read_table(tmp_path / "log.csv.gz")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file: .*absent\.csv"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(DataError, match="a folder is not a table"):
        read_table(tmp_path)


def test_what_is_no_table() -> None:
    with pytest.raises(DataError, match="Cannot read a table from a list"):
        read_table([1, 2])


def test_uuids_become_their_text() -> None:
    uuids = pa.array([b"a" * 16, None], pa.uuid())
    text = "61616161-6161-6161-6161-616161616161"
    assert read_table(pa.table({"id": uuids}))["id"].to_pylist() == [text, None]


@pytest.mark.parametrize("numbers", [[7, None, 1000], [10**30, None]])
def test_decimals_without_a_fraction_are_whole_numbers(numbers: list[int | None]) -> None:
    decimals = [None if number is None else Decimal(number) for number in numbers]
    table = pa.table({"id": pa.array(decimals, pa.decimal128(38, 0))})
    found = [str(number) if number and number >= 2**63 else number for number in numbers]
    assert read_table(table)["id"].to_pylist() == found


@pytest.mark.parametrize("lists", [pa.list_, pa.large_list])
def test_categories_in_lists_become_text(lists: Callable[[pa.DataType], pa.DataType]) -> None:
    words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int32()), ["red", "blue"])
    plain = pa.ListArray.from_arrays(pa.array([0, 2, 2, 3], pa.int32()), words)
    column = pa.array([["red", "blue"], None, ["red"]], lists(pa.string()))
    given = plain if lists is pa.list_ else pa.LargeListArray.from_arrays(
        pa.array([0, 2, 2, 3], pa.int64()), words
    )  # fmt: skip
    found = read_table(pa.table({"colours": given.slice(1)}))["colours"]
    assert found.type == pa.list_(pa.string())
    assert found.to_pylist() == [[], ["red"]]
    assert read_table(pa.table({"colours": column}))["colours"].to_pylist() == column.to_pylist()


def test_a_first_row_of_data_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "ratings.csv", "1,1,5,978\n1,2,3,979\n")
    with pytest.raises(DataError, match=r"called '1'[\s\S]*no header but data"):
        read_table(path)


def test_numbers_in_a_row_are_no_text(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.item",
        "item_id:token\ttitle:token_seq\tvec:float_seq\n1\tA B\t0.1  2 \n2\tC\t\n",
    )
    assert read_table(path).to_pylist() == [
        {"item_id": "1", "title": "A B", "vec": [0.1, 2.0]},
        {"item_id": "2", "title": "C", "vec": None},
    ]


def test_json_of_two_types_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "items.jsonl", '{"item_id": 1}\n{"item_id": "B"}\n')
    with pytest.raises(DataError, match="Give each field one type"):
        read_table(path)


LONG = ["101463350189962023774", "101463350189962023775"]  # one and the same as decimals


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.csv", "user_id,n\n{},1e30\n{},2\n7,\n,4\n"),
        ("log.tsv", "user_id\tn\n{}\t1e30\n{}\t2\n7\t\n\t4\n"),
        (
            "log.jsonl",
            '{{"user_id": {}, "n": 1e30}}\n{{"user_id": {}, "n": 2.5}}\n{{"user_id": 7}}\n'
            '{{"n": 4}}\n',
        ),
        (
            "log.json",
            '[{{"user_id": {}, "n": 1e30}}, {{"user_id": {}, "n": 2}}, {{"user_id": 7}},'
            ' {{"n": 4}}]',
        ),
    ],
)
def test_whole_numbers_that_64_bits_do_not_hold_are_text(
    tmp_path: Path, name: str, text: str
) -> None:
    found = read_table(write(tmp_path / name, text.format(*LONG)))
    assert found["user_id"].to_pylist() == [*LONG, "7", None]
    assert found.schema.field("n").type == pa.float64()


def test_a_number_that_64_bits_do_not_hold_inside_an_object_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "log.json", f'[{{"user": {{"id": {LONG[0]}}}}}]')
    with pytest.raises(DataError, match=r"log\.json cannot be read as \.json"):
        read_table(path)


def test_a_json_list_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "items.json"
    path.write_text('[{"item_id": 1, "title": "A"}, {"item_id": 2, "title": "B"}]')
    assert read_table(path).to_pydict() == {"item_id": [1, 2], "title": ["A", "B"]}
    path.write_text("[1, 2]")
    with pytest.raises(DataError, match="not a list of objects"):
        read_table(path)
    path.write_text('[{"item_id": 1}')
    with pytest.raises(DataError, match="is not JSON"):
        read_table(path)


@pytest.mark.parametrize("before", ["", "\ufeff", "\n\n", "\ufeff\n  "])
def test_what_stands_before_the_first_object_does_not_matter(tmp_path: Path, before: str) -> None:
    for name, text in (("a.json", json.dumps(ROWS)), ("b.json", json.dumps(ROWS, indent=1))):
        assert read_table(write(tmp_path / name, before + text)).to_pylist() == ROWS
    assert read_table(write(tmp_path / "log.jsonl", before.strip(" ") + LINES)).to_pylist() == ROWS


def test_a_json_object_may_be_long(tmp_path: Path) -> None:
    rows = [{"item_id": 1, "title": "x" * 3_000_000}, {"item_id": 2, "title": "y"}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    assert read_table(write(tmp_path / "items.jsonl", lines)).to_pylist() == rows


def test_a_file_that_is_one_very_long_object_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "BLOCKS", pa.json.ReadOptions(block_size=100))
    path = write(tmp_path / "items.json", FRAME.to_json() * 10)
    with pytest.raises(DataError, match=r"Write one object per line \(in pandas: to_json\("):
        read_table(path)


def test_a_json_list_in_another_encoding_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "items.json", '[{"item_id": 1, "title": "Café"}]', "latin-1")
    with pytest.raises(DataError, match="Save the file as UTF-8"):
        read_table(path)


def test_two_columns_of_one_name_are_refused() -> None:
    table = pa.table([pa.array([1]), pa.array([2])], names=["item_id", "item_id"])
    with pytest.raises(DataError, match="Two columns are called 'item_id'"):
        read_table(table)
