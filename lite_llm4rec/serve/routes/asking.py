"""Recommendations, neighbours, search."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from lite_llm4rec.errors import UnknownItemError
from lite_llm4rec.serve import explaining
from lite_llm4rec.serve.problems import NotFound
from lite_llm4rec.serve.routes.common import QueryId, QueryK, Running, as_list
from lite_llm4rec.serve.schemas import (
    NO_ZERO_BYTE,
    PROBLEMS,
    BatchRecommended,
    BatchRequest,
    Explained,
    ExplainRequest,
    Found,
    FoundItem,
    PartOfScore,
    ProblemBody,
    Recommended,
    RecommendRequest,
)
from lite_llm4rec.serve.served import AskedSimilar, By
from lite_llm4rec.serve.settings import MAX_TEXT_LENGTH

router = APIRouter(tags=["ask"], responses=PROBLEMS)


@router.post("/recommend")
async def recommend(request: RecommendRequest, service: Running) -> Recommended:
    """Recommend for one history, or one user.

    A history need not be of a known user: a user *is* a history. What a user has just watched
    counts as soon as it is recorded.
    """
    (ranked,) = await service.recommend([request])
    return as_list(ranked)


@router.post("/recommend/batch")
async def recommend_batch(batch: BatchRequest, service: Running) -> BatchRecommended:
    """Recommend for several histories or users, each with its own filters."""
    ranked = await service.recommend(batch.requests)
    return BatchRecommended(results=[as_list(one) for one in ranked])


@router.post("/explain", responses={404: {"model": ProblemBody}})
async def explain(request: ExplainRequest, service: Running) -> Explained:
    """Say why an item stands where it does.

    Of each item of the history: by how much the score falls without it, and how near the two texts
    are.
    """
    try:
        service.served.lookup.place(request.item)
    except UnknownItemError as error:
        raise NotFound(error.problem, "Search for it: /search?text=…") from error
    asked = RecommendRequest.model_validate(
        {"history": request.history, "k": 1, "only": [request.item], "include_seen": True}
    )
    (ready,) = await service.prepare([asked])
    score, parts = await explaining.explain(service, ready)
    return Explained(score=score, parts=[PartOfScore(**vars(part)) for part in parts])


@router.get("/similar", responses={404: {"model": ProblemBody}})
async def similar(service: Running, item: QueryId, k: QueryK = 10, by: By = "text") -> Recommended:
    """Find the items nearest to one: by what their texts say, or by who is recommended them."""
    served = service.served
    try:
        key = served.lookup.keys[served.lookup.place(item)]
    except UnknownItemError as error:
        raise NotFound(error.problem, "Search for it: /search?text=…") from error
    (ranked,) = await service.similar.ask(AskedSimilar(served, key, k, by))
    return as_list(ranked)


@router.get("/search")
async def search(
    service: Running,
    text: Annotated[
        str,
        Query(
            min_length=1,
            max_length=MAX_TEXT_LENGTH,
            pattern=NO_ZERO_BYTE,
            description="Words of a title, or what the item is about.",
        ),
    ],
    k: QueryK = 10,
    by: Annotated[
        Literal["title", "text", "both"],
        Query(description="Titles that hold the words, items near by text, or both."),
    ] = "both",
) -> Found:
    """Find items: titles that begin so, titles that hold it, then the nearest by text.

    The latter only where the Item LLM is at hand; see `searches_text` of /info.
    """
    served = service.served
    lookup, runtime = served.lookup, served.runtime
    scored: dict[int, float | None] = {}
    if by != "text":
        scored |= dict.fromkeys(await service.titled(served, text, k))
    titled = set(scored)
    encoder = served.encoder if served.searches_text else None
    if by != "title" and len(scored) < k and encoder is not None:
        places, cosines = await service.near(served, encoder, text, k)
        for place, cosine in zip(places, cosines, strict=True):
            scored.setdefault(place, cosine)
    return Found(
        items=[
            FoundItem(
                id=lookup.ids[place],
                title=lookup.titles[place],
                by="title" if place in titled else "text",
                score=score,
                retired=bool(runtime.retired[place]),
            )
            for place, score in list(scored.items())[:k]
        ]
    )
