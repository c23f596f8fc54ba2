"""The service without HTTP: requests → the model's thread, the database's threads → answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from sqlalchemy import Engine, exc

from lite_llm4rec.errors import LiteLLM4RecError, StoreError
from lite_llm4rec.serve import changes as catalogue_log
from lite_llm4rec.serve import events, schemas
from lite_llm4rec.serve.asking import Texts, all_asked, texts_of
from lite_llm4rec.serve.batcher import Batcher
from lite_llm4rec.serve.changes import Change
from lite_llm4rec.serve.logs import log
from lite_llm4rec.serve.metrics import Metrics
from lite_llm4rec.serve.problems import Conflict, Unavailable
from lite_llm4rec.serve.runtime import Vectors
from lite_llm4rec.serve.served import (
    Asked,
    AskedNear,
    AskedSimilar,
    AskedTitle,
    Near,
    Ranked,
    Served,
    near_all,
    recommend_all,
    similar_all,
    titled_all,
)
from lite_llm4rec.serve.settings import Settings
from lite_llm4rec.serve.store import ping, reason
from lite_llm4rec.serve.texts import AskedText, TextEncoder, encode_all
from lite_llm4rec.serve.writer import ROLLED_BACK, Writer

FOLLOW_SECONDS = 2.0  # how soon changes made through another process are seen
EXPIRE_SECONDS = 3600.0
PING_SECONDS = 3.0
ENCODED_AT_ONCE = 32  # of many new items: between two parts, requests have their texts encoded


class Service:
    """One run folder being served, and one database.

    Parameters
    ----------
    settings : Settings
    database : sqlalchemy.Engine
        As `store.open_database` gives it.
    metrics : Metrics

    Attributes
    ----------
    served : Served
        Replaced as a whole by a reload; requests under way keep theirs.
    """

    served: Served

    def __init__(self, settings: Settings, database: Engine, metrics: Metrics) -> None:
        self.settings, self.database, self.metrics = settings, database, metrics
        self._threads: list[ThreadPoolExecutor] = []
        self._model = self._thread("model")
        self.writer = Writer(database, self._thread("record"))
        self._pinging = self._thread("ping")  # a database that is silent holds up nothing else
        self.recommending: Batcher[Asked, Ranked] = self._batcher(
            "recommend", recommend_all, self._model
        )
        self.similar: Batcher[AskedSimilar, Ranked] = self._batcher(
            "similar", similar_all, self._model
        )
        self._texts = self._thread("encode")
        self.encoding: Batcher[AskedText, Vectors] = self._batcher(
            "encode", encode_all, self._texts
        )
        self.searching: Batcher[AskedNear, Near] = self._batcher(
            "search", near_all, self._thread("search")
        )
        self.titles: Batcher[AskedTitle, list[int]] = self._batcher(
            "titles", titled_all, self._thread("titles")
        )
        self.reading: Batcher[str, list[str]] = self._batcher(
            "read", lambda users: events.histories(database, users), self._thread("read")
        )
        self.recording: Batcher[events.Recording, dict[str, Any] | events.KeyReusedError] = (
            self._batcher(
                "record",
                lambda made: self.writer.call(events.record, made),
                self.writer.thread,
                ROLLED_BACK,
            )
        )
        self._batchers = (
            self.recommending, self.similar, self.encoding, self.searching, self.titles,
            self.reading, self.recording,
        )  # fmt: skip
        self._changing = asyncio.Lock()
        self._reloading = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load the run folder with all changes made before, and begin to answer.

        Raises
        ------
        StoreError
            When there is no run folder.
        """
        self.served = await asyncio.to_thread(self._load)
        self._show_catalogue()
        for batcher in self._batchers:
            batcher.start()
        self._tasks = [
            asyncio.create_task(self._again_and_again(FOLLOW_SECONDS, self.follow)),
            asyncio.create_task(self._again_and_again(FOLLOW_SECONDS, self.writer.make_up)),
            asyncio.create_task(self._again_and_again(EXPIRE_SECONDS, self._expire)),
        ]

    async def stop(self) -> None:
        """Answer what waits, and end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for batcher in self._batchers:
            await batcher.stop()
        for thread in self._threads:
            await asyncio.to_thread(thread.shutdown)
        self.database.dispose()

    async def recommend(self, requests: Sequence[schemas.RecommendRequest]) -> list[Ranked]:
        """Answer requests together.

        Raises
        ------
        DataError, ConfigError
            When one of them cannot be right.
        """
        return await self.recommending.ask(*await self.prepare(requests))

    async def prepare(self, requests: Sequence[schemas.RecommendRequest]) -> list[Asked]:
        """Look up what requests name: users' histories, texts' vectors, the catalogue's ids.

        Raises
        ------
        DataError, ConfigError
            When one of them cannot be right.
        """
        served = self.served
        users = list(dict.fromkeys(str(one.user) for one in requests if one.user is not None))
        for name in dict.fromkeys(name for one in requests for name in one.where):
            if name in served.lookup.columns and not served.lookup.knows(name):
                await asyncio.to_thread(served.lookup.learn, name)
        texts = texts_of(requests, served)
        stored, vectors = await asyncio.gather(
            self.reading.ask(*users) if users else _nothing(),
            self.encoding.ask(*(AskedText(served.encoder, text) for text in texts))
            if texts and served.encoder
            else _nothing(),
        )
        known: Texts = dict(zip(texts, vectors, strict=True))
        of_user = dict(zip(users, stored, strict=True))
        if len(requests) == 1:
            return all_asked(requests, served, of_user, known)
        # Users' long histories may be millions of ids: others are answered meanwhile.
        return await asyncio.to_thread(all_asked, requests, served, of_user, known)

    async def near(self, served: Served, encoder: TextEncoder, text: str, k: int) -> Near:
        """Find the items whose text is nearest to `text`: their numbers and cosines."""
        (vector,) = await self.encoding.ask(AskedText(encoder, text))
        (found,) = await self.searching.ask(AskedNear(served, vector, k))
        return found

    async def titled(self, served: Served, words: str, k: int) -> list[int]:
        """Find the items whose titles hold the words: their numbers."""
        (found,) = await self.titles.ask(AskedTitle(served, words, k))
        return found

    async def record(self, recording: events.Recording) -> dict[str, Any]:
        """Record events; when this returns, they are on the disk.

        Raises
        ------
        KeyReusedError
            When the key came with another request before.
        """
        (answer,) = await self.recording.ask(recording)
        if isinstance(answer, events.KeyReusedError):
            raise answer
        if answer is recording.answer:  # not that of the same key before
            self.metrics.recorded.inc(len(recording.events))
        return answer

    async def forget(self, user: str) -> int:
        """Delete all that is stored of a user, and say how many events it was."""
        return await self.writer.delete(events.forget, user)

    async def change(self, make: Callable[[Served], list[Change]]) -> int:
        """Log the changes that `make` finds needed, carry them out, and say how many they were.

        Nobody else changes the catalogue from when `make` looks at it.

        Raises
        ------
        Unavailable
            When other changes take so long that this one did not begin.
        """
        async with self._one_change():
            served = self.served
            await self._catch_up(served)
            made = make(served)
            if made:
                ready = await self._with_vectors(served, made)
                await self.writer.write(catalogue_log.append, ready)
                await self._catch_up(served)
        return len(made)

    async def follow(self) -> None:
        """Carry out the changes that were logged by others."""
        async with self._changing:
            await self._catch_up(self.served)

    async def reload(self, wait: bool = False) -> Served:
        """Load the run folder anew and serve it from then on; no request fails.

        Parameters
        ----------
        wait : bool
            Wait for a reload that is under way, and load once more.

        Raises
        ------
        StoreError
            When it cannot be used; the old one goes on.
        SQLAlchemyError
            When the database fails; likewise.
        Conflict
            When a reload is under way and is not waited for.
        """
        if self._reloading.locked() and not wait:
            raise Conflict("A reload is under way.", "Wait for it.")
        async with self._reloading:
            try:
                fresh = await asyncio.to_thread(self._load)
                async with self._changing:
                    await self._catch_up(fresh)
                    self.served = fresh
            except (LiteLLM4RecError, exc.SQLAlchemyError) as error:
                self.metrics.reloads.labels("failed").inc()
                log.error("reload failed", extra={"problem": reason(error)})
                raise
            except Exception as error:  # what a damaged folder can lead to cannot all be foreseen
                self.metrics.reloads.labels("failed").inc()
                log.exception("reload failed")
                raise StoreError(
                    f"{self.settings.folder} cannot be used: {type(error).__name__}: {error}",
                    "The run that was served goes on; look at the folder.",
                ) from error
        self._show_catalogue()
        self.metrics.reloads.labels("done").inc()
        log.info("reloaded", extra={"run": str(fresh.folder), "items": len(fresh.lookup)})
        return fresh

    async def parts(self) -> dict[str, str]:
        """Say of each part "ok", or what is wrong with it."""
        found = {one.name: "ok" if one.working else "has stopped" for one in self._batchers}
        try:
            async with asyncio.timeout(PING_SECONDS):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._pinging, ping, self.database)
            found["database"] = "the last write failed" if self.writer.failed else "ok"
        except Exception as error:  # whatever it is, it is what is wrong
            found["database"] = type(error).__name__
        return found

    def _load(self) -> Served:
        old = getattr(self, "served", None)
        chosen = self.settings
        fresh = Served.load(chosen.folder, old and old.encoder, self.metrics, chosen.device)
        logged = fresh.with_vectors(catalogue_log.read_after(self.database, 0))
        fresh.apply(catalogue_log.settled(logged, fresh.lookup))
        for name in fresh.lookup.columns:
            if old and old.lookup.knows(name):
                fresh.lookup.learn(name)
        warm = [Asked(fresh, list(fresh.lookup.keys[:1]), k=1), Asked(fresh, [], k=1)]
        recommend_all(warm)
        for item, why in fresh.refused.items():
            log.warning("an added item is left out", extra={"item": item, "problem": why})
        return fresh

    @asynccontextmanager
    async def _one_change(self) -> AsyncIterator[None]:
        """Hold `_changing`, for which one does not wait longer than for anything else."""
        try:
            async with asyncio.timeout(self.settings.timeout):
                await self._changing.acquire()
        except TimeoutError:
            self.metrics.refused.labels("time-out").inc()
            raise Unavailable(
                "Other changes of the catalogue are under way; this one has not begun.",
                "Come back after some seconds.",
            ) from None
        try:
            yield
        finally:
            self._changing.release()

    async def _catch_up(self, served: Served) -> None:
        """Apply what the log holds beyond what was applied; `_changing` is held."""
        logged = await asyncio.to_thread(catalogue_log.read_after, self.database, served.applied)
        if logged:
            ready = await self._with_vectors(served, logged)
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._model, served.apply, ready)
            self._show_catalogue()

    async def _with_vectors(self, served: Served, made: list[Change]) -> list[Change]:
        """Encode new items part by part, in turn with the texts that requests bring."""
        loop, ready = asyncio.get_running_loop(), []
        for start in range(0, len(made), ENCODED_AT_ONCE):
            part = made[start : start + ENCODED_AT_ONCE]
            ready += await loop.run_in_executor(self._texts, served.with_vectors, part)
        return ready

    async def _expire(self) -> None:
        deleted, days = events.CHUNK, self.settings.keep_days
        while deleted == events.CHUNK:
            deleted = await self.writer.delete(events.expire, days, time.time())
            if deleted:
                log.info("old events deleted", extra={"events": deleted})

    async def _again_and_again(self, seconds: float, what: Any) -> None:
        while True:
            try:
                await what()
            except exc.SQLAlchemyError as error:  # a database that is away comes back
                log.warning(f"{what.__name__} failed", extra={"problem": reason(error)})
            except Exception:
                log.exception(f"{what.__name__} failed")
            await asyncio.sleep(seconds)

    def _show_catalogue(self) -> None:
        retired = int(np.count_nonzero(self.served.runtime.retired))
        self.metrics.items.labels("all").set(len(self.served.lookup))
        self.metrics.items.labels("retired").set(retired)

    def _thread(self, name: str) -> ThreadPoolExecutor:
        thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._threads.append(thread)
        return thread

    def _batcher(
        self,
        name: str,
        call: Any,
        thread: ThreadPoolExecutor,
        again_after: tuple[type[Exception], ...] = (Exception,),
    ) -> Batcher[Any, Any]:
        chosen = self.settings
        wait = chosen.wait if thread is self._model else 0.0
        return Batcher(
            name, call, thread, self.metrics, queue=chosen.queue, size=chosen.batch, wait=wait,
            timeout=chosen.timeout, again_after=again_after,
        )  # fmt: skip


async def _nothing() -> list[Any]:
    return []
