"""The application: routes, keys, problems, start and end."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from lite_llm4rec.errors import LiteLLM4RecError
from lite_llm4rec.serve.importing import check_keep_days
from lite_llm4rec.serve.logs import log
from lite_llm4rec.serve.metrics import Metrics
from lite_llm4rec.serve.middleware import Gate, problem_body
from lite_llm4rec.serve.problems import NoKey, Problem, Unavailable, as_problem
from lite_llm4rec.serve.routes import asking, catalogue, operations, users
from lite_llm4rec.serve.service import Service
from lite_llm4rec.serve.settings import Settings, is_key
from lite_llm4rec.serve.store import open_database, reason
from lite_llm4rec.version import VERSION

PAGE = Path(__file__).parent / "page"
SHOWN = 5  # mistakes of one request

bearer = HTTPBearer(auto_error=False, description="An API key, where the service has any.")


def create_app(settings: Settings) -> FastAPI:
    """Make the application; the run folder is loaded when it starts.

    Raises
    ------
    ConfigError, StoreError
        When the database cannot be opened, or --keep-days would delete everything.
    """
    service_metrics = Metrics()
    database = open_database(settings.database)
    check_keep_days(database, settings.keep_days)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = Service(settings, database, service_metrics)
        hung_up = _note_hangups()
        await service.start()
        reloading = asyncio.create_task(_reload_at(hung_up, service))
        log.info("started", extra={"run": str(service.served.folder), "port": settings.port})
        yield
        reloading.cancel()
        await service.stop()
        log.info("stopped")

    app = FastAPI(
        title="lite-llm4rec",
        summary="Sequential recommendation with language models, from one run folder.",
        version=VERSION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # an empty id would be sent on to another address
    )
    app.state.settings = settings
    app.include_router(operations.open_router)
    for part in (asking, catalogue, users, operations):
        app.include_router(part.router, dependencies=[Depends(check_key)])
    app.add_exception_handler(LiteLLM4RecError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_mistakes)
    app.add_exception_handler(HTTPException, _refuse_plainly)
    app.add_exception_handler(SQLAlchemyError, _refuse_without_database)
    app.add_middleware(
        Gate, metrics=service_metrics, keys=settings.keys, local_only=settings.local_only
    )
    for file in PAGE.iterdir():  # by name: a mount at "/" would answer a wrong method with 404
        path = "/" if file.name == "index.html" else f"/{file.name}"
        app.add_route(path, _sender(file), methods=["GET"], include_in_schema=False)
    return app


def _sender(file: Path) -> Callable[[Request], Awaitable[FileResponse]]:
    async def send(_: Request) -> FileResponse:
        return FileResponse(file)

    return send


async def check_key(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]
) -> None:
    """Let pass who has a key.

    Raises
    ------
    NoKey
    """
    settings: Settings = request.app.state.settings
    if settings.keys and not is_key(given.credentials if given else "", settings.keys):
        raise NoKey()


def _note_hangups() -> asyncio.Event:
    """Set an event at every SIGHUP from now on."""
    hung_up = asyncio.Event()
    if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
    return hung_up


async def _reload_at(hung_up: asyncio.Event, service: Service) -> None:
    """Reload whenever the event is set, and once more where it is set during any reload."""
    while True:
        await hung_up.wait()
        hung_up.clear()
        try:
            await service.reload(wait=True)
        except LiteLLM4RecError as error:
            log.error("reload refused", extra={"problem": str(error)})
        except Exception:  # nobody waits for this task, who could tell of it
            log.exception("reload failed")


def _answer(problem: Problem, status: int | None = None) -> JSONResponse:
    headers = {"Retry-After": str(problem.retry_after)} if problem.retry_after else {}
    headers |= problem.headers
    return JSONResponse(problem_body(problem), status or problem.status, headers)


async def _refuse(_: Request, error: Any) -> JSONResponse:
    return _answer(as_problem(error))


async def _refuse_mistakes(_: Request, error: Any) -> JSONResponse:
    """Name the first mistakes, without what came in: it may be large, or secret."""
    found = [
        f"{'.'.join(str(part)[:100] for part in mistake['loc'][:8])}:"
        f" {mistake['msg'].removeprefix('Value error, ')[:300]}"
        for mistake in error.errors()[:SHOWN]
    ]
    return _answer(Problem("; ".join(found), "See /docs for what may be sent."))


async def _refuse_plainly(_: Request, error: Any) -> JSONResponse:
    problem = Problem(str(error.detail), "See /docs for the addresses and what may be sent.")
    answer = _answer(problem, error.status_code)
    answer.headers.update(error.headers or {})
    return answer


async def _refuse_without_database(request: Request, error: Any) -> JSONResponse:
    request.app.state.service.metrics.refused.labels("database").inc()
    log.error("the database failed", extra={"problem": reason(error)})
    return _answer(
        Unavailable(
            "The database does not answer.",
            "Come back later, with the same Idempotency-Key: nothing is recorded twice.",
        )
    )
