"""Publishers' files as they are fetched → tables of interactions and of items."""

import html
import tempfile
from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from lite_llm4rec.data import amazon
from lite_llm4rec.data.readers import read_table
from lite_llm4rec.data.separated import open_file
from lite_llm4rec.errors import DataError

Tables = tuple[pa.Table, pa.Table]


def read_ml_1m(paths: Sequence[Path]) -> Tables:
    """Read the ratings and the films of ML-1M out of its archive."""
    with tempfile.TemporaryDirectory() as folder:
        ratings = read_table(_extract(paths[0], "ml-1m/ratings.dat", folder))
        return ratings, read_table(_extract(paths[0], "ml-1m/movies.dat", folder))


def read_ml_1m_sasrec(paths: Sequence[Path]) -> Tables:
    """Give the SASRec file's users and items their MovieLens ids back."""
    archive, text, user_ids, item_ids = paths
    log = _read_plain(text, " ", ["user", "item"])
    table = pa.table(
        {
            "user_id": _original(log["user"], user_ids),
            "item_id": _original(log["item"], item_ids),
            "timestamp": _positions(log["user"]),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        return table, read_table(_extract(archive, "ml-1m/movies.dat", folder))


def _original(numbers: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    mapping = _read_plain(path, " ", ["number", "original"])
    places = pc.index_in(numbers, value_set=mapping["number"].combine_chunks())
    if places.null_count:
        number = numbers[pc.index(places.is_null(), True).as_py()].as_py()
        raise DataError(f"{path} has no line for number {number}.", _again(path))
    return mapping["original"].take(places)


def _positions(users: pa.ChunkedArray) -> pa.Array:
    """Number each user's rows 0, 1, …: the file is in time order but has no times."""
    codes = users.combine_chunks().dictionary_encode().indices.to_numpy()
    counts = np.bincount(codes)
    positions = np.empty(len(codes), np.int64)
    within = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    positions[np.argsort(codes, kind="stable")] = within
    return pa.array(positions)


# The flags that end each line of u.item. Source: the README of ML-100K, and its u.genre.
# fmt: off
ML_100K_GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
]
# fmt: on


def read_ml_100k(paths: Sequence[Path]) -> Tables:
    """Read the ratings and the films, with genres and year, of ML-100K out of its archive."""
    columns = ["item_id", "title", "released", "video_released", "url", *ML_100K_GENRES]
    with tempfile.TemporaryDirectory() as folder:
        ratings = _read_plain(
            _extract(paths[0], "ml-100k/u.data", folder),
            "\t",
            ["user_id", "item_id", "rating", "timestamp"],
        )
        films = _read_plain(_extract(paths[0], "ml-100k/u.item", folder), "|", columns)
    flags = zip(*(films[genre].to_pylist() for genre in ML_100K_GENRES), strict=True)
    genres = [
        "|".join(genre for genre, flag in zip(ML_100K_GENRES, film, strict=True) if flag == "1")
        for film in flags
    ]
    year = pc.extract_regex(films["title"], r"\((?P<year>\d{4})\)")
    items = films.select(["item_id", "title"]).append_column("genres", pa.array(genres))
    return ratings, items.append_column("release_year", pc.struct_field(year, "year"))


def read_amazon(paths: Sequence[Path]) -> Tables:
    """Read reviews and meta data; of the text, the columns that data roots have as well."""
    reviews = read_table(paths[0])
    with open_file(paths[1]) as file:
        meta = amazon.read_meta(file, paths[1])
    # Some titles of 2018 are pieces of a web page's script. Source: the notebook that the data's
    # page links, which recognises them by "getTime".
    script = pc.match_substring(meta["title"], "getTime").fill_null(False)
    items = {
        "asin": meta["asin"],
        "title": _unescaped(pc.if_else(script, None, meta["title"])),
        "categories": _unescaped(meta["categories"]),
    }
    return reviews, pa.table(items)


def _unescaped(column: pa.ChunkedArray) -> pa.Array:
    """Turn `&amp;` and its like into the characters they stand for."""
    return pa.array([text and html.unescape(text) for text in column.to_pylist()], pa.string())


def _extract(archive: Path, member: str, folder: str) -> Path:
    try:
        with ZipFile(archive) as file:
            return Path(file.extract(member, folder))
    except (BadZipFile, KeyError) as error:
        raise DataError(f"{archive} is no zip with {member} in it.", _again(archive)) from error


def _read_plain(path: Path, delimiter: str, names: list[str]) -> pa.Table:
    """Read a file without header or quotes, every column as strings."""
    try:
        return pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(column_names=names, encoding="latin-1"),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, quote_char=False),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read: {error}", _again(path)) from error


def _again(path: Path) -> str:
    return f"Delete {path} and {path.name}.sha256, and it is fetched again."
