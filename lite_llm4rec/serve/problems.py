"""What is answered when something is wrong: a status, what it is, and what to do."""

from typing import ClassVar

from lite_llm4rec.errors import (
    ConfigError,
    DataError,
    DownloadError,
    LiteLLM4RecError,
    MissingExtraError,
    StoreError,
)


class Problem(LiteLLM4RecError):
    """A request that is refused.

    Attributes
    ----------
    status : int
        HTTP's.
    retry_after : int
        Seconds after which the same request may succeed; 0 where it will not.
    headers : dict
        What else HTTP wants said.
    """

    status = 422
    retry_after = 0
    headers: ClassVar[dict[str, str]] = {}


class Foreign(Problem):
    """A web page of another site asks, or somebody by another name than this machine's."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "Without API keys, this machine's own pages and programs alone are answered.",
            "Ask at http://127.0.0.1 or http://localhost, set keys, or start with --unprotected.",
        )


class NotFound(Problem):
    """Nothing is there."""

    status = 404


class Conflict(Problem):
    """What is asked for contradicts what is there."""

    status = 409


class NoKey(Problem):
    """An API key is missing or wrong."""

    status = 401
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}

    def __init__(self) -> None:
        super().__init__("The API key is missing or wrong.", "Authorization: Bearer KEY")


class TooLarge(Problem):
    """A request beyond a limit."""

    status = 413


class TooSlowBody(Problem):
    """A body that does not arrive."""

    status = 408


class TooMany(Problem):
    """The queue is full."""

    status = 429
    retry_after = 1


class Unavailable(Problem):
    """Something that is needed does not answer in time."""

    status = 503
    retry_after = 2


_STATUS = {
    StoreError: 409,
    DownloadError: 503,
    DataError: 422,
    ConfigError: 422,
    MissingExtraError: 409,  # of a run folder to load, which needs it
}


def as_problem(error: LiteLLM4RecError) -> Problem:
    """Give any error of this package its status."""
    if isinstance(error, Problem):
        return error
    problem = Problem(error.problem, error.remedy)
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            problem.status = status
    return problem
