import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lite_llm4rec.serve.batcher import Batcher
from lite_llm4rec.serve.metrics import Metrics
from lite_llm4rec.serve.problems import TooLarge, TooMany, Unavailable


def with_batcher(
    call: Callable[[list[int]], list[Any]],
    what: Callable[[Batcher[int, Any]], Awaitable[Any]],
    **settings: Any,
) -> Any:
    """Run `what` on a batcher that is stopped behind it."""

    async def body() -> Any:
        chosen = {"queue": 100, "size": 8, "wait": 0.0, "timeout": 5.0, **settings}
        with ThreadPoolExecutor(1) as thread:
            batcher: Batcher[int, Any] = Batcher("test", call, thread, Metrics(), **chosen)
            batcher.start()
            try:
                return await what(batcher)
            finally:
                await batcher.stop()

    return asyncio.run(body())


def doubled(asked: list[int]) -> list[int]:
    return [2 * one for one in asked]


def test_what_comes_during_a_call_goes_into_the_next_one():
    sizes: list[int] = []

    def slow(asked: list[int]) -> list[int]:
        sizes.append(len(asked))
        time.sleep(0.02)
        return doubled(asked)

    async def ask(batcher: Batcher[int, int]) -> list[list[int]]:
        return await asyncio.gather(*(batcher.ask(number) for number in range(20)))

    answers = with_batcher(slow, ask, wait=0.005)
    assert answers == [[2 * number] for number in range(20)]
    assert sizes == [8, 8, 4]


def test_who_comes_alone_does_not_wait_and_a_crowd_does():
    async def ask(batcher: Batcher[int, int]) -> tuple[float, float]:
        started = time.perf_counter()
        await batcher.ask(1)
        alone = time.perf_counter() - started
        await batcher.ask(1, 2)
        started = time.perf_counter()
        await batcher.ask(3)
        return alone, time.perf_counter() - started

    alone, after_a_crowd = with_batcher(doubled, ask, wait=0.3)
    assert alone < 0.3 <= after_a_crowd


def test_requests_that_belong_together_keep_their_order():
    assert with_batcher(doubled, lambda batcher: batcher.ask(*range(30))) == doubled(
        list(range(30))
    )


def test_only_the_culprit_fails():
    def call(asked: list[int]) -> list[int]:
        if 3 in asked:
            raise ValueError("three")
        return doubled(asked)

    async def ask(batcher: Batcher[int, int]) -> list[Any]:
        asking = (batcher.ask(number) for number in range(6))
        return await asyncio.gather(*asking, return_exceptions=True)

    found = with_batcher(call, ask, wait=0.005)
    assert [type(one) for one in found] == [list, list, list, ValueError, list, list]


def test_what_may_have_been_done_is_not_done_again():
    done: list[int] = []

    def call(asked: list[int]) -> list[int]:
        done.extend(asked)
        if 3 in asked:
            raise ConnectionError("nobody knows whether it was written")
        return doubled(asked)

    async def ask(batcher: Batcher[int, int]) -> list[Any]:
        return await asyncio.gather(*(batcher.ask(n) for n in range(6)), return_exceptions=True)

    found = with_batcher(call, ask, again_after=(ValueError,))
    assert [type(one) for one in found] == [ConnectionError] * 6
    assert done == list(range(6))


def test_who_has_gone_is_not_asked_for_again():
    done: list[int] = []

    def call(asked: list[int]) -> list[int]:
        done.extend(asked)
        time.sleep(0.2)
        raise ValueError("all")

    async def ask(batcher: Batcher[int, int]) -> None:
        with pytest.raises(Unavailable):
            await batcher.ask(0, 1, 2)

    with_batcher(call, ask, timeout=0.05)
    assert done == [0, 1, 2]


def test_more_than_the_queue_ever_holds_is_too_large():
    with pytest.raises(TooLarge) as refused:
        with_batcher(doubled, lambda batcher: batcher.ask(*range(5)), queue=4)
    assert refused.value.status == 413 and not refused.value.retry_after


def test_a_full_queue_refuses_and_takes_nothing_in():
    release = threading.Event()
    seen: list[int] = []

    def call(asked: list[int]) -> list[int]:
        release.wait(5)
        seen.extend(asked)
        return doubled(asked)

    async def ask(batcher: Batcher[int, int]) -> Any:
        first = asyncio.create_task(batcher.ask(0))
        await asyncio.sleep(0.05)  # it is being answered
        second = asyncio.create_task(batcher.ask(1, 2))
        await asyncio.sleep(0)
        with pytest.raises(TooMany) as refused:
            await batcher.ask(3, 4)
        assert refused.value.status == 429 and refused.value.retry_after > 0
        third = asyncio.create_task(batcher.ask(5))
        await asyncio.sleep(0)
        release.set()
        return await asyncio.gather(first, second, third)

    assert with_batcher(call, ask, queue=3) == [[0], [2, 4], [10]]
    assert seen == [0, 1, 2, 5]


def test_who_waits_too_long_is_told_and_not_computed_for():
    release = threading.Event()
    seen: list[int] = []

    def call(asked: list[int]) -> list[int]:
        release.wait(5)
        seen.extend(asked)
        return doubled(asked)

    async def ask(batcher: Batcher[int, int]) -> list[int]:
        first = asyncio.create_task(batcher.ask(0))
        await asyncio.sleep(0.02)
        with pytest.raises(Unavailable) as late:
            await batcher.ask(1)
        assert late.value.status == 503 and late.value.retry_after > 0
        with pytest.raises(Unavailable):
            await first
        release.set()
        return await batcher.ask(2)

    assert with_batcher(call, ask, timeout=0.1) == [4]
    assert seen == [0, 2]


def test_what_waits_at_the_end_is_answered():
    def slow(asked: list[int]) -> list[int]:
        time.sleep(0.02)
        return doubled(asked)

    async def ask(batcher: Batcher[int, int]) -> list[list[int]]:
        tasks = [asyncio.create_task(batcher.ask(number)) for number in range(20)]
        await asyncio.sleep(0)
        await batcher.stop()
        assert not batcher.working
        return await asyncio.gather(*tasks)

    assert with_batcher(slow, ask) == [[2 * number] for number in range(20)]
