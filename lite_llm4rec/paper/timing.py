"""Time systems side by side, so that their ratios mean something on any machine."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def side_by_side(
    systems: Mapping[str, Callable[[], object]], turns: int = 5, device: str = "cpu"
) -> dict[str, float]:
    """Run each system once per turn, after one turn that does not count.

    Parameters
    ----------
    systems : mapping
        Name to what is to be timed.
    turns : int

    Returns
    -------
    dict
        Name to the median of its seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(turns + 1):
        for name, work in systems.items():
            seconds[name].append(_clock(work, device))
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


@torch.no_grad()
def _clock(work: Callable[[], object], device: str) -> float:
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
