"""A training that stands in several tables: measured once, with a record in each."""

import json
import shutil
from pathlib import Path
from typing import Any

from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.records import copy_record


def take_over(cell: Cell, bench: Bench, settings: dict[str, Any]) -> bool:
    """Copy what another table's cell of this name has measured, and its run folder if it is here.

    Returns
    -------
    bool
        Whether there was one of the same settings and the same budget.
    """
    own = cell.record(bench)
    for path in sorted(bench.records.glob(f"*/{own.name}")):
        if path == own or not _is_same(path, bench, settings):
            continue
        for beside in sorted(path.parent.glob(f"{path.stem}.*.json")):  # what needs no training
            copy_record(beside, own.with_name(beside.name), {})
        _copy_run(bench.runs / path.parent.name / cell.name, bench.runs / cell.exhibit / cell.name)
        copy_record(path, own, {**cell.about(), "trained_for": path.parent.name})
        return True
    return False


def _is_same(path: Path, bench: Bench, settings: dict[str, Any]) -> bool:
    record = json.loads(path.read_text(encoding="utf-8"))
    same = record.get("settings") == json.loads(json.dumps(settings))
    return "metrics" in record and same and record["budget"] == bench.budget


def _copy_run(folder: Path, out: Path) -> None:
    if folder.is_dir() and not out.exists():
        shutil.copytree(folder, out)
