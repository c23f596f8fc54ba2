"""The service under load on loopback, beside the plainest one: eager torch in a FastAPI handler.

    python benchmarks/serve_load.py runs/demo/causal
    python benchmarks/serve_load.py --t5-small

The second takes a model of T5-small's shape on 3,706 items, with weights drawn (time does not
depend on them), and gives the service its fp32 export; the other service has the model itself.

Closed loop: so many clients, each asking again as soon as it has its answer. Open loop: requests
come at a rate, whether or not the ones before are answered; a request's time is counted from when
it was due. The two services take turns, so that what else the machine does meets both. What HTTP,
the client included, takes by itself is told by a FastAPI handler that does nothing. Memory is the
process' resident set. Client and service share the machine.
"""

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import httpx2 as httpx
import numpy as np
import pyarrow as pa
import torch

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.export import export
from lite_llm4rec.models import CatalogueFacts, LiteConfig, LiteLLM4Rec
from lite_llm4rec.preset import Preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_benchmark
from lite_llm4rec.stage_config import StageConfig

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
CLIENTS = (1, 8, 32)
RATES = (20, 50, 100)  # requests a second
LENGTH = 20
PAUSE = 0.002
N_ITEMS = 3706  # with LENGTH, the paper's on ML-1M
PLAIN = """
import sys
import torch
import uvicorn
from fastapi import FastAPI
from lite_llm4rec import Recommender

torch.set_num_threads(int(sys.argv[3]))
recommender = Recommender.load(sys.argv[1])
app = FastAPI()

@app.get("/health/ready")
def ready():
    return {}

@app.post("/empty")
async def empty(request: dict):
    return {}

@app.post("/recommend")
def recommend(request: dict):
    found = recommender.recommend([request["history"]], k=request["k"])
    rows = zip(found.ids[0], found.titles[0], found.scores[0])
    return {"items": [{"id": i, "title": t, "score": s} for i, t, s in rows]}

uvicorn.run(app, port=int(sys.argv[2]), log_level="warning")
"""


@contextmanager
def served(name: str, run: Path, threads: int, folder: Path) -> Iterator[tuple[str, int]]:
    """Start a service, and give its address and process number."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    ours = ["-m", "lite_llm4rec", "serve", str(run), "--port", str(port)]
    ours += ["--state", str(folder / "state"), "--threads", str(threads)]
    command = ours if name == "service" else ["-c", PLAIN, str(run), str(port), str(threads)]
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            time.sleep(0.2)
            try:
                httpx.get(f"{url}/health/ready").raise_for_status()
                break
            except httpx.HTTPError:
                assert process.poll() is None, (folder / f"{name}.log").read_text()
        else:
            raise TimeoutError((folder / f"{name}.log").read_text())
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(60)


def requests_of(run: Path, seed: int) -> list[dict[str, Any]]:
    """Draw histories of items of the catalogue."""
    ids = Recommender.load(run).catalogue.ids.to_pylist()
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(len(ids), min(LENGTH, len(ids) - 1), replace=False) for _ in range(512)]
    return [{"history": [ids[item] for item in row], "k": 10} for row in drawn]


async def closed(
    url: str, bodies: list[dict[str, Any]], clients: int, seconds: float, path: str = "/recommend"
) -> dict[str, float]:
    """Ask in a closed loop."""
    times: list[float] = []
    errors = 0
    ends = time.perf_counter() + seconds

    async def one(first: int, client: aiohttp.ClientSession) -> None:
        nonlocal errors
        place = first
        while time.perf_counter() < ends:
            started = time.perf_counter()
            answered = await _ask(client, bodies[place % len(bodies)], path)
            errors += not answered
            times.append(time.perf_counter() - started)
            place += clients

    async with client_of(url, clients) as client:
        await asyncio.gather(*(one(first, client) for first in range(clients)))
    return {**summary(times), "throughput": len(times) / seconds, "errors": errors}


async def opened(
    url: str, bodies: list[dict[str, Any]], rate: float, seconds: float
) -> dict[str, float]:
    """Ask in an open loop, with arrivals of a Poisson process."""
    times: list[float] = []
    errors = 0
    rng = np.random.default_rng(0)
    due = np.cumsum(rng.exponential(1 / rate, int(rate * seconds)))

    async def one(place: int, client: aiohttp.ClientSession, at: float) -> None:
        nonlocal errors
        answered = await _ask(client, bodies[place % len(bodies)])
        errors += not answered  # not in one line: what was read before an await may be old
        times.append(time.perf_counter() - at)

    async with client_of(url, 256) as client:
        started = time.perf_counter()
        asked = []
        for place, offset in enumerate(due):
            await asyncio.sleep(max(0.0, started + offset - time.perf_counter()))
            asked.append(asyncio.create_task(one(place, client, started + offset)))
        await asyncio.gather(*asked)
    return {**summary(times), "errors": errors}


async def _ask(
    client: aiohttp.ClientSession, body: dict[str, Any], path: str = "/recommend"
) -> bool:
    """Ask and read the answer; whether there was one."""
    try:
        async with client.post(path, json=body) as answer:
            await answer.read()
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def client_of(url: str, connections: int) -> aiohttp.ClientSession:
    """Open a client whose own work is small beside what it measures."""
    connector = aiohttp.TCPConnector(limit=connections)
    return aiohttp.ClientSession(url, connector=connector, timeout=aiohttp.ClientTimeout(60))


def summary(times: list[float]) -> dict[str, float]:
    cuts = np.quantile(times, [0.5, 0.95, 0.99]) * 1000
    return dict(zip(("p50_ms", "p95_ms", "p99_ms"), map(float, cuts), strict=True))


def resident(pid: int) -> float:
    """Read a process' resident memory in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid: int) -> float:
    """Read how long a process has computed."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")


def bare(
    run: Path, bodies: list[dict[str, Any]], threads: int, pause: float = 0.0
) -> dict[str, float]:
    """Time the model alone, in this process: p50 and computing per call, in milliseconds.

    With `pause` seconds between calls, as between a lone client's requests: a processor that has
    waited computes more slowly.
    """
    torch.set_num_threads(threads)
    recommender = Recommender.load(run)
    for body in bodies[:20]:  # warm
        recommender.recommend([body["history"]], k=10)
    times, computed = [], time.process_time()
    for body in bodies[:200]:
        time.sleep(pause)
        started = time.perf_counter()
        recommender.recommend([body["history"]], k=10)
        times.append(time.perf_counter() - started)
    computed = time.process_time() - computed
    return {"p50_ms": 1000 * statistics.median(times), "cpu_ms": 1000 * computed / len(times)}


def lone(
    url: str, pid: int, bodies: list[dict[str, Any]], seconds: float, path: str = "/recommend"
) -> dict[str, float]:
    """Ask as the only client, and tell what the process computes per request, too."""
    before = cpu_seconds(pid)
    found = asyncio.run(closed(url, bodies, 1, seconds, path))
    computed = (cpu_seconds(pid) - before) / (found["throughput"] * seconds)
    return {**found, "cpu_ms": 1000 * computed}


def draw_t5_small(folder: Path) -> tuple[Path, Path]:
    """Make a run folder of T5-small's shape, and its export."""
    items = pa.table(
        {"item_id": np.arange(N_ITEMS), "title": [f"Item {i}" for i in range(N_ITEMS)]}
    )
    catalogue, counts = Catalogue.from_table(items), np.ones(N_ITEMS, np.int64)
    config = LiteConfig(backbone="t5", from_scratch=True, items="id", history_length=LENGTH)
    none = np.empty((N_ITEMS, 0), np.float32)
    torch.manual_seed(0)
    facts = CatalogueFacts(torch.from_numpy(none), torch.from_numpy(counts))
    model = LiteLLM4Rec.create(config, facts).eval()
    preset = Preset("T5-small's shape, weights drawn", model=config, vector=StageConfig())
    drawn = Recommender(preset, model, catalogue, counts, none, [], [])
    export(drawn, folder / "exported")
    return drawn.save(folder / "run"), folder / "exported"


