"""File formats and in-memory tables → one Arrow table with the file's own column names.

`read_table` is the only door: whatever speaks Arrow's PyCapsule interface (pandas, polars,
pyarrow, DuckDB…) or a path whose suffix names its format.
"""

import contextlib
import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from lite_llm4rec.data import amazon
from lite_llm4rec.data.columns import HEADER, USUAL_NAMES, holds_text
from lite_llm4rec.data.separated import (
    NOT_UTF_8,
    beyond_64_bits,
    open_file,
    plain,
    read_csv,
    read_tsv,
    replaced,
)
from lite_llm4rec.errors import DataError

# GroupLens' README of ML-1M and ML-10M: the columns of each `::`-separated file.
DAT_COLUMNS = {
    "ratings": ["user_id", "item_id", "rating", "timestamp"],
    "movies": ["item_id", "title", "genres"],
    "users": ["user_id", "gender", "age", "occupation", "zip"],
}
DAT_IDS = ("user_id", "item_id")
UNREADABLE = (
    pa.ArrowException, OSError, UnicodeDecodeError, EOFError, zlib.error, OverflowError,
)  # fmt: skip
BLOCKS = pa.json.ReadOptions(block_size=2**24)  # bytes, which an object must not be longer than
ONE_PER_LINE = 'Write one object per line (in pandas: to_json(…, orient="records", lines=True)).'


def read_table(source: Any) -> pa.Table:
    """Read a table.

    Parameters
    ----------
    source : path or table
        A path (`.parquet`, `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json`, the text ones also with
        `.gz`; MovieLens `.dat`; RecBole `.inter`, `.item`, `.user`; Amazon reviews and
        `meta_*.json.gz`), or any object with `__arrow_c_stream__`.

    Returns
    -------
    pyarrow.Table
        Column names as in the source; RecBole's `:token` endings are taken off. Text has one
        type, whatever library it comes from.

    Raises
    ------
    DataError
        When the file is missing or its format is not known or not as its name says.
    """
    if isinstance(source, str | Path):
        return _read_path(Path(source))
    if hasattr(source, "__arrow_c_stream__"):
        try:
            table = source if isinstance(source, pa.Table) else pa.table(source)
            return _plain_types(table)
        except pa.ArrowException as error:
            raise DataError(
                f"{name_of(source)} cannot be read: {error}", "Give each column one type."
            ) from error
    raise DataError(
        f"Cannot read a table from a {type(source).__name__}.",
        "Pass a path, or a table that speaks Arrow: pandas >= 2.2, polars, pyarrow, DuckDB.",
    )


def name_of(source: Any) -> str:
    """Name a table in messages: its path, or its type."""
    return str(source) if isinstance(source, str | Path) else f"the given {type(source).__name__}"


def _plain_types(table: pa.Table) -> pa.Table:
    twice = [name for name in table.column_names if table.column_names.count(name) > 1]
    if twice:
        remedy = HEADER if twice[0].isdigit() else "Rename one, or leave it out."
        raise DataError(f"Two columns are called '{twice[0]}'.", remedy)
    for place, field in enumerate(table.schema):
        kind = _plain_type(field.type)
        if kind != field.type:
            chunks = [_cast(chunk, kind) for chunk in table[place].chunks]
            table = table.set_column(place, field.name, pa.chunked_array(chunks, kind))
        elif pa.types.is_decimal(kind) and kind.scale == 0:
            table = table.set_column(place, field.name, _whole(table[place]))
    return table


def _whole(numbers: pa.ChunkedArray) -> pa.ChunkedArray:
    """Make whole numbers of decimals without digits after the point, as data bases export ids."""
    try:
        return numbers.cast(pa.int64())
    except pa.ArrowInvalid:  # text, where there is no room for them
        return numbers.cast(pa.string())


