"""Numbers in rows and columns: as a record, and as a table."""

from dataclasses import dataclass, field
from typing import Any

from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.rows import place
from lite_llm4rec.paper.timing import Spread
from lite_llm4rec.records import write_values

CORNER = "corner"  # the key that only these records have


@dataclass
class Grid:
    """Numbers to be written as one record.

    Attributes
    ----------
    values : dict
        Row to column to number.
    ranges : dict
        Row to column to the lowest and highest turn, for what was timed.
    left_out : dict
        What is not there and why.
    """

    values: dict[str, dict[str, float]] = field(default_factory=dict)
    ranges: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def put(self, row: str, column: str, number: float | Spread) -> None:
        """Fill one place."""
        if isinstance(number, Spread):
            self.ranges.setdefault(row, {})[column] = [number.low, number.high]
            number = number.median
        self.values.setdefault(row, {})[column] = number

    def leave_out(self, row: str, column: object, reason: str) -> None:
        """Say why a place stays empty, or a whole row, whose column is None."""
        self.left_out[row if column is None else f"{row}, {column}"] = reason

    def write(self, cell: Cell, bench: Bench, *, corner: str, unit: str, remark: str = "") -> None:
        """Write the record.

        Parameters
        ----------
        corner : str
            What the rows and columns are.
        unit : str
            Of all numbers whose column does not name another.
        """
        details = {CORNER: corner, "unit": unit, "ranges": self.ranges, "left_out": self.left_out}
        more = {"remark": remark, "t5": bench.t5_name}
        write_values(cell.record(bench), self.values, {**cell.about(), **details, **more})


def show_grid(records: list[dict[str, Any]]) -> str:
    """Make one table of an exhibit's records, each of which gives some of its rows."""
    named = [column for record in records for row in record["values"].values() for column in row]
    columns = list(dict.fromkeys(named))
    papers = {name: number for record in records for name, number in record["paper"].items()}
    head = [str(records[0][CORNER]), *columns, *(["paper"] if papers else [])]
    turns = "; in parentheses the range over turns" if any(r["ranges"] for r in records) else ""
    places = ", ".join(dict.fromkeys(place(record) for record in records))
    lines = [f"{records[0]['unit']}; measured on {places}{turns}.", ""]
    lines += [_line(head), "|---" * len(head) + "|"]
    for record in records:
        for name, row in record["values"].items():
            ranges = record["ranges"].get(name, {})
            cells = [_number(row.get(column), ranges.get(column)) for column in columns]
            cells += [_number(papers[name]) if name in papers else ""] if papers else []
            lines.append(_line([name, *cells]))
    return "\n".join([*lines, "", *_remarks(records)])


def _remarks(records: list[dict[str, Any]]) -> list[str]:
    left_out = [f"{what}: {why}" for record in records for what, why in record["left_out"].items()]
    remarks = dict.fromkeys(record["remark"] for record in records if record["remark"])
    told = [f"Left out: {'; '.join(left_out)}."] if left_out else []
    return [" ".join([*told, *remarks])]


def _number(value: float | None, ends: list[float] | None = None) -> str:
    if value is None:
        return "—"
    return _digits(value) + (f" ({_digits(ends[0])} – {_digits(ends[1])})" if ends else "")


def _digits(value: float) -> str:
    if isinstance(value, int) or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
