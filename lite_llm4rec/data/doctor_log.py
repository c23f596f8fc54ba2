"""The doctor's checks of the interactions."""

import math
import time as clock
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.data.doctor_report import (
    SWALLOWS,
    Bools,
    Finding,
    Report,
    as_finding,
    column_or_note,
    count,
    counted,
    is_text,
    missing_findings,
    missing_ids,
    read_or_note,
)
from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.readers import name_of
from lite_llm4rec.data.times import as_numbers, date_of, seconds_per_unit
from lite_llm4rec.errors import DataError, at_row

YEAR_1995 = 788_918_400  # in seconds since 1970; no log of a recommender is older
LONG_HISTORY = 10_000
FEW_USERS = 1_000  # below it, a recall of 0.1 is known to ±0.019 at best
FEW_ITEMS = 100
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
MOMENT = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z| UTC|[+-]\d\d:?\d\d)?)?$"
TOO_FEW = (
    "Nothing. Or leave out users and items with fewer than 5 interactions: --core 5"
    " (in Python core=5)."
)
KEEP_LAST = 'keep each user\'s last row per item: --duplicates last (in Python duplicates="last")'
UNIT_NAMES = {1_000: "milliseconds", 1_000_000: "microseconds", 1_000_000_000: "nanoseconds"}


def examine_log(
    source: Any, named: dict[str, str | None], known: pa.Array | None, report: Report
) -> Interactions | None:
    """Examine the interactions; return them as far as they can be read."""
    where = name_of(source)
    table = read_or_note(source, where, report)
    if table is None:
        return None
    found = {
        role: column_or_note(table, role, name, where, report, known if role == "item" else None)
        for role, name in named.items()
    }
    names = {role: name for role, name in found.items() if name is not None}
    if "user" not in names or "item" not in names:
        return None
    columns = {role: table[name] for role, name in names.items()}
    labels = {role: f"{where}, column '{name}'" for role, name in names.items()}
    if where.removesuffix(".gz").lower().endswith(".csv"):
        report.findings.extend(_line_break_checks(table, where))
    del table
    before = len(report.findings)
    rows = _usable_rows(columns, labels, report)
    if not rows.any():
        finding = Finding("error", "empty", f"{where} has no usable row.", "Repair the above.")
        report.findings.append(finding)
        return None
    if not rows.all():
        columns = {role: column.filter(pa.array(rows)) for role, column in columns.items()}
    times = _numbers(columns["time"], labels["time"], report) if "time" in columns else None
    timed = times is not None
    whole = timed and len(report.findings) == before
    # Where nothing tells the time, the order of the rows does.
    log = _build(columns, np.arange(rows.sum()) if times is None else times, where, report)
    if log is None:
        return None
    report.facts.extend(_log_facts(log, timed, whole))
    for check in LOG_CHECKS if timed else LOG_CHECKS[1:]:
        report.findings.extend(check(log))
    return log


def _line_break_checks(table: pa.Table, where: str) -> Iterator[Finding]:
    for name in table.column_names:
        if is_text(table[name].type):
            broken = pc.match_substring(table[name], "\n").fill_null(False).to_numpy()
            if broken.any():
                yield Finding(
                    "warning",
                    "line_breaks",
                    f"{where}: {counted(count(broken), 'row', 'have')} a line break in '{name}',"
                    f" the first is {at_row(int(broken.argmax()))}.",
                    SWALLOWS,
                )


def _usable_rows(
    columns: dict[str, pa.ChunkedArray], labels: dict[str, str], report: Report
) -> Bools:
    """Mark the rows that can be examined, with a finding for what the others lack."""
    usable = np.ones(len(columns["user"]), bool)
    for role, column in columns.items():
        missing = missing_ids(column)
        usable &= ~missing
        report.findings.extend(missing_findings(missing, role, labels[role]))
        if role == "time":
            unreadable = _unreadable_times(column) & ~missing
            usable &= ~unreadable
            report.findings.extend(_unreadable_findings(unreadable, column, labels[role]))
        elif pa.types.is_floating(column.type):
            report.findings.append(_decimal_ids(labels[role]))
            columns[role] = column.cast(pa.string())
    return usable


def _decimal_ids(label: str) -> Finding:
    return Finding(
        "error",
        "decimal_ids",
        f"{label} holds decimal numbers, which cannot serve as ids.",
        "Turn it into integers or text. In pandas, one missing id turns all into decimals.",
    )


def _unreadable_times(column: pa.ChunkedArray) -> Bools:
    """Mark text that is no time: neither a number nor ISO 8601, whichever most rows are."""
    if pa.types.is_floating(column.type):
        endless: Bools = ~np.isfinite(column.to_numpy())
        return endless
    if not is_text(column.type):
        return np.zeros(len(column), bool)
    readable = [
        pc.match_substring_regex(column, pattern).fill_null(False).to_numpy()
        for pattern in (NUMBER, MOMENT)
    ]
    best: Bools = max(readable, key=np.count_nonzero)
    return ~best


