"""Train a table of variants and keep what each reached on validation; test is never read.

    python experiments/ablation.py experiments/toys.toml results/ablation-toys

The TOML names the data set, the base settings (or the preset that has them), cells that change some
of them and, where each has the same time, `max_seconds`. Cells whose record exists are skipped, and
one that was stopped goes on from its checkpoint under `runs/`.
"""

import argparse
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import torch

from lite_llm4rec.config import difference, override, to_dict
from lite_llm4rec.data.sources import load
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.errors import nearest
from lite_llm4rec.preset import Preset, load_preset, preset_from_dict
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_record


def preset_of(plan: dict[str, Any], cell: dict[str, Any]) -> Preset:
    base = plan["base"]
    settings = to_dict(load_preset(base)) if isinstance(base, str) else base
    return preset_from_dict(override({**settings, "name": cell["name"]}, cell.get("set", [])))


def tell_changes(plan: dict[str, Any], cell: dict[str, Any], path: Path) -> None:
    """Say where a cell that is done was done by another plan."""
    made = preset_from_dict(json.loads(path.read_text(encoding="utf-8"))["settings"])
    change = difference(to_dict(made), to_dict(preset_of(plan, cell)))
    if change:
        print(f"{path} was made otherwise: {change}. Delete it to have it made again.", flush=True)


def run_cell(
    plan: dict[str, Any], cell: dict[str, Any], order: int, path: Path, device: str
) -> str:
    dataset = load(plan["data"])
    split = leave_one_out(dataset.interactions)
    preset, max_seconds = preset_of(plan, cell), plan.get("max_seconds")
    folder = Path("runs") / path.parent.name / f"{path.stem}.training"
    model = Recommender.fit(
        dataset, preset, split=split, folder=folder, device=device, max_seconds=max_seconds
    )
    found = model.evaluate(dataset, split, "valid", device=device)
    stage = model.stages[-1]
    write_record(
        path,
        found,
        model=preset.model.kind,
        preset=cell["name"],
        seed=preset.seed,
        seconds=sum(one["seconds"] for one in model.stages),
        details={
            "order": order,
            "question": cell["question"],
            "changed": cell.get("set", []),
            "epochs": stage["epochs"],
            "stages": model.stages,
            "max_seconds": max_seconds,
            "settings": to_dict(preset),
        },
    )
    shutil.rmtree(folder)
    metrics = found.metrics
    return f"R@10 {metrics['recall@10']:.4f}  N@10 {metrics['ndcg@10']:.4f}  {stage}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--cells", help="names, comma-separated; by default all")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    plan = tomllib.loads(arguments.plan.read_text(encoding="utf-8"))
    names = [cell["name"] for cell in plan["cell"]]
    wanted = arguments.cells.split(",") if arguments.cells else names
    for name in set(wanted) - set(names):
        parser.error(f"there is no cell {name}; {nearest(name, names)}")
    for order, cell in enumerate(plan["cell"]):
        path = arguments.out / f"{cell['name']}.json"
        if cell["name"] not in wanted:
            continue
        if path.exists():
            tell_changes(plan, cell, path)
            continue
        print(cell["name"], run_cell(plan, cell, order, path, arguments.device), flush=True)


if __name__ == "__main__":
    main()
