"""Catalogue changes as a log: the catalogue served is the run folder's and then these, in order."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine, insert, select, text

from lite_llm4rec.serve.lookup import Lookup
from lite_llm4rec.serve.store import is_sqlite
from lite_llm4rec.serve.tables import changes

Kind = Literal["add", "retire", "restore"]


@dataclass(frozen=True)
class Change:
    """One item added, retired or restored.

    Attributes
    ----------
    kind : "add", "retire" or "restore"
    item : str
        Its id, as text.
    fields : dict
        An added item's text.
    vector : numpy.ndarray, optional
        (text width,) an added item's text vector.
    encoder : str
        Whose vector that is; another text model has to encode the text again.
    number : int
        Its place in the log; 0 before it is in.
    """

    kind: Kind
    item: str
    fields: dict[str, str] | None = None
    vector: npt.NDArray[np.float32] | None = None
    encoder: str = ""
    number: int = 0


def settled(log: Sequence[Change], known: Lookup) -> list[Change]:
    """Bring a log into an order that is quick to carry out: additions, then what became of each.

    `known` are the items that are there without it. What was said of an item before it came counts
    as little as it did then.
    """
    added = [change for change in log if change.kind == "add"]
    came: dict[str, int] = {}
    for change in added:
        came.setdefault(change.item, change.number)
    last = {
        change.item: change
        for change in log
        if change.kind != "add"
        and (change.item in known or came.get(change.item, change.number) < change.number)
    }
    return [*added, *sorted(last.values(), key=lambda change: change.kind)]


def append(engine: Engine, made: list[Change]) -> None:
    """Write changes at the log's end; when this returns, they are on the disk."""
    rows = [_row(change) for change in made]
    with engine.begin() as connection:
        if not is_sqlite(engine):
            # Who reads up to a number must never miss a smaller one that commits later.
            connection.execute(text(f"LOCK TABLE {changes.name} IN EXCLUSIVE MODE"))
        connection.execute(insert(changes), rows)


def read_after(engine: Engine, number: int) -> list[Change]:
    """Read the changes behind place `number` of the log."""
    later = select(changes).where(changes.c.number > number).order_by(changes.c.number)
    with engine.connect() as connection:
        return [_change(row) for row in connection.execute(later)]


def _row(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "item_id": change.item,
        "fields": None if change.fields is None else json.dumps(change.fields),
        "vector": None if change.vector is None else change.vector.astype("<f4").tobytes(),
        "encoder": change.encoder,
        "time": time.time(),
    }


def _change(row: Any) -> Change:
    vector = None if row.vector is None else np.frombuffer(row.vector, "<f4").astype(np.float32)
    fields = None if row.fields is None else json.loads(row.fields)
    return Change(row.kind, row.item_id, fields, vector, row.encoder or "", row.number)
