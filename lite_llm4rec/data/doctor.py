"""What is wrong with this data, in words, and what to do about it.

Where the readers stop at the first thing that cannot work, the doctor notes it, sets those rows
aside and goes on with what can still be examined.
"""

import math
import time as clock
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.columns import find_column, text_columns
from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.readers import name_of, read_table
from lite_llm4rec.data.times import as_numbers, seconds_per_unit
from lite_llm4rec.errors import DataError

Bools = npt.NDArray[np.bool_]

YEAR_1995 = 788_918_400  # in seconds since 1970; no log of a recommender is older
LONG_HISTORY = 10_000
FEW_USERS = 1_000  # below it, a recall of 0.1 is known to ±0.019 at best
FEW_ITEMS = 100
NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
MOMENT = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?$"
HTML = r"</?[a-zA-Z][^>]*>|&[a-zA-Z]+;|&#\d+;"
UNIT_NAMES = {1_000: "milliseconds", 1_000_000: "microseconds", 1_000_000_000: "nanoseconds"}
REPAIRS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "stripping spaces": pc.utf8_trim_whitespace,
    "removing zero padding": lambda ids: pc.utf8_ltrim(ids, characters="0"),
    "ignoring case": pc.utf8_lower,
    "removing a final '.0'": lambda ids: pc.replace_substring_regex(ids, r"\.0$", ""),
}


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


def examine(
    interactions: Any,
    items: Any = None,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    text: Sequence[str] | None = None,
) -> Report:
    """Say what is in the data and what is wrong with it.

    Bad data raises nothing: it becomes a finding.

    Parameters
    ----------
    interactions, items : path or table
        See `read_table`.
    user, item, time, text : optional
        Column names; by default the usual ones are looked for.
    """
    report = Report([], [])
    log = _examine_log(interactions, {"user": user, "item": item, "time": time}, report)
    if items is not None:
        _examine_items(items, item, text, log, report)
    report.findings.sort(key=lambda finding: ("error", "warning", "note").index(finding.severity))
    return report


def _examine_log(source: Any, named: dict[str, str | None], report: Report) -> Interactions | None:
    where = name_of(source)
    table = _read(source, where, report)
    if table is None:
        return None
    found = {role: _column(table, role, name, where, report) for role, name in named.items()}
    names = {role: name for role, name in found.items() if name is not None}
    if "user" not in names or "item" not in names:
        return None
    columns = {role: table[name] for role, name in names.items()}
    labels = {role: f"{where}, column '{name}'" for role, name in names.items()}
    del table
    before = len(report.findings)
    rows = _usable_rows(columns, labels, report)
    if not rows.any():
        finding = Finding("error", "empty", f"{where} has no usable row.", "Repair what is above.")
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


def _read(source: Any, where: str, report: Report) -> pa.Table | None:
    try:
        table = read_table(source)
    except DataError as error:
        report.findings.append(_as_finding("unreadable", error))
        return None
    except (pa.ArrowException, ValueError, TypeError) as error:
        message = f"{where} cannot be read: {error}"
        report.findings.append(Finding("error", "unreadable", message, "Write it as Parquet."))
        return None
    if table.num_rows == 0:
        finding = Finding("error", "empty", f"{where} has no rows.", "Check how it was made.")
        report.findings.append(finding)
        return None
    return table


def _column(
    table: pa.Table, role: str, named: str | None, where: str, report: Report
) -> str | None:
    try:
        return find_column(table, role, named, where)
    except DataError as error:
        report.findings.append(_as_finding(f"no_{role}_column", error))
        return None


def _as_finding(code: str, error: DataError) -> Finding:
    return Finding("error", code, error.problem, error.remedy)


def _usable_rows(
    columns: dict[str, pa.ChunkedArray], labels: dict[str, str], report: Report
) -> Bools:
    """Mark the rows that can be examined, with a finding for what the others lack."""
    usable = np.ones(len(columns["user"]), bool)
    for role, column in columns.items():
        missing = _missing(column)
        usable &= ~missing
        report.findings.extend(_missing_findings(missing, role, labels[role]))
        if role == "time":
            unreadable = _unreadable_times(column) & ~missing
            usable &= ~unreadable
            report.findings.extend(_unreadable_findings(unreadable, column, labels[role]))
        elif pa.types.is_floating(column.type):
            report.findings.append(_decimal_ids(labels[role]))
            columns[role] = column.cast(pa.string())
    return usable


def _missing(column: pa.ChunkedArray) -> Bools:
    missing: Bools = pc.is_null(column, nan_is_null=True).to_numpy()
    if _is_text(column.type):
        length = pc.utf8_length(pc.utf8_trim_whitespace(column)).fill_null(0)
        missing = missing | (length.to_numpy() == 0)
    return missing


