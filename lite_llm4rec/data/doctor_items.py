"""The doctor's checks of the items table, and of the two tables together."""

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.columns import holds_text, id_column, text_columns, usual_name
from lite_llm4rec.data.dataset import common_id_type
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
)
from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.errors import DataError

REPAIRS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "stripping spaces": pc.utf8_trim_whitespace,
    "removing leading zeros": lambda ids: pc.utf8_ltrim(ids, characters="0"),
    "ignoring case": pc.utf8_lower,
    "removing a final '.0'": lambda ids: pc.replace_substring_regex(ids, r"\.0$", ""),
}
HTML = r"</?[a-zA-Z][^>]*>|&[a-zA-Z]+;|&#\d+;"


def id_or_note(table: pa.Table, named: str | None, where: str, report: Report) -> str | None:
    """Find the id in an items table; its absence becomes a finding."""
    try:
        return id_column(table, named, where)
    except DataError as error:
        report.findings.append(as_finding("no_item_column", error))
        return None


def examine_items(
    table: pa.Table,
    where: str,
    key: str,
    text: Sequence[str] | None,
    log: Interactions | None,
    report: Report,
) -> None:
    """Examine the items table, called `where`, and the two together where there is a log.

    `key` is the id's column.
    """
    missing = missing_ids(table[key])
    report.findings.extend(missing_findings(missing, "item", f"{where}, column '{key}'"))
    if missing.all():
        return
    table = table.filter(pa.array(~missing)) if missing.any() else table
    columns = _usable_text(table, key, text, where, report)
    try:
        catalogue = Catalogue.from_arrow(table, key, columns, where)
    except DataError as error:
        report.findings.append(as_finding("items_table", error))
        return
    except pa.ArrowException as error:
        message = f"{where} cannot serve as an items table: {error}"
        report.findings.append(Finding("error", "items_table", message, "Turn it into text."))
        return
    report.facts.append(("items in the items table", f"{len(catalogue):,}"))
    report.facts.append(("text fields", ", ".join(columns) or "none"))
    others = [name for name in table.column_names if name not in (key, *columns)]
    if others:
        report.facts.append(("columns that are not read", ", ".join(others)))
    report.findings.extend(_id_checks(table.num_rows, catalogue))
    report.findings.extend(_text_checks(catalogue))
    if where.removesuffix(".gz").lower().endswith(".csv"):
        report.findings.extend(_line_break_checks(catalogue))
    if log is not None:
        report.findings.extend(_overlap_checks(log, catalogue))


def _usable_text(
    table: pa.Table, key: str, named: Sequence[str] | None, where: str, report: Report
) -> list[str]:
    """Choose the text columns that exist and are text, with a finding for each other one."""
    if named is None:
        usual = text_columns(table, key, None, where)
        if usual and usual_name(table, "title") is None:
            message = f"{where} has no title column: '{usual[0]}' is taken for the title."
            remedy = "Name the text columns, the title first: --text TITLE,OTHERS"
            report.findings.append(Finding("warning", "no_title", message, remedy))
        return usual
    found = [column_or_note(table, "title", name, where, report) for name in named]
    columns = [name for name in found if name is not None]
    for name in list(columns):
        kind = table[name].type
        if holds_text(kind):
            continue
        if pa.types.is_nested(kind) or pa.types.is_binary(kind):
            columns.remove(name)
            message = f"{where}, column '{name}' holds {kind}, which is no text."
            remedy = "Join it into one text per item."
            report.findings.append(Finding("error", "text_type", message, remedy))
        else:
            message = f"{where}, column '{name}' is given as text but holds {kind}."
            remedy = "Leave it out unless its digits mean something as words, as a year does."
            report.findings.append(Finding("warning", "numeric_text", message, remedy))
    return columns


def _id_checks(rows: int, catalogue: Catalogue) -> Iterator[Finding]:
    if rows > len(catalogue):
        yield Finding(
            "warning",
            "repeated_item_ids",
            f"In the items table, {counted(rows - len(catalogue), 'row', 'repeat')} an id. Of each"
            " id only the first row is used.",
            "Keep one row per item, the one with the best text.",
        )


