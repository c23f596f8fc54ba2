"""File formats and in-memory tables → one Arrow table with the file's own column names.

`read_table` is the only door: whatever speaks Arrow's PyCapsule interface (pandas, polars,
pyarrow, DuckDB…) or a path whose suffix names its format.
"""

import contextlib
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from lite_llm4rec.data import amazon
from lite_llm4rec.data.columns import USUAL_NAMES, holds_text
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
NOT_UTF_8 = 'Save the file as UTF-8 (in Excel: "CSV UTF-8").'
BLOCKS = pa.json.ReadOptions(block_size=2**24)  # bytes, which an object must not be longer than
ONE_PER_LINE = 'Write one object per line (in pandas: to_json(…, orient="records", lines=True)).'
SEPARATORS = ",;\t|"  # of a .csv, the first that its header has
SCANNED, LONGEST = 2**26, 64  # bytes looked through at once; of a value with leading zeros
_ZEROS_IN_FRONT = re.compile(rb'[,;|\t\n"]-?0\d+(?:["\r\n\t,;|]|$)')


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
        raise DataError(f"Two columns are called '{twice[0]}'.", "Rename one, or leave it out.")
    for place, field in enumerate(table.schema):
        kind = _plain_type(field.type)
        if kind != field.type:
            chunks = [_cast(chunk, kind) for chunk in table[place].chunks]
            table = table.set_column(place, field.name, pa.chunked_array(chunks, kind))
    return table


