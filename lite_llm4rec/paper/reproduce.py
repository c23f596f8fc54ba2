"""Measure the cells of the paper's tables and figures, one after the other, and go on later."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch

from lite_llm4rec.errors import BusyError, Interrupted, LiteLLM4RecError
from lite_llm4rec.paper.cell import Bench, Cell, NotHereError
from lite_llm4rec.records import write_values


def reproduce(cells: Sequence[Cell], bench: Bench, say: Callable[[str], object]) -> list[Cell]:
    """Measure each cell that has no record yet; one that cannot be measured here says why.

    A killed call loses at most the seconds since a training's last checkpoint: the same call goes
    on with the cell that it was at. A cell that fails, by a wrong setting or for want of memory,
    does not end the others; it is tried again by the next call. One that another process is at is
    left to it.

    Parameters
    ----------
    say : callable
        Takes each line of progress.

    Returns
    -------
    list of Cell
        Those that failed.

    Raises
    ------
    Interrupted
        On Ctrl-C in a training.
    """
    failed = []
    for number, cell in enumerate(cells, 1):
        place = f"[{number}/{len(cells)}] {cell.exhibit} {cell.name}"
        if cell.is_done(bench):
            place += ": done before"
            with suppress(LiteLLM4RecError):  # the data need not be here any more
                place += cell.otherwise(bench)
            say(place)
            continue
        say(place)
        try:
            cell.measure(cell, bench)
        except NotHereError as error:
            _note(cell, bench, _reason(error, bench), say)
        except BusyError as error:
            failed.append(cell)
            say(f"  {_reason(error, bench)}")
        except Interrupted:
            raise
        except Exception as error:  # the next cell may go well
            failed.append(cell)
            _note(cell, bench, f"failed: {_reason(error, bench)}", say)
        torch.cuda.empty_cache()  # for the next cell, after one that ran out of memory
    return failed


def _note(cell: Cell, bench: Bench, reason: str, say: Callable[[str], object]) -> None:
    """Put a reason in the number's place; a number that was measured before it failed stays."""
    if not cell.is_done(bench):
        write_values(cell.record(bench), {}, {**cell.about(), "missing": reason})
    say(f"  {reason}")


def _reason(error: Exception, bench: Bench) -> str:
    """Say in one line what went wrong, without this machine's folders: records are published."""
    words = " ".join(str(error).split())
    if not isinstance(error, LiteLLM4RecError | RuntimeError):
        words = f"{type(error).__name__}: {words}"
    for folder in (Path(bench.t5).expanduser(), bench.root, bench.runs, bench.records):
        if folder is not None and folder.is_absolute():
            words = words.replace(str(folder), folder.name)
    return words or type(error).__name__
