"""Which of two systems is better: a paired test over the same users, one seed against the same."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lite_llm4rec.metrics import CASE_METRICS
from lite_llm4rec.paired import compare
from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.records import write_values
from lite_llm4rec.store import CASES, read_cases
from lite_llm4rec.top_n import METRICS as TOP_N

PAIRS = "pairs"  # folder of the records
METRIC = "recall@10"
METRICS = CASE_METRICS | TOP_N


class Pair(NamedTuple):
    """A row of an exhibit that is said to be better than another one, and by which metric."""

    exhibit: str
    better: str
    other: str
    metric: str = METRIC


def write_pairs(pairs: Sequence[Pair], cells: Sequence[Cell], bench: Bench) -> None:
    """Test all pairs whose runs are at hand; each is a record of its own.

    Its values are the difference first − second and its 95 % interval. One that says the same
    already stays, with the commit that it was made at.
    """
    for pair in pairs:
        for cell in cells:
            if (cell.exhibit, cell.row) == (pair.exhibit, pair.better):
                first, other = _cases(cell, bench), _cases(replace(cell, row=pair.other), bench)
                if (first / CASES).is_file() and (other / CASES).is_file():
                    _write(pair, cell, bench)


def _cases(cell: Cell, bench: Bench) -> Path:
    return bench.runs / cell.exhibit / cell.name


def _write(pair: Pair, cell: Cell, bench: Bench) -> None:
    second = replace(cell, row=pair.other)
    first, other = (read_cases(_cases(part, bench)) for part in (cell, second))
    tested = compare(other, first, metrics={pair.metric: METRICS[pair.metric]})[pair.metric]
    low, high = tested["interval"]
    values = {"difference": tested["difference"], "low": low, "high": high}
    by = "" if pair.metric == METRIC else f".{pair.metric}"
    path = bench.records / PAIRS / f"{cell.exhibit}.{cell.name}.{second.name}{by}.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8"))["values"] == values:
        return
    write_values(
        path,
        values,
        {
            "exhibit": cell.exhibit, "dataset": cell.data, "row": cell.row,
            "other": second.row, "seed": cell.seed, "metric": pair.metric,
        },
    )  # fmt: skip
