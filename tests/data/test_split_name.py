"""What a split's name means."""

import numpy as np
import pyarrow as pa
import pytest

from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.split import by_time, last_n, leave_one_out
from lite_llm4rec.data.split_name import split_by
from lite_llm4rec.errors import ConfigError

DAY = 86_400
MAY = 1_714_521_600  # 2024-05-01, midnight UTC


def log_of_days() -> Interactions:
    """Ten users, each with one interaction a day from 2024-04-27 on."""
    users, days = np.repeat(np.arange(10), 8), np.tile(np.arange(8), 10)
    return Interactions.from_table(
        pa.table({"user_id": users, "item_id": days, "timestamp": MAY + DAY * (days - 4)})
    )


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("leave_one_out", leave_one_out),
        ("last_3", lambda log: last_n(log, 3)),
        ("by_time_2024-05-01_2024-05-03", lambda log: by_time(log, MAY, MAY + 2 * DAY)),
        ("by_time_2024-05-01T12:00_1714694400.5",
         lambda log: by_time(log, MAY + DAY / 2, 1714694400.5)),
        ("by_time_2024-05-01T00:00+02:00_2024-05-03",
         lambda log: by_time(log, MAY - 7200, MAY + 2 * DAY)),
    ],
)  # fmt: skip
def test_a_name_and_what_it_prints_mean_the_same(name: str, split):
    log = log_of_days()
    expected = split(log)
    for found in (split_by(name)(log), split_by(expected.name)(log)):
        assert found.name == expected.name
        np.testing.assert_array_equal(found.train_ends, expected.train_ends)
        np.testing.assert_array_equal(found.valid.positions, expected.valid.positions)
        np.testing.assert_array_equal(found.test.positions, expected.test.positions)


@pytest.mark.parametrize(
    "name",
    ["", "last", "last_0", "last_-1", "by_time", "by_time_2024-05-01", "by_time_1_2_3", "random",
     "leave_one_out, 10 % of items cold (seed 0)"],
)  # fmt: skip
def test_another_name_is_refused(name: str):
    with pytest.raises(ConfigError, match="No split") as told:
        split_by(name)
    assert "by_time_2024-05-01_2024-06-01" in str(told.value)


@pytest.mark.parametrize("time", ["may", "2024-13-01", "nan", "inf", "-5"])
def test_what_is_no_time_is_named(time: str):
    with pytest.raises(ConfigError, match=f"'{time}' of the split 'by_time_{time}_9' is no time"):
        split_by(f"by_time_{time}_9")
