"""Timing: turns, order, and what is made of them."""

import pytest

from lite_llm4rec.paper import timing


def test_turns_alternate_and_the_first_does_not_count(monkeypatch: pytest.MonkeyPatch):
    ran: list[str] = []
    costs = {"slow": iter([100.0, 4.0, 2.0, 9.0]), "fast": iter([50.0, 1.0, 1.0, 3.0])}
    clock = [0.0]

    def work(name: str) -> None:
        ran.append(name)
        clock[0] += next(costs[name])

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    found = timing.side_by_side(
        {"slow": lambda: work("slow"), "fast": lambda: work("fast")}, turns=3
    )
    assert ran == ["slow", "fast"] * 4
    assert found == {"slow": [4.0, 2.0, 9.0], "fast": [1.0, 1.0, 3.0]}
    assert timing.spread(found["slow"]) == (4.0, 2.0, 9.0)
    assert timing.ratio(found["slow"], found["fast"]) == (3.0, 2.0, 4.0)