def _cast(chunk: pa.Array, kind: pa.DataType) -> pa.Array:
    # The categories first: Arrow cannot take from polars' views.
    if pa.types.is_dictionary(chunk.type):
        return _cast(chunk.dictionary, kind).take(chunk.indices)
    if isinstance(chunk.type, pa.UuidType):
        return pa.array([value and str(value) for value in chunk.to_pylist()], kind)
    if pa.types.is_large_list(chunk.type) or pa.types.is_list(chunk.type):
        values = _cast(chunk.flatten(), kind.value_type)
        ends = np.cumsum(pc.list_value_length(chunk).fill_null(0).to_numpy())
        offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
        return pa.ListArray.from_arrays(offsets, values, mask=chunk.is_null())
    return chunk.cast(kind)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Undo what libraries do to text: categories, views (polars), 64-bit offsets (pandas).

    In lists of text too, which polars gives 64-bit offsets of their own. A UUID becomes its text.
    """
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if isinstance(kind, pa.UuidType):
        return pa.string()
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_type(kind.storage_type)
    if pa.types.is_string_view(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_binary_view(kind) or pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        inner = _plain_type(kind.value_type)
        return pa.list_(inner) if holds_text(inner) else kind
    return kind


def _read_path(path: Path) -> pa.Table:
    if not path.is_file():
        raise DataError(f"No such file: {path}", "Check the path; a folder is not a table.")
    suffix = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    reader = _READERS.get(suffix.removesuffix(".gz").lower())
    if reader is None:
        raise DataError(
            f"{path}: the format '{suffix}' is not known.",
            f"Known endings: {', '.join(_READERS)}; text formats also with .gz.",
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty.", "Check how the file was made.")
    try:
        table = _plain_types(reader(path))
        table.validate(full=True)  # Arrow's JSON reader takes any bytes for text
    except UNREADABLE as error:
        raise DataError(f"{path} cannot be read as {suffix}: {error}", _remedy(error)) from error
    return table


def _remedy(error: Exception) -> str:
    if isinstance(error, EOFError | gzip.BadGzipFile | zlib.error):
        return "The file is cut short or not gzip: fetch it again."
    if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
        return NOT_UTF_8
    if "straddling object" in str(error):
        return ONE_PER_LINE
    if "changed from" in str(error):
        return "Give each field one type in all objects, or leave out one that is not needed."
    return "Check that the file is what its ending says, and that it is complete."


def _read_parquet(path: Path) -> pa.Table:
    return pa.parquet.read_table(path)


def _read_recbole(path: Path) -> pa.Table:
    """Read a RecBole "atomic" file: tab-separated, columns named `name:type`.

    A `token_seq` and a `float_seq` have a space between their values; a title is a `token_seq` of
    words, and stays whole.
    """
    with open_file(path) as file:
        header = file.readline().decode("utf-8-sig").rstrip("\r\n").split("\t")
        rows = file.read()
    names = [name.partition(":")[0] for name in header]
    numeric = {name.partition(":")[0] for name in header if name.endswith(":float")}
    types = {name: pa.string() for name in names if name not in numeric}
    table = pa.csv.read_csv(
        io.BytesIO(rows),
        read_options=pa.csv.ReadOptions(column_names=names),
        parse_options=plain("\t"),
        convert_options=pa.csv.ConvertOptions(column_types=types),
    )
    for place, (name, typed) in enumerate(zip(names, header, strict=True)):
        if typed.endswith(":token_seq") and name not in USUAL_NAMES["title"]:
            table = table.set_column(place, name, pc.split_pattern(table[place], " "))
        elif typed.endswith(":float_seq"):
            texts = pc.utf8_trim_whitespace(table[place])
            texts = pc.if_else(pc.equal(texts, ""), None, texts)
            parts = pc.split_pattern_regex(texts, r"\s+")
            table = table.set_column(place, name, parts.cast(pa.list_(pa.float64())))
    return table


def _read_dat(path: Path) -> pa.Table:
    """Read a MovieLens `::`-separated file; its stem says which columns it has.

    ML-1M is latin-1, ML-10M is UTF-8 (their READMEs).
    """
    stem = path.name.split(".")[0].lower()
    if stem not in DAT_COLUMNS:
        raise DataError(f"{path}: MovieLens has no file of this name.", "Name it ratings.dat, …")
    with open_file(path) as file:
        content = file.read()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    rows = io.BytesIO(text.replace("::", "\x1f").encode("utf-8"))
    return pa.csv.read_csv(
        rows,
        read_options=pa.csv.ReadOptions(column_names=DAT_COLUMNS[stem]),
        parse_options=plain("\x1f"),
        convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(DAT_IDS, pa.string())),
    )


def _read_json(path: Path) -> pa.Table:
    """Read JSON lines or one JSON list; Amazon's review and meta files are known by their looks."""
    with open_file(path) as file:
        lines = (line.decode("utf-8-sig", errors="replace").strip() for line in file)
        first = next(filter(None, lines), "")
    if first.startswith("["):
        return _read_json_list(path)
    if amazon.is_reviews(first):
        with open_file(path) as file:
            return pa.json.read_json(file, BLOCKS, amazon.REVIEWS)
    if amazon.is_meta(path.name, first):
        with open_file(path) as file:
            return amazon.read_meta(file, path)
    return _read_json_lines(path)


def _read_json_lines(path: Path) -> pa.Table:
    """Read one object per line; whole numbers of more than 64 bits become text, as in CSV."""
    with open_file(path) as file:
        table = pa.json.read_json(file, BLOCKS)
    for name in beyond_64_bits(table):
        as_written = pa.json.ParseOptions(
            explicit_schema=pa.schema([(name, pa.decimal128(38))]),
            unexpected_field_behavior="ignore",
        )
        with open_file(path) as file, contextlib.suppress(pa.ArrowInvalid):  # they are fractions
            digits = pa.json.read_json(file, BLOCKS, as_written)[name]
            table = replaced(table, {name: digits.cast(pa.string())})
    return table


def _read_json_list(path: Path) -> pa.Table:
    """Read one JSON list of objects, as pandas' `to_json(orient="records")` writes it."""
    with open_file(path) as file:
        try:
            rows = json.load(file)
        except json.JSONDecodeError as error:
            raise DataError(f"{path} is not JSON: {error}", ONE_PER_LINE) from error
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} is not a list of objects.", ONE_PER_LINE)
    names = dict.fromkeys(name for row in rows for name in row)  # not every object has each field
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except OverflowError:
        if not all(isinstance(value, int | None) for value in values):
            raise
        return pa.array([None if value is None else str(value) for value in values])


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".parquet": _read_parquet,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".dat": _read_dat,
    ".inter": _read_recbole,
    ".item": _read_recbole,
    ".user": _read_recbole,
}
