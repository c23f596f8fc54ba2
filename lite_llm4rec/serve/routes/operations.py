"""For who runs the service: health, metrics, reload."""

from fastapi import APIRouter, Response

from lite_llm4rec.serve.routes.common import Running
from lite_llm4rec.serve.schemas import PROBLEMS, Health, ProblemBody, Reloaded

open_router = APIRouter(tags=["operations"])
router = APIRouter(tags=["operations"], responses=PROBLEMS)


@open_router.get("/health/live")
async def live() -> dict[str, str]:
    """Answer while the process does."""
    return {"status": "alive"}


@open_router.get("/health/ready", responses={503: {"model": Health}})
async def ready(service: Running, response: Response) -> Health:
    """Say whether requests can be answered; with status 503 when not."""
    parts = await service.parts()
    found = Health(ready=all(state == "ok" for state in parts.values()), parts=parts)
    if not found.ready:
        response.status_code = 503
    return found


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(service: Running) -> Response:
    """Give Prometheus its metrics."""
    return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.post("/admin/reload", responses={409: {"model": ProblemBody}})
async def reload(service: Running) -> Reloaded:
    """Load the run folder anew; no request fails meanwhile. A SIGHUP does the same.

    Items added at run time stay; those that the new run holds or cannot take are reported.
    """
    served = await service.reload()
    return Reloaded(
        run=served.folder.name,
        items=len(served.lookup),
        added=served.added,
        in_run=served.in_run,
        refused=served.refused,
    )
