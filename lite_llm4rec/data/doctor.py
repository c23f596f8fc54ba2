"""What is wrong with this data, in words, and what to do about it.

Where the readers stop at the first thing that cannot work, the doctor notes it, sets those rows
aside and goes on with what can still be examined.
"""

from collections.abc import Sequence
from typing import Any

from lite_llm4rec.data.doctor_items import examine_items, id_or_note
from lite_llm4rec.data.doctor_log import examine_log
from lite_llm4rec.data.doctor_report import Finding, Report, read_or_note
from lite_llm4rec.data.readers import name_of

__all__ = ["Finding", "Report", "examine"]


def examine(
    interactions: Any,
    items: Any = None,
    *,
    user: str | None = None,
    item: str | None = None,
    items_id: str | None = None,
    time: str | None = None,
    text: Sequence[str] | None = None,
) -> Report:
    """Say what is in the data and what is wrong with it.

    Bad data raises nothing: it becomes a finding.

    Parameters
    ----------
    interactions, items : path or table
        See `read_table`.
    user, item, items_id, time, text : optional
        Column names, as in `Dataset.from_tables`; by default the usual ones are looked for.
    """
    report = Report([], [])
    table = None if items is None else read_or_note(items, name_of(items), report)
    where = name_of(items)
    key = None
    if table is not None:
        named = items_id or (item if item in table.column_names else None)
        key = id_or_note(table, named, where, report)
    known = None if table is None or key is None else table[key].combine_chunks()
    log = examine_log(interactions, {"user": user, "item": item, "time": time}, known, report)
    if table is not None and key is not None:
        examine_items(table, where, key, text, log, report)
    report.findings.sort(key=lambda finding: ("error", "warning", "note").index(finding.severity))
    return report