def _cast(chunk: pa.Array, kind: pa.DataType) -> pa.Array:
    # The categories first: Arrow cannot take from polars' views.
    if pa.types.is_dictionary(chunk.type):
        return chunk.dictionary.cast(kind).take(chunk.indices)
    return chunk.cast(kind)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Undo what libraries do to text: categories, views (polars), 64-bit offsets (pandas).

    In lists of text too, which polars gives 64-bit offsets of their own.
    """
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
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
    return "Check that the file is what its ending says, and that it is complete."


def _read_parquet(path: Path) -> pa.Table:
    return pa.parquet.read_table(path)


def _read_csv(path: Path) -> pa.Table:
    with _open(path) as file:
        header = file.readline().decode("utf-8", errors="replace")
    separator = next((mark for mark in SEPARATORS if mark in header), ",")
    return _read_separated(path, pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True))


def _read_tsv(path: Path) -> pa.Table:
    return _read_separated(path, _plain("\t"))


def _read_separated(path: Path, parse: pa.csv.ParseOptions) -> pa.Table:
    """Read text with a header.

    Whole numbers with leading zeros stay text, as 0012 is not 12, and so do columns of them with
    more digits than 64 bits hold.
    """
    with _open(path) as file:
        table = pa.csv.read_csv(file, parse_options=parse)
    for field in table.schema:
        if pa.types.is_binary(field.type):
            raise DataError(
                f"{path}, column '{field.name}': the text is not UTF-8.",
                NOT_UTF_8,
            )
    long = _beyond_64_bits(table)
    whole = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    whole = whole if whole and _has_zeros_in_front(path) else []
    if not long and not whole:
        return table
    as_written = pa.csv.ConvertOptions(
        include_columns=whole + long,
        column_types=dict.fromkeys(whole + long, pa.string()),
        strings_can_be_null=True,
    )
    with _open(path) as file:
        texts = pa.csv.read_csv(file, parse_options=parse, convert_options=as_written)
    zeros = [name for name in whole if pc.any(_match(texts[name], r"^-?0\d")).as_py()]
    long = [name for name in long if pc.all(_match(texts[name], r"^-?\d+$")).as_py()]
    return _replaced(table, {name: texts[name] for name in zeros + long})


def _beyond_64_bits(table: pa.Table) -> list[str]:
    """Name the columns that Arrow made decimals, where it may have rounded long whole numbers."""
    decimals = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    return [name for name in decimals if (pc.max(pc.abs(table[name])).as_py() or 0) >= 2**63]


def _match(texts: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.match_substring_regex(texts, pattern)


def _replaced(table: pa.Table, columns: dict[str, pa.ChunkedArray]) -> pa.Table:
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _has_zeros_in_front(path: Path) -> bool:
    """Whether any value may be a number with leading zeros: a fast look at the bytes."""
    before = b"\n"
    with _open(path) as file:
        while chunk := file.read(SCANNED):
            if _ZEROS_IN_FRONT.search(before + chunk):
                return True
            before = chunk[-LONGEST:]
    return False


def _read_recbole(path: Path) -> pa.Table:
    """Read a RecBole "atomic" file: tab-separated, columns named `name:type`.

    A `token_seq` has a space between its values; a title is one of words, and stays whole.
    """
    with _open(path) as file:
        header = file.readline().decode("utf-8-sig").rstrip("\r\n").split("\t")
        rows = file.read()
    names = [name.partition(":")[0] for name in header]
    numeric = {name.partition(":")[0] for name in header if name.endswith(":float")}
    types = {name: pa.string() for name in names if name not in numeric}
    table = pa.csv.read_csv(
        io.BytesIO(rows),
        read_options=pa.csv.ReadOptions(column_names=names),
        parse_options=_plain("\t"),
        convert_options=pa.csv.ConvertOptions(column_types=types),
    )
    for place, (name, typed) in enumerate(zip(names, header, strict=True)):
        if typed.endswith(":token_seq") and name not in USUAL_NAMES["title"]:
            table = table.set_column(place, name, pc.split_pattern(table[place], " "))
    return table


def _read_dat(path: Path) -> pa.Table:
    """Read a MovieLens `::`-separated file; its stem says which columns it has.

    ML-1M is latin-1, ML-10M is UTF-8 (their READMEs).
    """
    stem = path.name.split(".")[0].lower()
    if stem not in DAT_COLUMNS:
        raise DataError(f"{path}: MovieLens has no file of this name.", "Name it ratings.dat, …")
    with _open(path) as file:
        content = file.read()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    rows = io.BytesIO(text.replace("::", "\x1f").encode("utf-8"))
    return pa.csv.read_csv(
        rows,
        read_options=pa.csv.ReadOptions(column_names=DAT_COLUMNS[stem]),
        parse_options=_plain("\x1f"),
        convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(DAT_IDS, pa.string())),
    )


def _read_json(path: Path) -> pa.Table:
    """Read JSON lines or one JSON list; Amazon's review and meta files are known by their looks."""
    with _open(path) as file:
        lines = (line.decode("utf-8-sig", errors="replace").strip() for line in file)
        first = next(filter(None, lines), "")
    if first.startswith("["):
        return _read_json_list(path)
    if amazon.is_reviews(first):
        with _open(path) as file:
            return pa.json.read_json(file, BLOCKS, amazon.REVIEWS)
    if amazon.is_meta(path.name, first):
        with _open(path) as file:
            return amazon.read_meta(file, path)
    return _read_json_lines(path)


def _read_json_lines(path: Path) -> pa.Table:
    """Read one object per line; whole numbers of more than 64 bits become text, as in CSV."""
    with _open(path) as file:
        table = pa.json.read_json(file, BLOCKS)
    for name in _beyond_64_bits(table):
        as_written = pa.json.ParseOptions(
            explicit_schema=pa.schema([(name, pa.decimal128(38))]),
            unexpected_field_behavior="ignore",
        )
        with _open(path) as file, contextlib.suppress(pa.ArrowInvalid):  # they are fractions
            digits = pa.json.read_json(file, BLOCKS, as_written)[name]
            table = _replaced(table, {name: digits.cast(pa.string())})
    return table


def _read_json_list(path: Path) -> pa.Table:
    """Read one JSON list of objects, as pandas' `to_json(orient="records")` writes it."""
    with _open(path) as file:
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


def _plain(delimiter: str) -> pa.csv.ParseOptions:
    return pa.csv.ParseOptions(delimiter=delimiter, quote_char=False)


def _open(path: Path) -> BinaryIO:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    return cast(BinaryIO, opener(path, "rb"))


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".dat": _read_dat,
    ".inter": _read_recbole,
    ".item": _read_recbole,
    ".user": _read_recbole,
}
