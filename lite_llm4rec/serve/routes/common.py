"""What the routes share."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from lite_llm4rec.serve.lookup import as_json
from lite_llm4rec.serve.schemas import Recommended
from lite_llm4rec.serve.served import Ranked
from lite_llm4rec.serve.service import Service
from lite_llm4rec.serve.settings import MAX_ID_LENGTH, MAX_K, PLAIN


async def _service(request: Request) -> Service:  # not async, it would take a thread
    found: Service = request.app.state.service
    return found


Running = Annotated[Service, Depends(_service)]
PathId = Annotated[
    str, Path(min_length=1, max_length=MAX_ID_LENGTH, pattern=PLAIN, description="An id.")
]
QueryId = Annotated[
    str, Query(min_length=1, max_length=MAX_ID_LENGTH, pattern=PLAIN, description="An id.")
]
QueryK = Annotated[int, Query(ge=1, le=MAX_K, description="How many items.")]


def as_list(ranked: Ranked) -> Recommended:
    """Write a ranked list as it goes out."""
    rows = zip(ranked.ids, ranked.titles, ranked.scores, strict=True)
    items = [{"id": as_json(key), "title": title, "score": score} for key, title, score in rows]
    return Recommended.model_validate({"items": items, "note": ranked.note})  # at one go: faster
