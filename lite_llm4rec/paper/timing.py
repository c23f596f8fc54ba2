"""Time systems side by side, so that their ratios mean something on any machine."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch

Name = TypeVar("Name", bound=Hashable)


class Spread(NamedTuple):
    """A median over turns, and the turns' range."""

    median: float
    low: float
    high: float


def side_by_side(
    systems: Mapping[Name, Callable[[], object]],
    turns: int = 5,
    device: str = "cpu",
    *,
    warm: bool = False,
) -> dict[Name, list[float]]:
    """Run each system once per turn, after one turn that does not count.

    Parameters
    ----------
    systems : mapping
        Name to what is to be timed.
    turns : int
    warm : bool
        Whether each has run before, so that the turn which does not count is not needed.

    Returns
    -------
    dict
        Name to its seconds, turn by turn.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in systems}
    for _ in range(turns if warm else turns + 1):
        for name, work in systems.items():
            seconds[name].append(clock(work, device))
    return {name: times[-turns:] for name, times in seconds.items()}


def spread(values: Sequence[float]) -> Spread:
    """Summarise the turns.

    >>> spread([3.0, 1.0, 2.0])
    Spread(median=2.0, low=1.0, high=3.0)
    """
    return Spread(statistics.median(values), min(values), max(values))


def ratio(times: Sequence[float], others: Sequence[float]) -> Spread:
    """Divide turn by turn: what slows the machine in one turn slows both.

    >>> ratio([4.0, 8.0, 6.0], [2.0, 4.0, 2.0])
    Spread(median=2.0, low=2.0, high=3.0)
    """
    return spread([time / other for time, other in zip(times, others, strict=True)])


@torch.no_grad()
def clock(work: Callable[[], object], device: str) -> float:
    """Return the seconds that a piece of work takes, on a GPU until it is through."""
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
