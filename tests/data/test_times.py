from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lite_llm4rec.data.times import as_numbers, seconds_per_unit
from lite_llm4rec.errors import DataError

NOON = 1_717_156_800  # 2024-05-31T12:00:00Z


def numbers(values: list[Any], kind: pa.DataType | None = None) -> np.ndarray:
    return as_numbers(pa.chunked_array([pa.array(values, kind)]), "log, column 't'")


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([3, 1], pa.int32(), [3, 1]),
        ([3, 1], pa.uint64(), [3, 1]),
        ([3.0, 1.0], None, [3, 1]),
        (["3", "1"], None, [3, 1]),
        ([Decimal("3.0"), Decimal("1.0")], pa.decimal128(9, 1), [3, 1]),
        (["3.0", "1"], None, [3, 1]),
        (["2024-05-31T12:00:00"], None, [NOON]),
        (["2024-05-31 12:00:00.000000"], None, [NOON]),
        (["2024-05-31T12:00:00Z"], None, [NOON]),
        (["2024-05-31T14:00:00+02:00"], None, [NOON]),
        (["2024-05-31"], None, [NOON - 43_200]),
        ([date(2024, 5, 31)], None, [NOON - 43_200]),
        ([datetime(2024, 5, 31, 12)], None, [NOON]),
        ([datetime(2024, 5, 31, 12, tzinfo=UTC)], pa.timestamp("ns", "Europe/Paris"), [NOON]),
        ([NOON * 1_000], pa.timestamp("ms"), [NOON]),
    ],
)
def test_whole_times_become_int64(values: list[Any], kind: Any, expected: list[int]) -> None:
    read = numbers(values, kind)
    assert read.dtype == np.int64
    assert read.tolist() == expected


def test_what_is_a_span_or_too_large_is_no_time() -> None:
    with pytest.raises(DataError, match=r"column 't' has the type duration\[s\], which is no time"):
        numbers([5], pa.duration("s"))
    with pytest.raises(DataError, match=r"column 't', row 1 .*: 9223372036854775808 is too large"):
        numbers([5, 2**63], pa.uint64())


@pytest.mark.parametrize("values", [[0.5, 1.0], ["0.5", "1"]])
def test_fractions_are_kept(values: list[Any]) -> None:
    assert numbers(values).tolist() == [0.5, 1.0]


def test_fractions_of_a_second_in_time_stamps() -> None:
    assert numbers(["1970-01-01T00:00:01.250000", "1970-01-01T00:00:02"]).tolist() == [1.25, 2.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [1, None, None],
            r"row 1 \(from 0, header not counted\): the time is missing \(2 such rows\)",
        ),
        (
            ["5", "7.5", "yesterday"],
            "row 2 \\(from 0, header not counted\\): 'yesterday' is not a time",
        ),
        (["5", "2024-05-31"], "row 1 \\(from 0, header not counted\\): '2024-05-31' is not a time"),
        (
            ["2024-05-31", "2024-02-30"],
            "row 1 \\(from 0, header not counted\\): '2024-02-30' is not a time",
        ),
        (["5", ""], "row 1 \\(from 0, header not counted\\): '' is not a time"),
        ([1.0, float("inf")], "row 1 \\(from 0, header not counted\\): the time is not a number"),
        ([True], "has the type bool, which is no time"),
        ([[1]], "which is no time"),
    ],
)
def test_bad_times_are_named_with_their_row(values: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        numbers(values)
    assert caught.value.problem.startswith("log, column 't'")


@pytest.mark.parametrize("units", [1, 1_000, 1_000_000, 1_000_000_000])
@pytest.mark.parametrize("year", [2001, 2024, 2100])
def test_the_unit_is_told_from_the_size(units: int, year: int) -> None:
    seconds = int(datetime(year, 12, 31, tzinfo=UTC).timestamp())
    assert seconds_per_unit(np.array([1, seconds * units])) == units


def test_one_date_far_off_is_none_to_judge_by() -> None:
    times = numbers([date(2024, 5, 31), date(2024, 5, 30), date(9999, 12, 31)])
    assert seconds_per_unit(times) == 1
    assert seconds_per_unit(np.array([0, 0, 0, NOON * 1000])) == 1000  # 0 is a time that is lacking


def test_nanoseconds_and_utc_in_words() -> None:
    assert numbers(["2024-05-31 12:00:00.123456789"]).tolist() == [NOON + 0.123456]
    assert numbers(["2024-05-31 12:00:00 UTC", "2024-05-31 12:00:01.5 UTC"]).tolist() == [
        NOON, NOON + 1.5,
    ]  # fmt: skip


def test_no_times_count_as_seconds() -> None:
    assert seconds_per_unit(np.array([], np.int64)) == 1