def _missing_findings(missing: Bools, role: str, label: str) -> Iterator[Finding]:
    if missing.any():
        yield Finding(
            "error",
            f"missing_{role}",
            f"{label}: {_count(missing)} of {len(missing):,} rows have no {role}, the first is row"
            f" {int(missing.argmax())}.",
            "Drop or repair these rows first.",
        )


def _decimal_ids(label: str) -> Finding:
    return Finding(
        "error",
        "decimal_ids",
        f"{label} holds decimal numbers, which cannot serve as ids.",
        "Cast it to integers or strings; a missing id often causes this in pandas.",
    )


def _unreadable_times(column: pa.ChunkedArray) -> Bools:
    """Mark text that is no time: neither a number nor ISO 8601, whichever most rows are."""
    if pa.types.is_floating(column.type):
        endless: Bools = ~np.isfinite(column.to_numpy())
        return endless
    if not _is_text(column.type):
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
            f"{label}: {_count(unreadable)} of {len(unreadable):,} rows hold something that is no"
            f" time, the first is row {row}: {column[row].as_py()!r}.",
            "Use unix seconds or ISO 8601 text such as 2024-05-31T12:00:00, one form throughout.",
        )


def _numbers(column: pa.ChunkedArray, label: str, report: Report) -> npt.NDArray[Any] | None:
    try:
        return as_numbers(column, label)
    except DataError as error:
        report.findings.append(_as_finding("unreadable_time", error))
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
    except (DataError, pa.ArrowException) as error:
        message = f"{where}: users or items cannot be identified: {error}"
        report.findings.append(Finding("error", "id_type", message, "Cast them to strings."))
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
        yield "time", f"{_date(log.times.min() / unit)} to {_date(log.times.max() / unit)}"
    if whole:
        yield "sequences_sha256", log.sequences_sha256


def _time_checks(log: Interactions) -> Iterator[Finding]:
    if log.time == "order":
        yield Finding(
            "note",
            "positions",
            "The time column is only a position within each user's history.",
            "Split with leave_one_out or last_n; by_time needs real times.",
        )
        return
    if len(log) > 1 and log.times.min() == log.times.max():
        yield Finding(
            "warning",
            "constant_time",
            "All interactions have the same time: their order is that of the table's rows.",
            "Name the real time column, or make sure that the rows are in order.",
        )
        return
    unit = seconds_per_unit(log.times)
    if unit > 1:
        yield Finding(
            "note",
            "time_unit",
            f"Times are in {UNIT_NAMES[unit]}, judged by their size.",
            "Nothing; the cuts of by_time are given in seconds all the same.",
        )
    yield from _date_checks(log, unit)
    yield from _tie_checks(log)


def _date_checks(log: Interactions, unit: int) -> Iterator[Finding]:
    early = _count(log.times < YEAR_1995 * unit)
    future = _count(log.times > clock.time() * unit)
    if early != "0":
        yield Finding(
            "warning",
            "early_time",
            f"{early} interactions are from before 1995, the first from"
            f" {_date(log.times.min() / unit)}.",
            "Check the unit and the column: counters are fine for leave_one_out, not for by_time.",
        )
    if future != "0":
        yield Finding(
            "warning",
            "future_time",
            f"{future} interactions lie in the future, the last at"
            f" {_date(log.times.max() / unit)}.",
            "Check the clock and the unit; a log that mixes units is ordered wrongly.",
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
        f"{ties:,} interactions ({share:.1%}) have the time of the user's one before; their order"
        f" is the table's. For {undecided:,} users it decides which item is the last.",
        "Keep the rows as they were logged, never sorted by item, and compare numbers only with"
        " the same sequences_sha256.",
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
            f"{copies:,} rows repeat another's user, item and time.",
            'Pass duplicates="last" unless each of them was meant.',
        )
    if repeats > copies:
        yield Finding(
            "note",
            "repeated_pairs",
            f"{repeats - copies:,} interactions ({(repeats - copies) / len(log):.1%}) are of a user"
            " with an item met before: repeat consumption, or double logging.",
            'Pass duplicates="last" unless people do come back to an item; the seen filter never'
            " recommends one twice.",
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
            f"{_count(single)} users ({single.mean():.1%}) have one interaction: nothing can be"
            " learnt from them.",
            "Nothing, or keep a core of users with more (core=…).",
        )
    if short.any():
        yield Finding(
            "warning" if short.mean() > 0.5 else "note",
            "short_histories",
            f"{_count(short)} users ({short.mean():.1%}) have fewer than 3 interactions: they only"
            " train, and no metric counts them.",
            "Nothing, or keep a core of users with more (core=…).",
        )
    long = log.lengths > LONG_HISTORY
    if long.any():
        longest = int(log.lengths.argmax())
        yield Finding(
            "warning",
            "long_histories",
            f"{_count(long)} users have more than {LONG_HISTORY:,} interactions, the most"
            f" {log.user_ids[longest].as_py()!r} with {log.lengths[longest]:,}: robots?",
            "Look at them, and drop them from the table if so.",
        )


