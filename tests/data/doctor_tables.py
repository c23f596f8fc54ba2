"""Small tables for the doctor, and ways to look at what it found."""

from typing import Any

import pyarrow as pa

from lite_llm4rec.data.doctor import Finding, Report

START = 1_600_000_000
SMALL = {"few_users", "few_items", "nothing_to_learn"}  # true of most tables here
YEAR = 365 * 86_400


def table(users: list[Any], items: list[Any], times: list[Any] | None = None) -> pa.Table:
    times = list(range(START, START + len(users))) if times is None else times
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


GOOD = table([*"aaabbb"], [*"xyzzyx"])
ITEMS = pa.table({"item_id": [*"xyz"], "title": ["Ex", "Why", "Zed"]})


def found(report: Report) -> dict[str, Finding]:
    return {finding.code: finding for finding in report.findings if finding.code not in SMALL}


def only(report: Report, code: str) -> Finding:
    findings = found(report)
    assert list(findings) == [code]
    assert findings[code].remedy
    return findings[code]


def items_of(ids: list[Any], titles: list[Any] | None = None) -> pa.Table:
    return pa.table({"item_id": ids, "title": titles or [f"T{n}" for n in range(len(ids))]})
