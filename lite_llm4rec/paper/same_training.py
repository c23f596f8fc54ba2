"""A training that stands in several tables: measured once, with a record in each."""

import json
import shutil
from pathlib import Path
from typing import Any

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.paper.cell import Bench, Cell, is_cut, whole_settings
from lite_llm4rec.paper.rows import is_gpu
from lite_llm4rec.records import copy_record


def take_over(cell: Cell, bench: Bench) -> bool:
    """Copy what another table's cell has measured, and its run folder if it is here.

    Returns
    -------
    bool
        Whether there was one of the same settings on the same histories, and of the same budget
        where that ended it. It may be called otherwise there.
    """
    own = cell.record(bench)
    for path in sorted(bench.records.glob(f"*/{cell.data}.*.{cell.seed}.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if path == own or not _is_same(record, cell, bench):
            continue
        for beside in sorted(path.parent.glob(f"{path.stem}.*.json")):  # what needs no training
            name = beside.name.replace(path.stem, own.stem, 1)
            copy_record(beside, own.with_name(name), {})
        _copy_run(bench.runs / path.parent.name / path.stem, bench.runs / cell.exhibit / cell.name)
        trained_for = record.get("trained_for", path.parent.name)
        copy_record(path, own, {**cell.about(), "trained_for": trained_for})
        return True
    return False


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
        before = whole_settings(record["settings"])
        return before == whole_settings(cell.settings(cell, bench))
    except ConfigError:  # of settings that are no more, or cannot be here
        return False


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
