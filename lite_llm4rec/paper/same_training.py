"""A training that stands in several tables: measured once, with a record in each."""

import json
import shutil
from pathlib import Path
from typing import Any

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.paper.cell import Bench, Cell, is_cut, whole_settings
from lite_llm4rec.paper.rows import is_gpu
from lite_llm4rec.records import copy_record


def take_measured(cell: Cell, bench: Bench) -> bool:
    """Copy what another table's cell has measured, and its run folder if it is here.

    Returns
    -------
    bool
        Whether there was one of the same settings on the same histories, and of the same budget
        where that ended it. It may be called otherwise there. What was copied from this very cell
        before does not count: who deletes its record wants it measured anew.
    """
    own = cell.record(bench)
    for path, record in _others(cell, bench):
        copied = record.get("trained_for") == cell.exhibit
        if not copied and _is_same(record, cell, bench):
            trained_for = record.get("trained_for", path.parent.name)
            _copy(path, own, bench, {**cell.about(), "trained_for": trained_for})
            return True
    return False


def renew_copies(cell: Cell, bench: Bench) -> None:
    """Put what a cell has measured into the tables that had taken it over before."""
    settings = json.loads(cell.record(bench).read_text(encoding="utf-8"))["settings"]
    for path, record in _others(cell, bench):
        copied = record.get("trained_for") == cell.exhibit
        if copied and _whole(record["settings"]) == _whole(settings):
            kept = ("dataset", "row", "paper", "trained_for")
            _copy(cell.record(bench), path, bench, {name: record[name] for name in kept})


def _others(cell: Cell, bench: Bench) -> list[tuple[Path, dict[str, Any]]]:
    """Read the records of the same data set and seed, of all tables."""
    paths = sorted(bench.records.glob(f"*/{cell.data}.*.{cell.seed}.json"))
    own = cell.record(bench)
    return [(path, json.loads(path.read_text(encoding="utf-8"))) for path in paths if path != own]


def _copy(path: Path, out: Path, bench: Bench, values: dict[str, Any]) -> None:
    """Copy a record, those of what needs no training beside it, and the run folder."""
    for beside in sorted(path.parent.glob(f"{path.stem}.*.json")):
        copy_record(beside, out.with_name(beside.name.replace(path.stem, out.stem, 1)), {})
    _copy_run(*(bench.runs / one.parent.name / one.stem for one in (path, out)))
    copy_record(path, out, values)


def _is_same(record: dict[str, Any], cell: Cell, bench: Bench) -> bool:
    if "metrics" not in record or "settings" not in record or cell.settings is None:
        return False
    if _is_top_n(record):
        return False
    if is_cut(record) and is_gpu(record) != (bench.device == "cuda"):
        return False
    if record["budget"] != bench.budget and (is_cut(record) or _takes_longer(record, bench)):
        return False
    if record["sequences_sha256"] != bench.dataset(cell.data).interactions.sequences_sha256:
        return False
    try:
        wanted = cell.settings(cell, bench)
    except ConfigError:  # which cannot be here
        return False
    return _whole(record["settings"]) == _whole(wanted)


def _whole(settings: dict[str, Any]) -> dict[str, Any]:
    """Fill in what an older version did not have; settings that are no more stay as they are."""
    try:
        return whole_settings(settings)
    except ConfigError:
        return settings


def _is_top_n(record: dict[str, Any]) -> bool:
    """Whether it was fine-tuned and tested on a few given items, Figure 5's task."""
    return bool(record["protocol"]["candidates"] == "given")


def _takes_longer(record: dict[str, Any], bench: Bench) -> bool:
    return bench.budget is not None and record["seconds"] > bench.budget


def _copy_run(folder: Path, out: Path) -> None:
    """Copy a run folder in place of what another training may have left there."""
    if folder.is_dir():
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder, out)
