"""Separated text with a header, CSV and TSV, whose numbers keep what they are written with."""

import gzip
import re
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from lite_llm4rec.errors import DataError, at_row

NOT_UTF_8 = 'Save the file as UTF-8 (in Excel: "CSV UTF-8").'
SEPARATORS = ",;\t|"  # of a .csv, the first that its header has
SCANNED, LONGEST = 2**26, 64  # bytes looked through at once; of a value with leading zeros
_ZEROS_IN_FRONT = re.compile(rb'[,;|\t\n"] *-?0\d+(?:["\r\n\t,;| ]|$)')


def open_file(path: Path) -> BinaryIO:
    """Open a file's bytes, unpacked where its name ends in `.gz`."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    return cast(BinaryIO, opener(path, "rb"))


def plain(delimiter: str) -> pa.csv.ParseOptions:
    """Split at a mark, in which quotation marks are letters like others."""
    return pa.csv.ParseOptions(delimiter=delimiter, quote_char=False)


def read_csv(path: Path) -> pa.Table:
    """Read a CSV, whose separator its header tells; a quoted value may span lines.

    Raises
    ------
    DataError
        On text that is not UTF-8, or a quotation mark that is not closed.
    """
    with open_file(path) as file:
        header = file.readline().decode("utf-8", errors="replace")
    separator = next((mark for mark in SEPARATORS if mark in header), ",")
    quoted = pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    table = _read_separated(path, quoted)
    if _ends_within_quotes(table, path):
        raise DataError(
            f"{path}, {at_row(table.num_rows - 1)}: the last value spans several lines, and no"
            " quotation mark ends it.",
            "Close the mark where that row begins, or write it twice where it is a letter.",
        )
    return table


def _ends_within_quotes(table: pa.Table, path: Path) -> bool:
    """Whether a quotation mark in the last column, not closed, has swallowed all rows after it."""
    last = table.columns[-1][-1].as_py() if table.num_rows else None
    if not isinstance(last, str) or "\n" not in last:
        return False
    tail = b""
    with open_file(path) as file:
        while chunk := file.read(SCANNED):
            tail = (tail + chunk[-LONGEST:])[-LONGEST:]
    return not tail.rstrip().endswith(b'"')


def read_tsv(path: Path) -> pa.Table:
    """Read tab-separated text, without quotation."""
    return _read_separated(path, plain("\t"))


def _read_separated(path: Path, parse: pa.csv.ParseOptions) -> pa.Table:
    """Read text with a header.

    Whole numbers with leading zeros stay text, as 0012 is not 12, and so do columns of them with
    more digits than 64 bits hold.
    """
    with open_file(path) as file:
        table = pa.csv.read_csv(file, parse_options=parse)
    for field in table.schema:
        if pa.types.is_binary(field.type):
            raise DataError(
                f"{path}, column '{field.name}': the text is not UTF-8.",
                NOT_UTF_8,
            )
    long = beyond_64_bits(table)
    whole = [field.name for field in table.schema if pa.types.is_integer(field.type)]
    whole = whole if whole and _has_zeros_in_front(path) else []
    if not long and not whole:
        return table
    as_written = pa.csv.ConvertOptions(
        include_columns=whole + long,
        column_types=dict.fromkeys(whole + long, pa.string()),
        strings_can_be_null=True,
    )
    with open_file(path) as file:
        texts = pa.csv.read_csv(file, parse_options=parse, convert_options=as_written)
    zeros = [name for name in whole if pc.any(_match(texts[name], r"^ *-?0\d")).as_py()]
    long = [name for name in long if pc.all(_match(texts[name], r"^-?\d+$")).as_py()]
    kept = {name: pc.utf8_trim_whitespace(texts[name]) for name in zeros + long}
    return replaced(table, kept)


def beyond_64_bits(table: pa.Table) -> list[str]:
    """Name the columns that Arrow made decimals, where it may have rounded long whole numbers."""
    decimals = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    return [name for name in decimals if (pc.max(pc.abs(table[name])).as_py() or 0) >= 2**63]


def _match(texts: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    return pc.match_substring_regex(texts, pattern)


def replaced(table: pa.Table, columns: dict[str, pa.ChunkedArray]) -> pa.Table:
    """Put columns in the place of those of their names."""
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _has_zeros_in_front(path: Path) -> bool:
    """Whether any value may be a number with leading zeros: a fast look at the bytes."""
    before = b"\n"
    with open_file(path) as file:
        while chunk := file.read(SCANNED):
            if _ZEROS_IN_FRONT.search(before + chunk):
                return True
            before = chunk[-LONGEST:]
    return False
