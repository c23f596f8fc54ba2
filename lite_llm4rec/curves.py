"""The training curves of all stages as one CSV text."""

import csv
import io
from pathlib import Path

COLUMNS = ("stage", "epoch", "loss", "recall@10", "recall@20", "ndcg@10", "ndcg@20", "mrr")


def write_curves(state: Path, stages: list[str]) -> str:
    """Gather what Lightning logged of each stage under `state`, one row per validated epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for stage in stages:
        epochs: dict[str, dict[str, str]] = {}
        logged = state / stage / "curves" / "metrics.csv"
        if not logged.is_file():
            continue
        with logged.open(newline="") as file:
            for row in csv.DictReader(file):
                values = {key: value for key, value in row.items() if value}
                epochs.setdefault(row["epoch"], {"stage": stage}).update(values)
        writer.writerows(row for row in epochs.values() if "recall@10" in row)
    return text.getvalue()
