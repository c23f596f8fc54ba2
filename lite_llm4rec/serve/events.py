"""What users watched: recorded once, read as histories, deleted on request or with age."""

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from lite_llm4rec.errors import DataError
from lite_llm4rec.serve.settings import MAX_HISTORY
from lite_llm4rec.serve.tables import answers, events

KEY_DAYS = 30.0  # how long a repeated request is known
DAY = 86_400.0
CHUNK = 20_000  # rows deleted at once

CLIENT, FILE = "client:", "file:"  # whose key it is: a client cannot use up a file's


@dataclass(frozen=True)
class Recording:
    """One request to record events.

    Attributes
    ----------
    events : list of (user, item, time)
        Ids as text, time in Unix seconds.
    answer : dict
        What a client is told once they are recorded, and told again for the same key.
    key : str
        Empty where a repetition cannot be told from a new request.
    request_sha256 : str
        Of the request as it came: another request with the same key is refused.
    """

    events: list[tuple[str, str, float]]
    answer: dict[str, Any]
    key: str = ""
    request_sha256: str = ""


class KeyReusedError(DataError):
    """An idempotency key that came with another request before."""


def client_key(given: str) -> str:
    """Write a client's idempotency key as it is kept: it may name a user, whom nothing names."""
    return CLIENT + hashlib.sha256(given.encode()).hexdigest()


def record(engine: Engine, recordings: list[Recording]) -> list[dict[str, Any] | KeyReusedError]:
    """Record requests in one transaction, each with a known key not again.

    When this returns, they are on the disk.
    """
    found: list[dict[str, Any] | KeyReusedError] = []
    rows: list[dict[str, Any]] = []
    with engine.begin() as connection:
        for one in recordings:
            answer = take_key(connection, one) if one.key else None
            if answer is None:
                rows += [_row(*entry) for entry in one.events]
            found.append(one.answer if answer is None else answer)
        if rows:
            connection.execute(insert(events), rows)
    return found


def histories(engine: Engine, users: list[str], limit: int = MAX_HISTORY) -> list[list[str]]:
    """Read the latest items of each user, in time order."""
    from_latest = events.c.time.desc(), events.c.number.desc()
    back = func.row_number().over(partition_by=events.c.user_id, order_by=from_latest).label("back")
    mine = select(events.c.user_id, events.c.item_id, back).where(events.c.user_id.in_(users))
    ranked = mine.subquery()
    latest = select(ranked).where(ranked.c.back <= limit).order_by(ranked.c.back.desc())
    found: dict[str, list[str]] = {user: [] for user in users}
    with engine.connect() as connection:
        for user, item, _ in connection.execute(latest):
            found[user].append(item)
    return [found[user] for user in users]


def forget(engine: Engine, user: str) -> int:
    """Delete all of a user's events; return how many there were."""
    with engine.begin() as connection:
        return connection.execute(delete(events).where(events.c.user_id == user)).rowcount


def expire(engine: Engine, keep_days: float | None, now: float) -> int:
    """Delete keys that no client repeats any more, and `CHUNK` events older than `keep_days`.

    Returns
    -------
    int
        How many events were deleted: where it is `CHUNK`, there may be more.
    """
    old_key = ~answers.c.key.startswith(FILE) & (answers.c.time < now - KEY_DAYS * DAY)
    with engine.begin() as connection:
        connection.execute(delete(answers).where(old_key))
        if keep_days is None:
            return 0
        old = select(events.c.number).where(events.c.time < now - keep_days * DAY).limit(CHUNK)
        return connection.execute(delete(events).where(events.c.number.in_(old))).rowcount


def take_key(connection: Connection, one: Recording) -> dict[str, Any] | KeyReusedError | None:
    """Take the key if it is free; else give what was answered when it was taken.

    Another process that holds the key in an open transaction is waited for.
    """
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    row = {
        "key": one.key,
        "request_sha256": one.request_sha256,
        "answer": json.dumps(one.answer),
        "time": time.time(),
    }
    take = dialect.insert(answers).values(row).on_conflict_do_nothing().returning(answers.c.key)
    if connection.scalar(take) is not None:  # psycopg's row count says nothing here
        return None
    known = connection.execute(select(answers).where(answers.c.key == one.key)).one()
    if known.request_sha256 != one.request_sha256:
        return KeyReusedError(
            "This idempotency key came with another request before.",
            "Make a new key for each request, and repeat it only when repeating the request.",
        )
    answer: dict[str, Any] = json.loads(known.answer)
    return answer


def _row(user: str, item: str, at: float) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "time": at}
