"""One family of errors; each says what is wrong, where, and what to do about it."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class LiteLLM4RecError(Exception):
    """Base of every error that this package raises on purpose.

    Parameters
    ----------
    problem : str
        What is wrong and where (file, row, column, step…).
    remedy : str
        What the reader can do about it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem if not remedy else f"{problem}\n  What to do: {remedy}")
        self.problem = problem
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.problem, self.remedy)  # for worker processes


def _rebuild(kind: type[LiteLLM4RecError], problem: str, remedy: str) -> LiteLLM4RecError:
    error = kind.__new__(kind)
    LiteLLM4RecError.__init__(error, problem, remedy)
    return error


class DataError(LiteLLM4RecError):
    """A table, a file or an id that cannot be used as it is."""


class UnknownItemError(DataError):
    """An item id that the catalogue does not hold."""


class ConfigError(LiteLLM4RecError):
    """A setting that does not exist or has a value that cannot work."""


class DownloadError(LiteLLM4RecError):
    """Something could not be fetched, or is not what it was when first fetched."""


class MissingExtraError(LiteLLM4RecError):
    """An optional dependency that is needed here is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed.",
            f"pip install 'lite-llm4rec[{extra}]'",
        )


class TrainingError(LiteLLM4RecError):
    """Training could not go on: a non-finite loss, no memory, a full disk."""


class Interrupted(TrainingError):
    """Training was stopped on request, in a state that can be gone on from."""


class StoreError(LiteLLM4RecError):
    """A run folder that cannot be read or written."""


class BusyError(StoreError):
    """Another process is at work on a folder."""


def at_row(row: int) -> str:
    """Name a row of a table in a message.

    >>> at_row(3)
    'row 3 (from 0, header not counted)'
    """
    return f"row {row} (from 0, header not counted)"


def nearest(name: str, known: Iterable[object]) -> str:
    """Say which known names resemble `name`, as the end of an error message.

    >>> nearest("dropuot", ["dropout", "width"])
    "did you mean 'dropout'?"
    >>> nearest("x", ["dropout", "width"])
    'known: dropout, width'
    """
    names = [str(other) for other in known]
    folded = {other.casefold(): other for other in reversed(names)}
    close = get_close_matches(str(name).casefold(), folded, n=1)
    if close:
        return f"did you mean '{folded[close[0]]}'?"
    return f"known: {', '.join(names[:20])}" + (", …" if len(names) > 20 else "")
