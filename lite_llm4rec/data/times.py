"""A column of times in whatever type → numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.errors import DataError, at_row

# Years 2001–2286 written in milli-, micro- or nanoseconds are above these bounds; in seconds below.
UNITS = ((1e17, 1_000_000_000), (1e14, 1_000_000), (1e11, 1_000))

# What text is tried as, in this order; the last are time stamps with a zone.
TEXT_KINDS = (
    pa.int64(),
    pa.float64(),
    *(pa.timestamp(unit, zone) for unit in ("us", "ns") for zone in (None, "UTC")),
)


def as_numbers(column: pa.ChunkedArray, where: str) -> npt.NDArray[Any]:
    """Turn times into int64, or float64 where there are fractions.

    Integers and decimals are taken as they are; dates, time stamps and ISO 8601 text become
    seconds since 1970 (UTC).

    Raises
    ------
    DataError
        On a missing or unreadable time, with its row.
    """
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise DataError(
            f"{where}, {at_row(row)}: the time is missing ({column.null_count:,} such rows).",
            "Drop these rows, or give them a time.",
        )
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parse_text(column, where)
    if pa.types.is_integer(column.type):
        return _as_int64(column, where)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type):
        return _whole_if_possible(column.to_numpy().astype(np.float64), where)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        microseconds = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_numpy()
        return _whole_if_possible(microseconds / 1e6, where)
    raise DataError(
        f"{where} has the type {column.type}, which is no time.",
        "Name another column, or make it a time stamp or a number of seconds.",
    )


def seconds_per_unit(times: npt.NDArray[Any]) -> int:
    """Tell how many of the column's units make a second, judged by size: 1, 10³, 10⁶ or 10⁹.

    By the middle one of all that are not 0: a single date far off, such as the year 9999, is none
    to judge by.
    """
    told = np.abs(times[times != 0])
    usual = float(np.median(told)) if len(told) else 0.0
    return next((units for bound, units in UNITS if usual > bound), 1)


def date_of(seconds: float) -> str:
    """Write the day (UTC) of a time in seconds since 1970.

    >>> date_of(1_714_521_600)
    '2024-05-01'
    """
    bounded = int(min(max(seconds, -1e14), 1e14))  # far past any calendar, within datetime64
    return str(np.datetime64(bounded, "s").astype("datetime64[D]"))


def _as_int64(column: pa.ChunkedArray, where: str) -> npt.NDArray[np.int64]:
    try:
        return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)
    except pa.ArrowInvalid as error:
        row = pc.index(column, pc.max(column)).as_py()
        raise DataError(
            f"{where}, {at_row(row)}: {column[row].as_py()} is too large for a time.",
            "Use seconds since 1970, or milli-, micro- or nanoseconds.",
        ) from error


def _whole_if_possible(numbers: npt.NDArray[np.float64], where: str) -> npt.NDArray[Any]:
    bad = ~np.isfinite(numbers)
    if bad.any():
        raise DataError(
            f"{where}, {at_row(int(bad.argmax()))}: the time is not a number.", "Drop it."
        )
    with np.errstate(invalid="ignore"):  # what int64 cannot hold stays a float
        whole = numbers.astype(np.int64)
    return whole if (whole == numbers).all() else numbers


def _parse_text(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    column = pc.replace_substring_regex(column, r" UTC$", "Z")  # as BigQuery writes it
    for kind in TEXT_KINDS:
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            continue
    row, value = _first_unreadable(column)
    raise DataError(
        f"{where}, {at_row(row)}: {value!r} is not a time.",
        "Use unix seconds, a time stamp type, or ISO 8601 text such as 2024-05-31T12:00:00.",
    )


def _first_unreadable(column: pa.ChunkedArray) -> tuple[int, Any]:
    kind = next((kind for kind in TEXT_KINDS[1:] if _readable(column[0], kind)), TEXT_KINDS[-1])
    for row, value in enumerate(column):
        if not _readable(value, kind):
            return row, value.as_py()
    return 0, column[0].as_py()


def _readable(value: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        value.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
