"""Which column of a table plays which role: named by the caller, or known by its usual names."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.errors import DataError, nearest

USUAL_NAMES = {
    "user": (
        "user_id",
        "userId",
        "UserID",
        "user",
        "uid",
        "reviewerID",
        "visitor_id",
        "session_id",
    ),
    "item": (
        "item_id",
        "itemId",
        "ItemID",
        "item",
        "iid",
        "asin",
        "parent_asin",
        "movie_id",
        "movieId",
        "MovieID",
    ),
    "time": ("timestamp", "time", "unixReviewTime", "ts", "event_time", "datetime", "date"),
    "title": ("title", "name", "movie_title", "item_name", "product_title"),
}
HEADER = "If the first row is no header but data, write a line of names above it."


def find_column(
    table: pa.Table, role: str, named: str | None, where: str, known: pa.Array | None = None
) -> str:
    """Find the column that plays a role.

    Parameters
    ----------
    role : str
        A key of `USUAL_NAMES`.
    named : str or None
        The caller's name for it; None looks for the usual names, in their order.
    known : pyarrow.Array, optional
        What the column should hold: of several usual names, the one that does most is taken.

    Raises
    ------
    DataError
        When the named column, or any usual one, is not there.
    """
    if named is not None:
        if named in table.column_names:
            return named
        raise DataError(f"{where} has no column '{named}'.", nearest(named, table.column_names))
    usual = [name for name in USUAL_NAMES[role] if name in table.column_names]
    if len(usual) > 1 and known is not None:
        return max(usual, key=lambda name: _count_known(table[name], known))
    if usual:
        return usual[0]
    raise DataError(
        f"{where} has no column that looks like the {role}; it has: "
        f"{', '.join(table.column_names)}.",
        HEADER
        if any(map(_is_number, table.column_names))
        else f'Name it: {role}="…" (on the command line --{role} …).',
    )


def _is_number(name: str) -> bool:
    return name.replace(".", "", 1).isdigit()


def usual_name(table: pa.Table, role: str) -> str | None:
    """Give the first usual name of a role that a table has, None without any."""
    return next((name for name in USUAL_NAMES[role] if name in table.column_names), None)


def id_column(table: pa.Table, named: str | None, where: str) -> str:
    """Find the id in an items table, where it may be called just `id`.

    Raises
    ------
    DataError
        When the named column, or any usual one, is not there.
    """
    if named is not None:
        return find_column(table, "item", named, where)
    usual = usual_name(table, "item") or ("id" if "id" in table.column_names else None)
    if usual is not None:
        return usual
    raise DataError(
        f"{where} has no column that looks like the items' id; it has: "
        f"{', '.join(table.column_names)}.",
        'Name it: items_id="…" (on the command line --items-id …).',
    )


def check_id_type(column: pa.ChunkedArray, where: str) -> None:
    """See that a column, called `where`, is of a type that can name users or items.

    Raises
    ------
    DataError
        When it holds decimal numbers, which may have been rounded, or lists or objects.
    """
    if pa.types.is_nested(column.type):
        raise DataError(
            f"{where} holds lists or objects, which cannot serve as ids.",
            "Write one row per interaction, or per item, and in it one id (in pandas explode, and"
            ' to_json(…, orient="records", lines=True)).',
        )
    if pa.types.is_floating(column.type):
        raise DataError(
            f"{where} holds decimal numbers, which cannot serve as ids.",
            "Cast it to integers or strings; in pandas a missing id often causes this, in files a"
            " number of more than 19 digits: write such ids as text.",
        )


def _count_known(column: pa.ChunkedArray, known: pa.Array) -> int:
    """Count the rows that hold one of the known values, written as text."""
    if pa.types.is_nested(column.type) or pa.types.is_nested(known.type):
        return 0
    values = known.drop_null().cast(pa.string())
    return int(pc.sum(pc.is_in(column.cast(pa.string()), value_set=values)).as_py() or 0)


def text_columns(table: pa.Table, item: str, named: Sequence[str] | None, where: str) -> list[str]:
    """Choose the columns whose text describes an item, the title first.

    None takes every column that `holds_text` but the id; and what is named like a title, whatever
    its type, as titles may all be numbers.
    """
    if isinstance(named, str):
        raise DataError(f"text is {named!r}, and should be a list.", f"text=[{named!r}]")
    if named is not None:
        twice = next((name for name in named if list(named).count(name) > 1), None)
        if twice is not None:
            raise DataError(f"The text columns name '{twice}' twice.", "Name each once.")
        return [find_column(table, "title", name, where) for name in named]
    columns = [field.name for field in table.schema if holds_text(field.type)]
    title = usual_name(table, "title")
    first = [] if title is None or title == item else [title]
    return first + [name for name in columns if name not in (item, *first)]


def holds_text(kind: pa.DataType, lists: int = 2) -> bool:
    """Tell text, lists of it, and lists of such lists, as paths of categories are."""
    if pa.types.is_list(kind):
        return lists > 0 and holds_text(kind.value_type, lists - 1)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