def _item_checks(log: Interactions) -> Iterator[Finding]:
    rare = log.item_counts() == 1
    if rare.any():
        yield Finding(
            "note",
            "rare_items",
            f"{_count(rare)} items ({rare.mean():.1%}) have one interaction.",
            "Nothing: their text speaks for them. Without text, keep a core (core=…).",
        )
    if log.n_items < FEW_ITEMS:
        yield Finding(
            "warning",
            "few_items",
            f"There are only {log.n_items:,} items: a top 10 is {10 / log.n_items:.0%} of them.",
            "Do not compare with numbers from larger catalogues.",
        )


def _size_checks(log: Interactions) -> Iterator[Finding]:
    evaluated = int(np.count_nonzero(log.lengths >= 3))
    if not evaluated:
        yield Finding(
            "error",
            "nothing_to_evaluate",
            "No user has the 3 interactions that training, a validation and a test item need.",
            "Use a log with longer histories.",
        )
    elif evaluated < FEW_USERS:
        half = 1.96 * math.sqrt(0.1 * 0.9 / evaluated)
        yield Finding(
            "warning",
            "few_users",
            f"With {evaluated:,} users to evaluate, the 95 % interval of a recall of 0.1 is"
            f" ±{half:.3f}.",
            "Do not decide on smaller differences; last_n gives more targets per user.",
        )


LOG_CHECKS = (_time_checks, _repeat_checks, _user_checks, _item_checks, _size_checks)


def _examine_items(
    source: Any,
    item: str | None,
    text: Sequence[str] | None,
    log: Interactions | None,
    report: Report,
) -> None:
    where = name_of(source)
    table = _read(source, where, report)
    if table is None:
        return
    key = _column(table, "item", item if item in table.column_names else None, where, report)
    if key is None:
        return
    missing = _missing(table[key])
    report.findings.extend(_missing_findings(missing, "item", f"{where}, column '{key}'"))
    if missing.all():
        return
    table = table.filter(pa.array(~missing)) if missing.any() else table
    columns = _usable_text(table, key, text, where, report)
    try:
        catalogue = Catalogue.from_arrow(table, key, columns, where)
    except (DataError, pa.ArrowException) as error:
        message = f"{where} cannot serve as an items table: {error}"
        report.findings.append(Finding("error", "items_table", message, "Cast to strings."))
        return
    report.facts.append(("items in the items table", f"{len(catalogue):,}"))
    report.facts.append(("text fields", ", ".join(columns) or "none"))
    report.findings.extend(_id_checks(table.num_rows, catalogue))
    report.findings.extend(_text_checks(catalogue))
    if log is not None:
        report.findings.extend(_overlap_checks(log, catalogue))


def _usable_text(
    table: pa.Table, key: str, named: Sequence[str] | None, where: str, report: Report
) -> list[str]:
    """Choose the text columns that exist and are text, with a finding for each other one."""
    if named is None:
        return text_columns(table, key, None, where)
    found = [_column(table, "title", name, where, report) for name in named]
    columns = [name for name in found if name is not None]
    for name in list(columns):
        kind = table[name].type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind):
            columns.remove(name)
            message = f"{where}, column '{name}' holds {kind}, which is no text."
            remedy = "Join it into one string per item."
            report.findings.append(Finding("error", "text_type", message, remedy))
        elif not _is_text(kind):
            message = f"{where}, column '{name}' is given as text but holds {kind}."
            remedy = "Leave it out unless its digits mean something as words, as a year does."
            report.findings.append(Finding("warning", "numeric_text", message, remedy))
    return columns


def _id_checks(rows: int, catalogue: Catalogue) -> Iterator[Finding]:
    if rows > len(catalogue):
        yield Finding(
            "warning",
            "repeated_item_ids",
            f"{rows - len(catalogue):,} rows of the items table repeat an id; the first row of"
            " each counts.",
            "Keep one row per item; of variants, the one whose text is best.",
        )


