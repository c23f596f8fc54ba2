"""Events: what users watch, and what is stored of them."""

import hashlib
import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, status

from lite_llm4rec.errors import DataError
from lite_llm4rec.serve import events
from lite_llm4rec.serve.routes.common import PathId, Running
from lite_llm4rec.serve.schemas import (
    PROBLEMS,
    Deleted,
    Event,
    ProblemBody,
    Recorded,
    RecordEvents,
    UserHistory,
)

router = APIRouter(tags=["users"], responses=PROBLEMS)

NO_ADDRESS: dict[int | str, Any] = {
    404: {"model": ProblemBody, "description": "No id: it holds control characters."}
}

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="A new one for each request; repeated with it when there was no answer, so "
        "that nothing is recorded twice. Known for 30 days.",
    ),
]


@router.post("/events", status_code=status.HTTP_201_CREATED)
async def record_events(request: RecordEvents, service: Running, key: Key = None) -> Recorded:
    """Record events; once this is answered, they are on the disk.

    The answer to a repeated key is the first one's.
    """
    now = time.time()
    rows = [_row(event, now) for event in request.events]
    lookup = service.served.lookup
    answer = Recorded(
        recorded=len(rows), unknown_items=sum(item not in lookup for _, item, _ in rows)
    )
    found = await service.record(
        events.Recording(
            rows,
            answer.model_dump(),
            events.client_key(key) if key else "",
            hashlib.sha256(request.model_dump_json().encode()).hexdigest(),
        )
    )
    return Recorded(**found)


@router.get("/users/{user:path}", responses=NO_ADDRESS)
async def history(user: PathId, service: Running) -> UserHistory:
    """Show what is stored of a user; an unknown one has an empty history."""
    (found,) = await service.reading.ask(user)
    return UserHistory(history=found)


@router.delete("/users/{user:path}", responses=NO_ADDRESS)
async def forget(user: PathId, service: Running) -> Deleted:
    """Delete all that is stored of a user."""
    return Deleted(events=await service.forget(user))


def _row(event: Event, now: float) -> tuple[str, str, float]:
    at = now if event.time is None else event.time
    if at > now + events.DAY:
        raise DataError(f"The time {at:g} is more than a day ahead.", "Give Unix time, in seconds.")
    return str(event.user), str(event.item), at
