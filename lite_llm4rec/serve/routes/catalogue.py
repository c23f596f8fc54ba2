"""The catalogue: what is in it, what comes and goes."""

from typing import Annotated

import numpy as np
import pyarrow as pa
from fastapi import APIRouter, Query, status

from lite_llm4rec.errors import UnknownItemError
from lite_llm4rec.serve.adding import new_changes
from lite_llm4rec.serve.changes import Change, Kind
from lite_llm4rec.serve.problems import NotFound
from lite_llm4rec.serve.routes.common import PathId, Running
from lite_llm4rec.serve.schemas import (
    PROBLEMS,
    Added,
    AddItems,
    Info,
    Item,
    Items,
    ProblemBody,
    Retired,
    RetireItems,
)
from lite_llm4rec.serve.served import Served
from lite_llm4rec.serve.settings import MAX_CHANGES

router = APIRouter(tags=["catalogue"], responses=PROBLEMS)


@router.get("/info")
async def info(service: Running) -> Info:
    """Say which run is served, and what it can do."""
    served = service.served
    runtime = served.runtime
    return Info(
        run=served.folder.name,
        model=runtime.preset.model.kind,
        preset=runtime.preset.name,
        items=len(served.lookup),
        retired=int(np.count_nonzero(runtime.retired)),
        added=served.added,
        ids="number" if pa.types.is_integer(served.lookup.kind) else "text",
        fields=served.lookup.columns,
        reads_text=served.reads_text,
        scores_items=runtime.scores_items,
        takes_items=runtime.takes_items,
        searches_text=served.searches_text,
    )


@router.get("/items")
async def items(
    service: Running,
    limit: Annotated[int, Query(ge=1, le=MAX_CHANGES)] = 100,
    offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
) -> Items:
    """List the catalogue in its order, new items last."""
    served = service.served
    total = len(served.lookup)
    page = range(min(offset, total), min(offset + limit, total))
    return Items(items=[_item(served, place) for place in page], total=total)


@router.post("/items", status_code=status.HTTP_201_CREATED, responses={409: {"model": ProblemBody}})
async def add_items(request: AddItems, service: Running) -> Added:
    """Add items: they are recommended at once, by their text, and stay when the service restarts.

    The same request again changes nothing.
    """
    made = await service.change(lambda served: new_changes(request.items, served))
    return Added(
        added=made,
        known=len(request.items) - made,
        items=len(service.served.lookup),
    )


@router.post("/items/retire", responses={404: {"model": ProblemBody}})
async def retire_items(request: RetireItems, service: Running) -> Retired:
    """Recommend items no more, or again; histories may still hold them."""
    await service.change(lambda served: _retirements(request, served))
    return Retired(retired=int(np.count_nonzero(service.served.runtime.retired)))


@router.get("/items/{item:path}", responses={404: {"model": ProblemBody}})
async def item(item: PathId, service: Running) -> Item:
    """Show one item."""
    served = service.served
    try:
        return _item(served, served.lookup.place(item))
    except UnknownItemError as error:
        raise NotFound(error.problem, "Search for it: /search?text=…") from error


def _retirements(request: RetireItems, served: Served) -> list[Change]:
    """List the changes of items that are not as wanted already."""
    lookup, retired = served.lookup, served.runtime.retired
    try:
        places = lookup.places(request.items)
    except UnknownItemError as error:
        raise NotFound(error.problem, "Check the ids; nothing was retired.") from error
    kind: Kind = "restore" if request.restore else "retire"
    return [
        Change(kind, str(lookup.ids[place]))
        for place in dict.fromkeys(places)
        if retired[place] == request.restore
    ]


def _item(served: Served, place: int) -> Item:
    return Item(
        id=served.lookup.ids[place],
        title=served.lookup.titles[place],
        fields=served.lookup.fields(place),
        retired=bool(served.runtime.retired[place]),
        training_interactions=int(served.runtime.counts[place]),
    )
