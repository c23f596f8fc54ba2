"""Measure the cells of the paper's tables and figures, one after the other, and go on later."""

from collections.abc import Sequence

from rich.console import Console

from lite_llm4rec.paper.cell import Bench, Cell, NotHereError
from lite_llm4rec.records import write_values


def reproduce(cells: Sequence[Cell], bench: Bench, console: Console) -> None:
    """Measure each cell that has no record yet; one that cannot be measured here says why.

    A killed call loses at most the seconds since a training's last checkpoint: the same call goes
    on with the cell that it was at.
    """
    for number, cell in enumerate(cells, 1):
        place = f"[{number}/{len(cells)}] {cell.exhibit} {cell.name}"
        if cell.is_done(bench):
            console.print(f"{place}: done before")
            continue
        console.print(place)
        try:
            cell.measure(cell, bench)
        except NotHereError as reason:
            write_values(cell.record(bench), {}, {**cell.about(), "missing": str(reason)})
            console.print(f"  {reason}")