def measure(run: Path, exported: Path, seconds: float, threads: int) -> dict[str, Any]:
    """Measure both services in turn."""
    bodies = requests_of(run, seed=0)
    found: dict[str, Any] = {
        "model alone": bare(exported, bodies, threads),
        "model alone, with pauses": bare(exported, bodies, threads, PAUSE),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served("service", exported, threads, folder) as ours, \
             served("plain", run, threads, folder) as plain:  # fmt: skip
            both = {"service": ours, "plain": plain}
            for url, _ in both.values():
                asyncio.run(closed(url, bodies, 4, 2))  # warm
            found["empty handler, 1 clients"] = lone(*plain, bodies, seconds, "/empty")
            memory = {which: [resident(pid)] for which, (_, pid) in both.items()}
            for clients in CLIENTS:
                for which, (url, pid) in both.items():
                    key = f"{which}, {clients} clients"
                    if clients == 1:
                        found[key] = lone(url, pid, bodies, seconds)
                    else:
                        found[key] = asyncio.run(closed(url, bodies, clients, seconds))
            for rate in RATES:
                for which, (url, _) in both.items():
                    found[f"{which}, {rate} a second"] = asyncio.run(
                        opened(url, bodies, rate, seconds)
                    )
            for which, (_, pid) in both.items():
                memory[which].append(resident(pid))
    return {**found, "resident_mb": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--t5-small", action="store_true", help="instead of a run")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="the record; by default under results/benchmarks")
    options = parser.parse_args()
    if (options.run is None) != options.t5_small:
        parser.error("Name a run folder, or --t5-small.")
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        run = exported = options.run
        if options.t5_small:
            run, exported = draw_t5_small(Path(folder))
        found = measure(run, exported, options.seconds, options.threads)
        name = json.loads((run / "config.json").read_text())["preset"]["name"]
    many = CLIENTS[-1]
    ratio = (
        found[f"service, {many} clients"]["throughput"]
        / found[f"plain, {many} clients"]["throughput"]
    )
    which = "the service on an export" if options.t5_small else "the service"
    what = (
        f"requests a second with {many} clients: {which} ÷ eager torch in a FastAPI handler, {name}"
    )
    cell = "serve_load_t5_small" if options.t5_small else "serve_load"
    out = options.out or RESULTS / f"{cell}.json"
    print(write_benchmark(out, what, ratio, {"seconds_each": options.seconds, **found}))


if __name__ == "__main__":
    main()
