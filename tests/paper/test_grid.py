"""Numbers in rows and columns: what is written is what is shown."""

import json

from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.grid import Grid, show_grid
from lite_llm4rec.paper.timing import Spread


def test_rows_of_several_records_are_one_table(bench: Bench):
    first, second = Grid(), Grid()
    first.put("POD", "5", Spread(12.34, 11.0, 150.0))
    first.put("POD", "10", 0.1234)
    second.put("tokens", "5", 1234)
    second.leave_out("POD", 20, "more than 45 s a batch")
    records = []
    for name, grid in (("a", first), ("b", second)):
        cell = Cell("length", "ml-1m", name, lambda cell, bench: None, paper={"tokens": 85.0})
        grid.write(cell, bench, corner="items", unit="ms", remark="Once.")
        records.append(json.loads(cell.record(bench).read_text()))
    lines = show_grid(records).splitlines()
    assert lines[0].startswith("ms; measured on ")
    assert lines[0].endswith("; in parentheses the range over turns.")
    assert lines[2] == "| items | 5 | 10 | paper |"
    assert lines[4] == "| POD | 12.3 (11.0 – 150) | 0.123 |  |"
    assert lines[5] == "| tokens | 1,234 | — | 85.0 |"
    assert lines[-1] == "Left out: POD, 20: more than 45 s a batch. Once."
