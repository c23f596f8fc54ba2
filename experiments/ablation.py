"""Train a table of variants and keep what each reached on validation; test is never read.

    python experiments/ablation.py experiments/toys.toml results/ablation-toys

The TOML names the data set, the base settings, and cells that change some of them. Cells whose
record exists are skipped, so that a stopped search goes on.
"""

import argparse
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import torch

from lite_llm4rec.config import override, to_dict
from lite_llm4rec.data.sources import load
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.preset import preset_from_dict
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_record


def run_cell(plan: dict[str, Any], cell: dict[str, Any], order: int, path: Path) -> str:
    dataset = load(plan["data"])
    split = leave_one_out(dataset.interactions)
    settings = override({"name": cell["name"], **plan["base"]}, cell.get("set", []))
    preset = preset_from_dict(settings)
    with tempfile.TemporaryDirectory() as folder:
        model = Recommender.fit(
            dataset, preset, split=split, folder=folder, device="cpu", measure=("valid",)
        )
    found = model.evaluate(dataset, split, "valid")
    stage = model.stages[-1]
    write_record(
        path,
        found,
        model=preset.model.kind,
        preset=cell["name"],
        seed=preset.seed,
        seconds=stage["seconds"],
        details={
            "order": order,
            "question": cell["question"],
            "changed": cell.get("set", []),
            "epochs": stage["epochs"],
            "settings": to_dict(preset),
        },
    )
    metrics = found.metrics
    return f"R@10 {metrics['recall@10']:.4f}  N@10 {metrics['ndcg@10']:.4f}  {stage}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cells", help="names, comma-separated; by default all")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    wanted = arguments.cells.split(",") if arguments.cells else []
    plan = tomllib.loads(arguments.plan.read_text(encoding="utf-8"))
    for order, cell in enumerate(plan["cell"]):
        path = arguments.out / f"{cell['name']}.json"
        if path.exists() or (wanted and cell["name"] not in wanted):
            continue
        print(cell["name"], run_cell(plan, cell, order, path), flush=True)


if __name__ == "__main__":
    main()