def _unreadable_findings(
    unreadable: Bools, column: pa.ChunkedArray, label: str
) -> Iterator[Finding]:
    if unreadable.any():
        row = int(unreadable.argmax())
        yield Finding(
            "error",
            "unreadable_time",
            f"{label}: no readable time in {count(unreadable):,} of"
            f" {counted(len(unreadable), 'row')}, the first is {at_row(row)}:"
            f" {column[row].as_py()!r}.",
            "Write all times in one form: seconds since 1970, or text such as 2024-05-31T12:00:00.",
        )


def _numbers(column: pa.ChunkedArray, label: str, report: Report) -> npt.NDArray[Any] | None:
    try:
        return as_numbers(column, label)
    except DataError as error:
        report.findings.append(as_finding("unreadable_time", error))
    except pa.ArrowException as error:
        message = f"{label} holds no times: {error}"
        report.findings.append(Finding("error", "unreadable_time", message, "Name another column."))
    return None


def _build(
    columns: dict[str, pa.ChunkedArray], times: npt.NDArray[Any], where: str, report: Report
) -> Interactions | None:
    table = pa.table({"user": columns["user"], "item": columns["item"], "time": times})
    try:
        return Interactions.from_table(table, user="user", item="item", time="time")
    except DataError as error:
        report.findings.append(as_finding("id_type", error))
        return None
    except pa.ArrowException as error:
        message = f"{where}: users or items cannot be identified: {error}"
        report.findings.append(Finding("error", "id_type", message, "Turn the ids into text."))
        return None


def _log_facts(log: Interactions, timed: bool, whole: bool) -> Iterator[tuple[str, str]]:
    counts = np.sort(log.item_counts())[::-1]
    top = math.ceil(len(counts) / 100)
    yield "users", f"{log.n_users:,}"
    yield "items", f"{log.n_items:,}"
    yield "interactions", f"{len(log):,}"
    yield "density", f"{len(log) / log.n_users / log.n_items:.4%}"
    yield "median history", f"{np.median(log.lengths):g}"
    yield "longest history", f"{log.lengths.max():,}"
    yield "share of the top 1 % of items", f"{counts[:top].sum() / len(log):.1%}"
    if timed and log.time == "unix":
        unit = seconds_per_unit(log.times)
        yield "time", f"{date_of(log.times.min() / unit)} to {date_of(log.times.max() / unit)}"
    if whole:
        yield "sequences_sha256", log.sequences_sha256


def _time_checks(log: Interactions) -> Iterator[Finding]:
    if log.time == "order":
        yield Finding(
            "note",
            "positions",
            "The time column holds no times, only each interaction's place in its user's history.",
            "Nothing: the order is all that is needed. Only --split by_time_… needs real times.",
        )
        return
    if len(log) > 1 and log.times.min() == log.times.max():
        yield Finding(
            "warning",
            "constant_time",
            "All interactions have the same time. They are taken in the order of the table's rows.",
            "Name the real time column, or make sure that the rows are in the right order.",
        )
        return
    unit = seconds_per_unit(log.times)
    if unit > 1:
        yield Finding(
            "note",
            "time_unit",
            f"Times are in {UNIT_NAMES[unit]}, judged by their size.",
            "Nothing, if that is right. --split by_time_… takes seconds all the same.",
        )
    yield from _date_checks(log, unit)
    yield from _tie_checks(log)


def _date_checks(log: Interactions, unit: int) -> Iterator[Finding]:
    early = count(log.times < YEAR_1995 * unit)
    future = count(log.times > clock.time() * unit)
    if early:
        yield Finding(
            "warning",
            "early_time",
            f"{counted(early, 'interaction', 'are')} from before 1995, the first from"
            f" {date_of(log.times.min() / unit)}.",
            "Check that this is the time column, and its unit. Numbers that only give the order"
            " will do, except for --split by_time_….",
        )
    if future:
        yield Finding(
            "warning",
            "future_time",
            f"{counted(future, 'interaction', 'lie')} in the future, the last on"
            f" {date_of(log.times.max() / unit)}.",
            "Check the unit, and the clock that wrote them. Times in mixed units are ordered"
            " wrongly.",
        )


def _tie_checks(log: Interactions) -> Iterator[Finding]:
    ties = log.time_ties or 0
    if not ties:
        return
    last = log.offsets[1:][log.lengths > 1] - 1
    undecided = int(np.count_nonzero(log.times[last] == log.times[last - 1]))
    share = ties / len(log)
    yield Finding(
        "warning" if share > 0.05 else "note",
        "time_ties",
        f"{counted(ties, 'interaction', 'have', len(log))} the same time as the one before by the"
        " same user. Such interactions are taken in the order of the table's rows."
        f" For {counted(undecided, 'user')} this decides which item is the last, the one that"
        " tests use.",
        "Keep the rows in the order in which they were logged, never sorted by item. Compare"
        " results only where sequences_sha256 is the same.",
    )


