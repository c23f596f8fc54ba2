"""The service for hours: does it slow down, fail, or grow?

    python benchmarks/serve_soak.py runs/demo/causal --minutes 120

Requests of all kinds come at a steady rate, from users that grow in number: recommendations for
histories and for users, events, searches, neighbours. Each part of the time tells its latency,
errors and the process' resident memory. Beside the events that were answered stands how many the
database holds at the end.
"""

import argparse
import asyncio
import json
import sqlite3
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import torch
from serve_load import client_of, requests_of, resident, served, summary

from lite_llm4rec.records import write_benchmark

RESULT = Path(__file__).parents[1] / "results" / "benchmarks" / "serve_soak.json"
KINDS = {"history": 0.6, "event": 0.2, "user": 0.1, "search": 0.05, "similar": 0.05}
PARTS = 12


async def soak(
    url: str, pid: int, bodies: list[dict[str, Any]], rate: float, minutes: float
) -> tuple[list[dict[str, float]], Counter[str]]:
    """Ask at a rate for so long; what each part saw, and how many of each kind were answered."""
    rng = np.random.default_rng(0)
    asked = 0
    answered: Counter[str] = Counter()
    parts: list[dict[str, float]] = []
    async with client_of(url, 256) as client:
        for _ in range(PARTS):
            times: list[float] = []
            failed = 0

            async def one(due: float, kind: str, place: int, times: list[float] = times) -> None:
                nonlocal failed
                user = f"u{rng.integers(1 + place // 20)}"
                good = await _answered(client, kind, bodies[place % len(bodies)], user, place)
                failed += not good
                answered[kind] += good
                times.append(time.perf_counter() - due)

            started, tasks = time.perf_counter(), []
            due = started + np.cumsum(rng.exponential(1 / rate, int(rate * 60 * minutes / PARTS)))
            for at in due:
                await asyncio.sleep(max(0.0, at - time.perf_counter()))
                kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
                tasks.append(asyncio.create_task(one(at, kind, asked)))
                asked += 1
            await asyncio.gather(*tasks)
            parts.append({**summary(times), "errors": failed, "resident_mb": resident(pid)})
            print(json.dumps(parts[-1]), flush=True)
    return parts, answered


async def _answered(
    client: aiohttp.ClientSession, kind: str, body: dict[str, Any], user: str, place: int
) -> bool:
    """Ask one request of a kind; whether it was answered."""
    item = body["history"][0]
    event = {"user": user, "item": item, "time": 1_700_000_000 + place}
    requests: dict[str, tuple[str, str, dict[str, Any]]] = {
        "history": ("POST", "/recommend", {"json": body}),
        "event": ("POST", "/events", {"json": {"events": [event]}}),
        "user": ("POST", "/recommend", {"json": {"user": user, "k": 10}}),
        "search": ("GET", "/search", {"params": {"text": f"something like number {place}"}}),
        "similar": ("GET", "/similar", {"params": {"item": str(item)}}),
    }
    method, path, rest = requests[kind]
    try:
        async with client.request(method, path, **rest) as answer:
            await answer.read()
            return answer.status < 300
    except (aiohttp.ClientError, TimeoutError):
        return False


def stored_events(state: Path) -> int:
    """Count the events in the service's database."""
    with sqlite3.connect(state / "state.db") as database:
        return int(database.execute("SELECT count(*) FROM events").fetchone()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)  # as the service is told, for the record
    bodies = requests_of(options.run, seed=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served("service", options.run, options.threads, folder) as (url, pid):
            parts, answered = asyncio.run(soak(url, pid, bodies, options.rate, options.minutes))
        stored = stored_events(folder / "state")
    details = {
        "minutes": options.minutes,
        "rate": options.rate,
        "answered": dict(answered),
        "events_stored": stored,
        "parts": parts,
    }
    growth = parts[-1]["resident_mb"] / parts[len(parts) // 2 - 1]["resident_mb"]
    what = "resident memory at the end ÷ at half time, of the service under a steady mixed load"
    print(write_benchmark(options.out, what, growth, details))


if __name__ == "__main__":
    main()
