"""A table of interactions → events, part by part: nobody waits long, and no row counts twice."""

import hashlib
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.times import seconds_per_unit
from lite_llm4rec.errors import ConfigError, DataError, StoreError
from lite_llm4rec.serve import logs
from lite_llm4rec.serve.events import FILE, Recording, take_key
from lite_llm4rec.serve.settings import MAX_ID_LENGTH, PLAIN
from lite_llm4rec.serve.store import is_sqlite, reason
from lite_llm4rec.serve.tables import answers, events

PART = 5_000  # rows recorded at once: whoever else writes waits for them

Row = dict[str, Any]


def import_interactions(
    engine: Engine,
    path: Path,
    columns: dict[str, str | None],
    keep_days: float | None,
    known: pa.Array | None = None,
) -> int:
    """Record a table of interactions, those of its rows that were not recorded before.

    How far a file was recorded is kept with it, so that one that was killed is gone on with.
    `known` are the catalogue's ids, which tell a log's several item columns apart; items that are
    not among them are counted in the service's logs.

    Returns
    -------
    int
        How many events were recorded; 0 when this very file was before.

    Raises
    ------
    DataError
        When the table cannot be read, or is to be kept by days and has no times.
    StoreError
        When the database fails.
    """
    with path.open("rb") if path.is_file() else _missing(path) as file:
        key = FILE + hashlib.file_digest(file, "sha256").hexdigest()
    try:
        if "recorded" in _state(engine, key):
            return 0
        log = Interactions.from_table(
            path, user=columns["user"], item=columns["item"], time=columns["time"], known=known
        )
        if keep_days is not None and log.time == "order":
            raise DataError(
                f"{path}: its time column is only a position, so that nothing has an age.",
                "Give a column of times, or leave --keep-days out.",
            )
        if known is not None:
            _tell_unknown(path, log.item_ids, known)
        return _record_all(engine, key, log)
    except SQLAlchemyError as error:
        raise StoreError(
            f"{path} could not be recorded: {reason(error)}",
            "Start again once the database answers: it goes on where it stopped.",
        ) from error


def check_keep_days(engine: Engine, keep_days: float | None) -> None:
    """See that deleting by age does not delete everything.

    Raises
    ------
    ConfigError
        When no time is left, or a log was recorded whose times are positions.
    """
    if keep_days is None:
        return
    if not keep_days > 0:
        raise ConfigError(
            f"--keep-days {keep_days:g} would delete every event.",
            "Say for how many days events are kept, or leave it out.",
        )
    files = select(answers.c.answer).where(answers.c.key.startswith(FILE))
    with engine.connect() as connection:
        found = [json.loads(answer) for answer in connection.scalars(files)]
    if any(state.get("positions") for state in found):
        raise ConfigError(
            "A log was recorded whose times are only positions: --keep-days would delete it all.",
            "Leave --keep-days out, or begin another database (--state, --database).",
        )


def _tell_unknown(path: Path, items: pa.Array, known: pa.Array) -> None:
    """Log how many items of a file the catalogue lacks; all of them, where ids are others."""
    unknown = set(map(str, items.to_pylist())) - set(map(str, known.to_pylist()))
    if unknown:
        found = {"file": str(path), "items": len(items), "unknown_items": len(unknown)}
        logs.log.warning("the catalogue lacks items of this file", extra=found)


def _record_all(engine: Engine, key: str, log: Interactions) -> int:
    """Record part after part; another process with the same file takes its share of them."""
    users = [_short(one) for one in log.user_ids.to_pylist()]
    items = [_short(one) for one in log.item_ids.to_pylist()]
    positions = log.time == "order"
    seconds = log.times if positions else log.times / seconds_per_unit(log.times)
    ends, recorded = _ends(log, seconds), 0
    state = _begin(engine, key, {"rows": 0, "positions": positions})
    while "recorded" not in state:
        start = state["rows"]
        end = int(ends[np.searchsorted(ends, min(start + PART, len(log)))])
        part = slice(start, end)
        columns = log.users[part].tolist(), log.items[part].tolist(), seconds[part].tolist()
        rows = [
            {"user_id": users[user], "item_id": items[item], "time": float(at)}
            for user, item, at in zip(*columns, strict=True)
        ]
        done = {"rows": end} if end < len(log) else {"recorded": len(log)}
        recorded += _record(engine, key, state, {**done, "positions": positions}, rows)
        state = _state(engine, key)
    return recorded


def _ends(log: Interactions, seconds: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """List where a part may end: not between rows of one user and time, which may be alike."""
    others = (np.diff(log.users) != 0) | (np.diff(seconds) != 0)
    return np.append(np.flatnonzero(others) + 1, len(log))


def _begin(engine: Engine, key: str, state: dict[str, Any]) -> dict[str, Any]:
    with engine.begin() as connection:
        take_key(connection, Recording([], state, key, key.removeprefix(FILE)))
    return _state(engine, key)


def _state(engine: Engine, key: str) -> dict[str, Any]:
    """Read how far a file is recorded: "recorded" when it is whole, nothing when it is new."""
    with engine.connect() as connection:
        found = connection.scalar(select(answers.c.answer).where(answers.c.key == key))
    state: dict[str, Any] = json.loads(found) if found else {}
    return state


def _record(
    engine: Engine, key: str, before: dict[str, Any], after: dict[str, Any], rows: list[Row]
) -> int:
    """Record a part, unless another process did meanwhile; return how many rows were new."""
    started = time.perf_counter()
    mine = update(answers).where(answers.c.key == key, answers.c.answer == json.dumps(before))
    with engine.begin() as connection:
        if not connection.execute(mine.values(answer=json.dumps(after))).rowcount:
            return 0
        fresh = _unknown(connection, rows)
        if fresh:
            connection.execute(insert(events), fresh)
    if is_sqlite(engine):  # which lets others wait, not queue: without a pause none has its turn
        time.sleep(time.perf_counter() - started)
    return len(fresh)


def _unknown(connection: Connection, rows: list[Row]) -> list[Row]:
    """Keep the rows of which there is no event; of several alike, as many as events are missing."""
    users, times = {row["user_id"] for row in rows}, [row["time"] for row in rows]
    stored = select(events.c.user_id, events.c.item_id, events.c.time).where(
        events.c.user_id.in_(users), events.c.time.between(min(times), max(times))
    )
    there = Counter(tuple(row) for row in connection.execute(stored))
    fresh = []
    for row in rows:
        entry = tuple(row.values())
        if there[entry]:
            there[entry] -= 1
        else:
            fresh.append(row)
    return fresh


def _missing(path: Path) -> Any:
    raise DataError(f"No such file: {path}", "Check the path.")


def _short(value: Any) -> str:
    text = str(value)
    if not 0 < len(text) <= MAX_ID_LENGTH or not re.fullmatch(PLAIN, text):
        raise DataError(
            f"The id {text[:40]!r} is empty, over {MAX_ID_LENGTH} characters or has control ones.",
            "Give it another id.",
        )
    return text
