"""Parquet → leave-one-out split: seconds and memory, ours against pandas, both in one run.

Each measurement is a process of its own, so that its peak memory is its own.
"""

import argparse
import math
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parents[1] / "results" / "benchmarks" / "prepare.json"
THREADS = 2
TURNS = 3


def make(path: Path, rows: int, seed: int) -> None:
    import pyarrow.parquet as pq

    from lite_llm4rec.data.synthetic import big_log

    users, items = math.ceil(rows / 40), math.ceil(rows / 200)
    pq.write_table(big_log(users, items, rows, seed), path)


def ours(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from lite_llm4rec.data.interactions import Interactions
    from lite_llm4rec.data.split import leave_one_out

    pa.set_cpu_count(THREADS)
    start = time.perf_counter()
    log = Interactions.from_table(path)
    split = leave_one_out(log)
    seconds = time.perf_counter() - start
    targets = log.item_ids.take(pa.array(log.items[split.test.positions]))
    return measured(seconds, len(targets), pc.sum(targets).as_py())


def with_pandas(path: Path) -> dict[str, Any]:
    import pandas as pd
    import pyarrow as pa

    pa.set_cpu_count(THREADS)
    start = time.perf_counter()
    frame = pd.read_parquet(path).sort_values("timestamp", kind="stable")
    codes, items = pd.factorize(frame["item_id"])
    frame = frame.assign(item=codes)
    histories = frame.groupby("user_id")["item"].agg(list)
    train = [history[:-2] if len(history) >= 3 else history for history in histories]
    valid = [history[-2] for history in histories if len(history) >= 3]
    test = [history[-1] for history in histories if len(history) >= 3]
    seconds = time.perf_counter() - start
    assert sum(map(len, train)) + len(valid) + len(test) == len(frame)
    return measured(seconds, len(test), int(items.to_numpy()[test].sum()))


def measured(seconds: float, cases: int, checksum: int) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux gives KiB
    return {"seconds": seconds, "peak_rss_mb": peak, "cases": cases, "checksum": checksum}


def alone(task: Callable[..., Any], *arguments: Any) -> Any:
    """Run a task in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()


def summary(turns: list[dict[str, Any]], rows: int) -> dict[str, Any]:
    seconds = statistics.median(turn["seconds"] for turn in turns)
    return {
        "seconds": round(seconds, 2),
        "rows_per_s": round(rows / seconds),
        "peak_rss_mb": round(max(turn["peak_rss_mb"] for turn in turns)),
        "all_seconds": [round(turn["seconds"], 2) for turn in turns],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()

    turns: dict[str, list[dict[str, Any]]] = {"ours": [], "pandas": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        alone(make, path, options.rows, options.seed)
        for _ in range(TURNS):  # in turn, so that a busy machine slows both
            turns["ours"].append(alone(ours, path))
            turns["pandas"].append(alone(with_pandas, path))
    answers = {(turn["cases"], turn["checksum"]) for each in turns.values() for turn in each}
    assert len(answers) == 1, f"The two do not prepare the same split: {answers}"

    # Only now: torch in this process would count in the peak of the processes it starts.
    from lite_llm4rec.records import write_benchmark

    both = {name: summary(each, options.rows) for name, each in turns.items()}
    print(
        write_benchmark(
            options.out,
            f"Parquet with {options.rows:,} interactions → leave-one-out split: seconds of a pandas"
            f" preparation ÷ ours ({both['ours']['seconds']} s, peak"
            f" {both['ours']['peak_rss_mb']:,} MB against {both['pandas']['peak_rss_mb']:,} MB)",
            both["pandas"]["seconds"] / both["ours"]["seconds"],
            {"rows": options.rows, "seed": options.seed, **both},
        )
    )


if __name__ == "__main__":
    main()