def _text_checks(catalogue: Catalogue) -> Iterator[Finding]:
    empty = catalogue.without_text()
    if empty.any():
        yield Finding(
            "warning",
            "no_text",
            f"{_count(empty)} items ({empty.mean():.1%}) have no text, the first is"
            f" {catalogue.ids[int(empty.argmax())].as_py()!r}.",
            "Give them a title: without text nothing is known of an item before it is trained on.",
        )
    if empty.all():
        return
    yield from _shared_text_checks(catalogue, empty)
    markup = pc.match_substring_regex(catalogue.fields[0], HTML).fill_null(False).to_numpy()
    if markup.any():
        yield Finding(
            "warning",
            "html",
            f"{_count(markup)} items have HTML in '{catalogue.fields.column_names[0]}', the first:"
            f" {catalogue.fields[0][int(markup.argmax())].as_py()!r}.",
            "Strip the tags and unescape the rest (html.unescape).",
        )


def _shared_text_checks(catalogue: Catalogue, empty: Bools) -> Iterator[Finding]:
    columns = [column.fill_null("") for column in catalogue.fields.columns]
    texts = pc.binary_join_element_wise(*columns, " | ").filter(pa.array(~empty))
    counts = texts.value_counts()
    times = counts.field("counts").to_numpy()
    shared = int(times[times > 1].sum())
    if shared:
        most = int(times.argmax())
        yield Finding(
            "warning" if shared > 0.01 * len(catalogue) else "note",
            "shared_text",
            f"{shared:,} items share their whole text with another and cannot be told apart by it;"
            f" most often ({times[most]:,} times) {_short(counts.field('values')[most].as_py())}.",
            "Name more columns as text, or use item ids beside the text.",
        )


def _overlap_checks(log: Interactions, catalogue: Catalogue) -> Iterator[Finding]:
    kinds = _id_kind(log.item_ids), _id_kind(catalogue.ids)
    if kinds[0] != kinds[1]:
        yield Finding(
            "error",
            "id_types",
            f"Item ids are {kinds[0]} in the interactions and {kinds[1]} in the items table.",
            "Give both columns one type, for example strings.",
        )
    ours, theirs = _comparable(log.item_ids), _comparable(catalogue.ids)
    if ours.type != theirs.type:
        return
    known = pc.is_in(ours, value_set=theirs).to_numpy(zero_copy_only=False)
    if not known.any():
        yield Finding(
            "error",
            "no_common_ids",
            "No item id of the interactions occurs in the items table"
            f" ({log.item_ids[0].as_py()!r} against {catalogue.ids[0].as_py()!r}).",
            "Check the id columns: the two tables must name items alike.",
        )
    elif not known.all():
        yield _lacking(log, known)
    yield from _near_checks(ours.filter(pa.array(~known)), theirs, bool(known.any()))
    cold = ~pc.is_in(theirs, value_set=ours).to_numpy(zero_copy_only=False)
    if cold.any():
        yield Finding(
            "note",
            "cold_items",
            f"{_count(cold)} items of the items table ({cold.mean():.1%}) were never interacted"
            " with.",
            'Pass candidates="catalogue" to have them recommended too, by their text.',
        )


def _lacking(log: Interactions, known: Bools) -> Finding:
    affected = int(log.item_counts()[~known].sum())
    return Finding(
        "warning",
        "items_without_row",
        f"{_count(~known)} items of the interactions, as {log.item_ids[int(known.argmin())]!s},"
        f" are not in the items table; {affected / len(log):.1%} of the interactions are theirs.",
        "Add their rows; until then they are kept without text.",
    )


def _near_checks(unknown: pa.Array, theirs: pa.Array, some_match: bool) -> Iterator[Finding]:
    if not _is_text(unknown.type):
        return
    for name, repair in REPAIRS.items():
        found = pc.sum(pc.is_in(repair(unknown), value_set=repair(theirs))).as_py() or 0
        if found:
            yield Finding(
                "warning" if some_match else "error",
                "ids_nearly_match",
                f"{found:,} item ids of the interactions match the items table only after {name}.",
                "Repair the ids in both tables alike; they are never changed here.",
            )


def _comparable(ids: pa.Array) -> pa.Array:
    is_binary = pa.types.is_binary(ids.type) or pa.types.is_fixed_size_binary(ids.type)
    return ids.cast(pa.binary() if is_binary else pa.string())


def _id_kind(ids: pa.Array) -> str:
    if pa.types.is_integer(ids.type):
        return "integers"
    return "text" if _is_text(ids.type) else str(ids.type)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _count(mask: Bools) -> str:
    return f"{np.count_nonzero(mask):,}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")


def _date(seconds: float) -> str:
    bounded = int(min(max(seconds, -1e14), 1e14))  # far past any calendar, within datetime64
    return str(np.datetime64(bounded, "s").astype("datetime64[D]"))
