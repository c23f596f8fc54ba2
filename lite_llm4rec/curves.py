"""The training curves of all stages as one CSV text."""

import csv
import io
from pathlib import Path

from lite_llm4rec.metrics import CASE_METRICS

COLUMNS = ("stage", "epoch", "loss", *CASE_METRICS)


def write_curves(state: Path, stages: list[str]) -> str:
    """Gather what Lightning logged of each stage under `state`, one row per validated epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for stage in stages:
        epochs: dict[str, dict[str, str]] = {}
        for logged in sorted((state / stage).glob("curves-*/metrics.csv")):
            for row in _rows(logged):
                values = {key: value for key, value in row.items() if value}
                epochs.setdefault(row["epoch"], {"stage": stage}).update(values)
        writer.writerows(row for row in epochs.values() if "recall@10" in row)
    return text.getvalue()


def next_version(folder: Path) -> str:
    """Name the curves of one more run of a stage: a resumed run keeps those before it."""
    return f"curves-{len(list(folder.glob('curves-*'))):03}"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
