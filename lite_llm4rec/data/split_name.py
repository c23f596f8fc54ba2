"""A split's name, as settings give it and the protocol prints it → what splits a log so."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.split import Split, by_time, last_n, leave_one_out
from lite_llm4rec.errors import ConfigError


def split_by(name: str) -> Callable[[Interactions], Split]:
    """Return the function that a name stands for.

    Parameters
    ----------
    name : str
        "leave_one_out", "last_3" (any number), or "by_time_2024-05-01_2024-06-01": validation and
        test begin then, midnight UTC; seconds since 1970 will do, too.

    Raises
    ------
    ConfigError
        On another name.

    >>> split_by("last_3")
    functools.partial(<function last_n at ...>, n=3)
    """
    if name == "leave_one_out":
        return leave_one_out
    if found := re.fullmatch(r"last_([1-9]\d*)", name):
        return partial(last_n, n=int(found[1]))
    if found := re.fullmatch(r"by_time_([^_]+)_([^_]+)", name):
        valid_from, test_from = (_seconds(time, name) for time in found.groups())
        return partial(by_time, valid_from=valid_from, test_from=test_from)
    raise ConfigError(
        f"No split '{name}'.", "leave_one_out, last_3, or by_time_2024-05-01_2024-06-01."
    )


def _seconds(time: str, name: str) -> float:
    """Read a date or time (UTC where it names no zone), or seconds since 1970."""
    if re.fullmatch(r"\d+(\.\d+)?", time):
        return float(time)
    try:
        moment = datetime.fromisoformat(time)
    except ValueError as error:
        raise ConfigError(
            f"'{time}' of the split '{name}' is no time.",
            "Give dates, as in by_time_2024-05-01_2024-06-01, or seconds since 1970.",
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