def _repeat_checks(log: Interactions) -> Iterator[Finding]:
    pairs = log.users.astype(np.int64) * log.n_items + log.items
    pairs.sort()
    repeats = int(np.count_nonzero(pairs[1:] == pairs[:-1]))
    copies = _count_copies(log) if repeats else 0
    if copies:
        yield Finding(
            "warning",
            "duplicate_rows",
            f"{counted(copies, 'row', 'repeat')} the user, item and time of another row.",
            f"Nothing, if each row was meant. Otherwise {KEEP_LAST}.",
        )
    if repeats > copies:
        yield Finding(
            "note",
            "repeated_pairs",
            f"{counted(repeats - copies, 'interaction', 'are', len(log))} with an item that the"
            " user had before. Either people come back to items, or some were logged twice.",
            f"If people come back, train with --set repeats=true: else what a user has had is never"
            f" recommended again. Otherwise {KEEP_LAST}.",
        )


def _count_copies(log: Interactions) -> int:
    same = (log.times[1:] == log.times[:-1]) & (log.users[1:] == log.users[:-1])
    tied = np.zeros(len(log), bool)
    tied[1:] |= same
    tied[:-1] |= same
    users, times, items = log.users[tied], log.times[tied], log.items[tied]
    order = np.lexsort((items, times, users))
    equal = np.ones(max(len(order) - 1, 0), bool)
    for values in (users[order], times[order], items[order]):
        equal &= values[1:] == values[:-1]
    return int(np.count_nonzero(equal))


def _user_checks(log: Interactions) -> Iterator[Finding]:
    single, short = log.lengths == 1, log.lengths < 3
    if single.any():
        yield Finding(
            "note",
            "one_item_users",
            f"{counted(count(single), 'user', 'have', log.n_users)} only one interaction. Nothing"
            " can be learnt from it.",
            TOO_FEW,
        )
    if short.any():
        yield Finding(
            "warning" if short.mean() > 0.5 else "note",
            "short_histories",
            f"{counted(count(short), 'user', 'have', log.n_users)} fewer than 3 interactions. Such"
            " short histories are trained on, never tested on.",
            TOO_FEW,
        )
    long = log.lengths > LONG_HISTORY
    if long.any():
        longest = int(log.lengths.argmax())
        yield Finding(
            "warning",
            "long_histories",
            f"{counted(count(long), 'user', 'have')} more than {LONG_HISTORY:,} interactions. The"
            f" most, {log.lengths[longest]:,}, are by {log.user_ids[longest].as_py()!r}."
            " This may be a robot.",
            "Look at what they did, and remove from the table whoever is no person.",
        )


def _item_checks(log: Interactions) -> Iterator[Finding]:
    rare = log.item_counts() == 1
    if rare.any():
        yield Finding(
            "note",
            "rare_items",
            f"{counted(count(rare), 'item', 'have', log.n_items)} only one interaction. Little can"
            " be learnt about such items.",
            TOO_FEW,
        )
    if log.n_items < FEW_ITEMS:
        yield Finding(
            "warning",
            "few_items",
            f"Only {counted(log.n_items, 'item', 'are')} in the interactions, so that a list of 10"
            f" holds {min(10 / log.n_items, 1):.0%} of all. Even guessing scores well.",
            "Compare models on this data with each other, not with results on more items.",
        )


def _size_checks(log: Interactions) -> Iterator[Finding]:
    evaluated = int(np.count_nonzero(log.lengths >= 3))
    if not evaluated:
        yield Finding(
            "error",
            "nothing_to_evaluate",
            "No user has 3 interactions: one to train on, one to choose the model by, one to test"
            " on.",
            "Use a log with longer histories.",
        )
        return
    if not ((log.lengths == 2) | (log.lengths >= 4)).any():
        yield Finding(
            "error",
            "nothing_to_learn",
            "No user has two interactions to train on: of histories of 3, leave-one-out keeps one"
            " to choose the model by and one to test on.",
            "Use a log with longer histories.",
        )
    if evaluated < FEW_USERS:
        half = 1.96 * math.sqrt(0.1 * 0.9 / evaluated)
        yield Finding(
            "warning",
            "few_users",
            f"Only {counted(evaluated, 'user', 'have')} enough interactions to be tested on."
            f" Results are then uncertain: a recall of 0.1 means 0.1 ± {half:.3f} (95 % interval).",
            "Do not choose between models by a smaller difference. The split last_3 (--split, or"
            " last_n in Python) tests on more items of each user.",
        )


LOG_CHECKS = (_time_checks, _repeat_checks, _user_checks, _item_checks, _size_checks)
