"""Which column of a table plays which role: named by the caller, or known by its usual names."""

from collections.abc import Sequence

import pyarrow as pa

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
    "time": ("timestamp", "time", "unixReviewTime", "ts", "datetime", "date", "event_time"),
    "title": ("title", "name", "movie_title", "item_name", "product_title"),
}


def find_column(table: pa.Table, role: str, named: str | None, where: str) -> str:
    """Find the column that plays a role.

    Parameters
    ----------
    role : str
        A key of `USUAL_NAMES`.
    named : str or None
        The caller's name for it; None looks for the usual names, in their order.

    Raises
    ------
    DataError
        When the named column, or any usual one, is not there.
    """
    if named is not None:
        if named in table.column_names:
            return named
        raise DataError(f"{where} has no column '{named}'.", nearest(named, table.column_names))
    for name in USUAL_NAMES[role]:
        if name in table.column_names:
            return name
    raise DataError(
        f"{where} has no column that looks like the {role}; it has: "
        f"{', '.join(table.column_names)}.",
        f'Name it: {role}="…" (on the command line --{role} …).',
    )


def text_columns(table: pa.Table, item: str, named: Sequence[str] | None, where: str) -> list[str]:
    """Choose the columns whose text describes an item, the title first.

    None takes every string column but the id.
    """
    if named is not None:
        return [find_column(table, "title", name, where) for name in named]
    columns = [
        field.name
        for field in table.schema
        if field.name != item
        and (pa.types.is_string(field.type) or pa.types.is_large_string(field.type))
    ]
    titles = [name for name in USUAL_NAMES["title"] if name in columns]
    return titles[:1] + [name for name in columns if name not in titles[:1]]
