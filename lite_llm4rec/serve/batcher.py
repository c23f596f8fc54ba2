"""Many requests → one call, in a thread of its own; a bounded queue before it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from lite_llm4rec.serve.metrics import Metrics
from lite_llm4rec.serve.problems import TooLarge, TooMany, Unavailable

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


@dataclass
class _Waiting(Generic[Asked, Answer]):
    asked: Asked
    future: "asyncio.Future[Answer]"
    since: float = field(default_factory=time.perf_counter)


class Batcher(Generic[Asked, Answer]):
    """Gathers requests while a call is under way, and for `wait` seconds where several come.

    A request that comes alone does not wait: only after a call for several there may be more.

    Parameters
    ----------
    name : str
        Its stage in the metrics.
    call : callable
        (requests) → as many answers, in order.
    executor : Executor
        Where `call` runs; its own thread bounds how many calls there are at once.
    queue : int
        How many requests may wait.
    size : int
        How many go into one call.
    wait, timeout : float
        Seconds to wait for more requests, and for an answer.
    again_after : tuple of exceptions
        After these of a call for several, each is asked for alone, so that only the culprit fails.
    """

    def __init__(
        self,
        name: str,
        call: Callable[[list[Asked]], Sequence[Answer]],
        executor: Executor,
        metrics: Metrics,
        *,
        queue: int,
        size: int,
        wait: float,
        timeout: float,
        again_after: tuple[type[Exception], ...] = (Exception,),
    ) -> None:
        self.name, self.call, self.executor, self.metrics = name, call, executor, metrics
        self.queue, self.size, self.wait, self.timeout = queue, size, wait, timeout
        self.again_after = again_after
        self._waiting: deque[_Waiting[Asked, Answer]] = deque()
        self._arrived = asyncio.Event()
        self._closing = self._shared = False
        self._task: asyncio.Task[None] | None = None
        metrics.queue.labels(name).set_function(lambda: len(self._waiting))

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self._work(), name=f"batcher {self.name}")

    async def stop(self) -> None:
        """Answer what waits, and end."""
        self._closing = True
        self._arrived.set()
        if self._task is not None:
            await self._task

    @property
    def working(self) -> bool:
        """Whether it still answers."""
        return self._task is not None and not self._task.done()

    async def ask(self, *asked: Asked) -> list[Answer]:
        """Wait for the answers of some requests, which are taken in all or none.

        Raises
        ------
        TooLarge
            When the queue never has room for them.
        TooMany
            When the queue has no room for them now.
        Unavailable
            When they were not answered in time.
        """
        if len(asked) > self.queue:
            raise TooLarge(
                f"This takes {len(asked)} places of a queue that has {self.queue}.",
                "Ask for less at once, or start the service with a longer --queue.",
            )
        if len(self._waiting) + len(asked) > self.queue:
            self.metrics.refused.labels("queue full").inc()
            raise TooMany(
                f"{len(self._waiting)} requests wait already, of {self.queue} that may.",
                "Come back after a second; add a machine if this goes on.",
            )
        loop = asyncio.get_running_loop()
        entries = [_Waiting[Asked, Answer](one, loop.create_future()) for one in asked]
        self._waiting.extend(entries)
        self._arrived.set()
        try:
            async with asyncio.timeout(self.timeout):
                return await asyncio.gather(*(entry.future for entry in entries))
        except TimeoutError:
            self.metrics.refused.labels("time-out").inc()
            raise Unavailable(
                f"There was no answer within {self.timeout:g} s.", "Come back after some seconds."
            ) from None

    async def _work(self) -> None:
        while not (self._closing and not self._waiting):
            await self._arrived.wait()
            crowded = self._shared and len(self._waiting) < self.size and not self._closing
            if self.wait and crowded:
                await asyncio.sleep(self.wait)
            entries = self._take()
            self._shared = len(entries) > 1
            if entries:
                await self._answer(entries)

    def _take(self) -> list[_Waiting[Asked, Answer]]:
        """Take the next requests that somebody still waits for."""
        entries: list[_Waiting[Asked, Answer]] = []
        while self._waiting and len(entries) < self.size:
            entry = self._waiting.popleft()
            if not entry.future.done():
                entries.append(entry)
        if not self._waiting and not self._closing:
            self._arrived.clear()
        return entries

    async def _answer(self, entries: list[_Waiting[Asked, Answer]]) -> None:
        """Make one call; where it fails, one for each that somebody still waits for."""
        started = time.perf_counter()
        for entry in entries:
            self.metrics.stage.labels(self.name, "wait").observe(started - entry.since)
        loop = asyncio.get_running_loop()
        asked = [entry.asked for entry in entries]
        try:
            answers = await loop.run_in_executor(self.executor, self.call, asked)
        except Exception as error:
            for entry in entries:
                if entry.future.done():
                    continue
                if len(entries) > 1 and isinstance(error, self.again_after):
                    await self._answer([entry])
                else:
                    entry.future.set_exception(error)
            return
        self.metrics.stage.labels(self.name, "call").observe(time.perf_counter() - started)
        self.metrics.batch.labels(self.name).observe(len(entries))
        for entry, answer in zip(entries, answers, strict=True):
            if not entry.future.done():
                entry.future.set_result(answer)
