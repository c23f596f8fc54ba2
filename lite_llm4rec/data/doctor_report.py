"""What the doctor's checks share: findings, the report, and reading that notes what fails."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.data.columns import find_column
from lite_llm4rec.data.readers import read_table
from lite_llm4rec.errors import DataError, at_row

SWALLOWS = "Look there: a quotation mark that is not closed swallows the rows after it."
Bools = npt.NDArray[np.bool_]
ONE = {"are": "is", "have": "has"}  # of one; any other verb takes an s


@dataclass(frozen=True)
class Finding:
    """One thing to know about the data.

    Attributes
    ----------
    severity : "error", "warning" or "note"
        Whether the data cannot be used as it is, may mislead, or is only worth knowing.
    code : str
        A short name that does not change, for programs.
    message, remedy : str
        What was found, and what to do about it.
    """

    severity: Literal["error", "warning", "note"]
    code: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Report:
    """What an examination found: facts as (name, value), and findings, the worst first."""

    facts: list[tuple[str, str]]
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether there is no error, so that the data can be trained on."""
        return all(finding.severity != "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Give the report as JSON can hold it."""
        findings = [asdict(finding) for finding in self.findings]
        return {"ok": self.ok, "facts": dict(self.facts), "findings": findings}


def read_or_note(source: Any, where: str, report: Report) -> pa.Table | None:
    """Read a table; what stops it, or its having no rows, becomes a finding."""
    try:
        table = read_table(source)
    except DataError as error:
        report.findings.append(as_finding("unreadable", error))
        return None
    except (pa.ArrowException, ValueError, TypeError) as error:
        message = f"{where} cannot be read: {error}"
        report.findings.append(Finding("error", "unreadable", message, "Save it as Parquet."))
        return None
    if table.num_rows == 0:
        finding = Finding("error", "empty", f"{where} has no rows.", "Check how it was made.")
        report.findings.append(finding)
        return None
    return table


def column_or_note(
    table: pa.Table,
    role: str,
    named: str | None,
    where: str,
    report: Report,
    known: pa.Array | None = None,
) -> str | None:
    """Find a column; its absence becomes a finding."""
    try:
        return find_column(table, role, named, where, known)
    except DataError as error:
        report.findings.append(as_finding(f"no_{role}_column", error))
        return None


def as_finding(code: str, error: DataError) -> Finding:
    """Turn an error of ours into a finding."""
    return Finding("error", code, error.problem, error.remedy)


def missing_ids(column: pa.ChunkedArray) -> Bools:
    """Mark the rows without an id or time: null, not a number, or blank, (rows,)."""
    missing: Bools = pc.is_null(column, nan_is_null=True).to_numpy()
    if is_text(column.type):
        length = pc.utf8_length(pc.utf8_trim_whitespace(column)).fill_null(0)
        missing = missing | (length.to_numpy() == 0)
    return missing


def missing_findings(missing: Bools, role: str, label: str) -> Iterator[Finding]:
    """Say how many rows lack what, and which is the first."""
    if missing.any():
        yield Finding(
            "error",
            f"missing_{role}",
            f"{label}: no {role} in {count(missing):,} of {counted(len(missing), 'row')}, the first"
            f" is {at_row(int(missing.argmax()))}.",
            "Remove these rows, or fill in what is missing.",
        )


def count(mask: Bools) -> int:
    """Count the true ones."""
    return int(np.count_nonzero(mask))


def counted(number: int, noun: str, verb: str = "", of: int = 0) -> str:
    """Write a number with its noun and verb, as fits one or many, and its share of `of`.

    >>> counted(1, "user", "have", of=8), counted(2000, "row", "repeat")
    ('1 user (12.5%) has', '2,000 rows repeat')
    """
    share = f" ({number / of:.1%})" if of else ""
    if number == 1:
        verb = verb and ONE.get(verb, f"{verb}s")
        return f"1 {noun}{share} {verb}".rstrip()
    return f"{number:,} {noun}s{share} {verb}".rstrip()


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
