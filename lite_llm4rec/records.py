"""Every published number is a record: one JSON file per cell, written by a command."""

import json
import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from lite_llm4rec.errors import DataError
from lite_llm4rec.evaluate import Evaluation

BENCHMARKS = "benchmarks"  # speed and memory: written by benchmarks/, not evaluations
PAPER = "paper"  # the cells of the paper's tables, which have pages of their own


def write_record(
    path: Path,
    evaluation: Evaluation,
    *,
    model: str,
    preset: str,
    seed: int | None,
    seconds: float,
    details: dict[str, Any] | None = None,
) -> None:
    """Write what was measured as `results/<experiment>/<cell>.json`.

    Parameters
    ----------
    seconds : float
        Wall time of training.
    details : dict, optional
        What else explains the number: stages, settings, what limits it.
    """
    protocol = asdict(evaluation.protocol)
    record = {
        "experiment": path.parent.name,
        "cell": path.stem,
        "dataset": protocol.pop("dataset"),
        "sequences_sha256": protocol.pop("sequences_sha256"),
        "protocol": protocol,
        "model": model,
        "preset": preset,
        "seed": seed,
        "metrics": evaluation.metrics,
        "intervals": evaluation.intervals,
        "slices": evaluation.slices,
        "leaks": evaluation.leaks,
        "repeats": evaluation.repeats,
        "seconds": round(seconds, 1),
        "machine": machine(),
        "commit": commit(),
        **(details or {}),
    }
    _write(path, record)


def write_benchmark(path: Path, what: str, ratio: float, details: dict[str, Any]) -> str:
    """Write a benchmark's ratio, measured side by side in one run, and return the text.

    Parameters
    ----------
    what : str
        What is divided by what, in words.
    """
    record = {
        "experiment": BENCHMARKS,
        "cell": path.stem,
        "what": what,
        "ratio": round(ratio, 2),
        **details,
        "machine": machine(),
        "commit": commit(),
    }
    return _write(path, record)


def write_values(path: Path, values: dict[str, Any], details: dict[str, Any]) -> None:
    """Write what was counted or timed as `results/<…>/<experiment>/<cell>.json`.

    Parameters
    ----------
    values : dict
        The cell's numbers by name, units in the names.
    details : dict
        On what, and what explains them.
    """
    record = {
        "experiment": path.parent.name,
        "cell": path.stem,
        "values": values,
        **details,
        "machine": machine(),
        "commit": commit(),
    }
    _write(path, record)


def add_to_record(path: Path, values: dict[str, Any]) -> None:
    """Add to a record that was written."""
    _write(path, {**json.loads(path.read_text(encoding="utf-8")), **values})


def copy_record(path: Path, out: Path, values: dict[str, Any]) -> None:
    """Write what was measured for one experiment as another one's, with some other values."""
    record = json.loads(path.read_text(encoding="utf-8"))
    _write(out, {**record, "experiment": out.parent.name, "cell": out.stem, **values})


def read_benchmarks(root: Path) -> list[dict[str, Any]]:
    """Read the benchmarks under a folder of results, in the order of their names."""
    return read_folder(root / BENCHMARKS)


def read_records(root: Path) -> list[dict[str, Any]]:
    """Read the evaluations under a folder, in the order of their paths.

    Raises
    ------
    DataError
        When a file there is not a record.
    """
    special = [root / name for name in (BENCHMARKS, PAPER)]
    return [
        _read(path)
        for path in sorted(root.rglob("*.json"))
        if not any(path.is_relative_to(folder) for folder in special)
    ]


def read_folder(folder: Path) -> list[dict[str, Any]]:
    """Read the records that lie in a folder, in the order of their names.

    Raises
    ------
    DataError
        When a file there is not a record.
    """
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}", "Move it away.") from error
    if "experiment" not in record:
        raise DataError(f"{path} is not a record: it names no experiment.", "Move it away.")
    return record


def _write(path: Path, record: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    partial = path.with_suffix(f".{os.getpid()}.part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return text


def machine() -> dict[str, Any]:
    """Name the machine that a number was measured on."""
    info = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip()
        for line in (info.read_text().splitlines() if info.is_file() else [])
        if line.startswith("model name")
    ]
    found: dict[str, Any] = {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    initialised: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    if initialised:  # else nothing was computed there
        found["gpu"] = torch.cuda.get_device_name()
    return found


def commit() -> str | None:
    """Return the checkout's commit, with "+" when files have changed since; None for a copy.

    Of a copy, be it in another project's checkout or with a `.git` that has not kept up, the
    environment's `LITE_LLM4REC_COMMIT` tells the commit.
    """
    if told := os.environ.get("LITE_LLM4REC_COMMIT"):
        return told
    try:
        here = Path(__file__).parent
        _git("ls-files", "--error-unmatch", Path(__file__).name, cwd=here)
        name = _git("rev-parse", "--short=12", "HEAD", cwd=here)
        changed = _git(
            "status", "--porcelain", "--untracked-files=no", "--", ":/*.py", ":/*.toml", cwd=here
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return name + ("+" if changed else "")


def _git(*words: str, cwd: Path) -> str:
    return subprocess.run(
        ["git", *words], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout.strip()
