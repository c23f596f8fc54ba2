"""Around every request: its id, the limit of its body, a line in the log, its metrics."""

import asyncio
import json
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lite_llm4rec.serve.logs import log, request_id, take_request_id
from lite_llm4rec.serve.metrics import Metrics
from lite_llm4rec.serve.problems import Foreign, NoKey, Problem, TooLarge, TooSlowBody
from lite_llm4rec.serve.settings import MAX_BODY_BYTES, is_key, is_local

BODY_SECONDS = 20.0


class Gate:
    """Reads a body before the application runs, so that what is too large never gets there.

    Parameters
    ----------
    app : ASGIApp
    metrics : Metrics
    keys : frozenset of str
        Without one of them, where there are any, no body is read.
    local_only : bool
        Answer this machine's own pages and programs alone.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, keys: frozenset[str], local_only: bool
    ) -> None:
        self.app, self.metrics, self.keys, self.local_only = app, metrics, keys, local_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        token = request_id.set(take_request_id(given))
        started, answer = time.perf_counter(), _Answer(send)
        try:
            if self.local_only:
                _check_local(scope["method"], headers)
            self._check_key(headers)
            body = await _read_body(headers, receive)
            await self.app(scope, _replay(body, receive), answer)
        except Problem as problem:
            await answer.problem(problem.status, problem)
        except Exception:
            log.exception("a request failed")
            failure = Problem("Something went wrong here.", "Tell the operator the request's id.")
            await answer.problem(500, failure)
        finally:
            self._note(scope, answer.status, time.perf_counter() - started)
            request_id.reset(token)

    def _check_key(self, headers: dict[bytes, bytes]) -> None:
        """Refuse a body of who has no key; which addresses want one without, their routes say."""
        has_body = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
        kind, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        has_key = kind.lower() == "bearer" and is_key(given.strip(), self.keys)
        if self.keys and has_body and not has_key:
            raise NoKey()

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and log a request by its route: paths hold the ids of users."""
        route = getattr(scope.get("route"), "path", "") or "(none)"
        method = scope["method"] if route != "(none)" else "(none)"
        self.metrics.requests.labels(route, method, str(status)).inc()
        self.metrics.latency.labels(route).observe(seconds)
        log.info(
            "request",
            extra={
                "method": scope["method"],
                "route": route,
                "status": status,
                "ms": round(1000 * seconds, 2),
            },
        )


class _Answer:
    """Sends an answer with the request's id, and remembers its status."""

    def __init__(self, send: Send) -> None:
        self.send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            mine = (b"x-request-id", request_id.get().encode())
            message = {**message, "headers": [*message.get("headers", ()), mine]}
        await self.send(message)

    async def problem(self, status: int, problem: Problem) -> None:
        """Answer with a problem, unless an answer has begun."""
        if self.status:
            return
        body = json.dumps(problem_body(problem)).encode()
        said = {"content-type": "application/json", "content-length": str(len(body))}
        headers = [
            (name.lower().encode(), value.encode())
            for name, value in (said | problem.headers).items()
        ]
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


def problem_body(problem: Problem) -> dict[str, str]:
    """Write a problem as `schemas.ProblemBody`; text that is no Unicode is replaced."""
    plain = {"detail": problem.problem, "remedy": problem.remedy, "request_id": request_id.get()}
    return {name: text.encode("utf-8", "replace").decode() for name, text in plain.items()}


def _check_local(method: str, headers: dict[bytes, bytes]) -> None:
    """Refuse what a page of another site sends, or reaches by a name that it turned to us.

    Raises
    ------
    Foreign
    """
    origin = headers.get(b"origin", b"").decode("latin-1")
    foreign = bool(origin) and not is_local(_name(origin.partition("://")[2]))
    crossing = foreign or headers.get(b"sec-fetch-site", b"") == b"cross-site"
    host = _name(headers.get(b"host", b"").decode("latin-1"))
    if (crossing and method != "GET") or not is_local(host):
        raise Foreign()


def _name(host: str) -> str:
    """Take a host's name without its port."""
    return host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]


async def _read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """Read a whole body.

    Raises
    ------
    TooLarge
        As soon as that is known.
    TooSlowBody
        When it does not arrive.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:18]) > MAX_BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                part = message.get("body", b"")
                parts.append(part)
                size += len(part)
                if size > MAX_BODY_BYTES:
                    raise _too_large()
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise TooSlowBody(
            f"The body did not arrive within {BODY_SECONDS:g} s.", "Send it faster, or less of it."
        ) from None


def _too_large() -> TooLarge:
    return TooLarge(
        f"The body is larger than {MAX_BODY_BYTES:,} bytes.", "Send several smaller requests."
    )


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the application the body that was read, and then whatever follows."""
    given = False

    async def replayed() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
