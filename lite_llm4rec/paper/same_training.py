"""A training that stands in several tables: measured once, with a record in each."""

import json
import shutil
from pathlib import Path
from typing import Any

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.paper.cell import Bench, Cell, is_cut, whole_settings
from lite_llm4rec.records import copy_record


def take_over(cell: Cell, bench: Bench) -> bool:
    """Copy what another table's cell of this name has measured, and its run folder if it is here.

    Returns
    -------
    bool
        Whether there was one of the same settings, and of the same budget where that ended it.
    """
    own = cell.record(bench)
    for path in sorted(bench.records.glob(f"*/{own.name}")):
        if path == own or not _is_same(path, cell, bench):
            continue
        for beside in sorted(path.parent.glob(f"{path.stem}.*.json")):  # what needs no training
            copy_record(beside, own.with_name(beside.name), {})
        _copy_run(bench.runs / path.parent.name / cell.name, bench.runs / cell.exhibit / cell.name)
        copy_record(path, own, {**cell.about(), "trained_for": path.parent.name})
        return True
    return False


def _is_same(path: Path, cell: Cell, bench: Bench) -> bool:
    record = json.loads(path.read_text(encoding="utf-8"))
    if "metrics" not in record or "settings" not in record or cell.settings is None:
        return False
    if record["budget"] != bench.budget and (is_cut(record) or _takes_longer(record, bench)):
        return False
    try:
        before = whole_settings(record["settings"])
    except ConfigError:  # of settings that are no more
        return False
    return before == whole_settings(cell.settings(cell, bench))


def _takes_longer(record: dict[str, Any], bench: Bench) -> bool:
    return bench.budget is not None and record["seconds"] > bench.budget


def _copy_run(folder: Path, out: Path) -> None:
    """Copy a run folder in place of what another training may have left there."""
    if folder.is_dir():
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(folder, out)