def _text_checks(catalogue: Catalogue) -> Iterator[Finding]:
    empty = catalogue.without_text()
    if empty.any():
        yield Finding(
            "warning",
            "no_text",
            f"{counted(count(empty), 'item', 'have', len(catalogue))} no text, for example"
            f" {catalogue.ids[int(empty.argmax())].as_py()!r}.",
            "Give each a title. Without text, nothing is known of an item before training.",
        )
    if empty.all():
        return
    yield from _shared_text_checks(catalogue, empty)
    markup = pc.match_substring_regex(catalogue.fields[0], HTML).fill_null(False).to_numpy()
    if markup.any():
        yield Finding(
            "warning",
            "html",
            f"{counted(count(markup), 'item', 'have')} HTML in"
            f" '{catalogue.fields.column_names[0]}', for example"
            f" {catalogue.fields[0][int(markup.argmax())].as_py()!r}.",
            "Remove the tags, and turn codes such as &amp; into characters (in Python"
            " html.unescape).",
        )


def _line_break_checks(catalogue: Catalogue) -> Iterator[Finding]:
    for name, column in zip(catalogue.fields.column_names, catalogue.fields.columns, strict=True):
        broken = pc.match_substring(column, "\n").fill_null(False).to_numpy()
        if broken.any():
            yield Finding(
                "warning",
                "line_breaks",
                f"{counted(count(broken), 'item', 'have')} a line break in '{name}', the first is"
                f" {catalogue.ids[int(broken.argmax())].as_py()!r}.",
                SWALLOWS,
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
            f"{counted(shared, 'item', 'have')} the very same text as another item, so that text"
            f" cannot tell them apart. Most often, {times[most]:,} times, it is"
            f" {_short(counts.field('values')[most].as_py())}.",
            "Add a text column in which they differ, such as a brand. Or use ids in place of text:"
            ' train --set model.items="id".',
        )


def _overlap_checks(log: Interactions, catalogue: Catalogue) -> Iterator[Finding]:
    kinds = _id_kind(log.item_ids), _id_kind(catalogue.ids)
    if kinds[0] != kinds[1]:
        are = f"Item ids are {kinds[0]} in the interactions and {kinds[1]} in the items table"
        if common_id_type(log.item_ids.type, catalogue.ids.type) is None:
            yield Finding("error", "id_types", f"{are}.", "Turn both into one type, such as text.")
        else:
            yield Finding(
                "note", "id_types", f"{are}; they are compared as text.",
                "Nothing, unless one table has leading zeros that the other lacks.",
            )  # fmt: skip
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
            "Check the id columns: both tables must call an item by the same id.",
        )
    elif not known.all():
        yield _lacking(log, known)
    yield from _near_checks(ours.filter(pa.array(~known)), theirs, bool(known.any()))
    cold = ~pc.is_in(theirs, value_set=ours).to_numpy(zero_copy_only=False)
    if cold.any():
        yield Finding(
            "note",
            "cold_items",
            f"{counted(count(cold), 'item', 'have', len(catalogue))} a row in the items table but"
            " no interaction.",
            'Nothing: they are left out. --candidates catalogue (in Python candidates="catalogue")'
            " lists them too, but the model cannot rank well what it never saw chosen.",
        )


def _lacking(log: Interactions, known: Bools) -> Finding:
    affected = int(log.item_counts()[~known].sum())
    return Finding(
        "warning",
        "items_without_row",
        f"{counted(count(~known), 'item', 'have')} interactions but no row in the items table, for"
        f" example {log.item_ids[int(known.argmin())].as_py()!r}. This touches"
        f" {affected / len(log):.1%} of the interactions.",
        "Add the rows. Until then such items are kept without text.",
    )


def _near_checks(unknown: pa.Array, theirs: pa.Array, some_match: bool) -> Iterator[Finding]:
    if not is_text(unknown.type):
        return
    for name, repair in REPAIRS.items():
        found = pc.sum(pc.is_in(repair(unknown), value_set=repair(theirs))).as_py() or 0
        if found:
            yield Finding(
                "warning" if some_match else "error",
                "ids_nearly_match",
                f"After {name}, {counted(found, 'more item id')} of the interactions would match"
                " the items table.",
                "Make the ids equal in both tables. They are never changed for you.",
            )


def _comparable(ids: pa.Array) -> pa.Array:
    is_binary = pa.types.is_binary(ids.type) or pa.types.is_fixed_size_binary(ids.type)
    return ids.cast(pa.binary() if is_binary else pa.string())


def _id_kind(ids: pa.Array) -> str:
    if pa.types.is_integer(ids.type):
        return "integers"
    return "text" if is_text(ids.type) else str(ids.type)


def _short(text: str) -> str:
    text = text.strip(" |")  # a field may be empty
    return repr(text if len(text) <= 60 else text[:59] + "…")
