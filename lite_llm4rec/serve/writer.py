"""The thread that writes to the database: whether it can, and what is to be done again."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Engine, exc

from lite_llm4rec.serve.store import clear_log, rewrite

Answer = TypeVar("Answer")

# A row that the database does not take: nothing of its transaction is kept. After other errors, of
# a connection that was lost while it committed, nobody knows.
ROLLED_BACK = (exc.DataError, exc.IntegrityError, ValueError, OverflowError)


class Writer:
    """Writes one after the other: SQLite lets others wait, and not always their turn.

    Parameters
    ----------
    database : sqlalchemy.Engine
    thread : ThreadPoolExecutor
        Of one thread.

    Attributes
    ----------
    failed : bool
        Whether the database did not take the last write.
    """

    def __init__(self, database: Engine, thread: ThreadPoolExecutor) -> None:
        self.database, self.thread, self.failed = database, thread, False
        self._cleared = False  # what was deleted before the start may be in the log, too

    async def write(self, what: Callable[..., Answer], *arguments: Any) -> Answer:
        """Call `what` with the database and `arguments` in the thread."""
        return await self._in_thread(self.call, what, *arguments)

    async def delete(self, what: Callable[..., Answer], *arguments: Any) -> Answer:
        """`write` what deletes; what SQLite keeps of it goes too, once nobody reads it."""
        answer = await self.write(what, *arguments)
        await self._in_thread(self._clear)
        return answer

    def call(self, what: Callable[..., Answer], *arguments: Any) -> Answer:
        """Call `what`, already in the thread, and note whether the database took it."""
        try:
            answer = what(self.database, *arguments)
        except exc.SQLAlchemyError as error:
            self.failed = not isinstance(error, ROLLED_BACK)
            raise
        self.failed = False
        return answer

    async def make_up(self) -> None:
        """Do again what did not succeed.

        Of writes a small one is tried: while this service is not ready, requests go elsewhere.
        """
        if self.failed:
            await self.write(rewrite)
        if not self._cleared:
            await self._in_thread(self._clear)

    async def _in_thread(self, call: Callable[..., Answer], *arguments: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self.thread, call, *arguments)

    def _clear(self) -> None:
        self._cleared = False
        self._cleared = clear_log(self.database)
