"""Which of two systems is better: a paired test over the same users, one seed against the same."""

import json
from collections.abc import Sequence

from lite_llm4rec.paired import compare
from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.records import write_values
from lite_llm4rec.store import CASES, read_cases

Pair = tuple[str, str, str]  # exhibit, the row that is said to be better, the other one
PAIRS = "pairs"  # folder of the records
METRIC = "recall@10"


def write_pairs(pairs: Sequence[Pair], cells: Sequence[Cell], bench: Bench) -> None:
    """Test all pairs whose runs are at hand; each is a record of its own.

    Its values are the difference first − second in Recall@10 and its 95 % interval. One that says
    the same already stays, with the commit that it was made at.
    """
    runs = {
        (cell.exhibit, cell.row, cell.data, cell.seed): cell
        for cell in cells
        if (bench.runs / cell.exhibit / cell.name / CASES).is_file()
    }
    for exhibit, better, other in pairs:
        for (found, row, data, seed), cell in runs.items():
            second = runs.get((exhibit, other, data, seed))
            if (found, row) == (exhibit, better) and second is not None:
                _write(cell, second, bench)


def _write(cell: Cell, second: Cell, bench: Bench) -> None:
    first, other = (read_cases(bench.runs / part.exhibit / part.name) for part in (cell, second))
    tested = compare(other, first)[METRIC]
    low, high = tested["interval"]
    values = {"difference": tested["difference"], "low": low, "high": high}
    path = bench.records / PAIRS / f"{cell.exhibit}.{cell.name}.{second.name}.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["values"] == values:
        return
    write_values(
        path,
        values,
        {
            "exhibit": cell.exhibit, "dataset": cell.data, "row": cell.row,
            "other": second.row, "seed": cell.seed, "metric": METRIC,
        },
    )  # fmt: skip
