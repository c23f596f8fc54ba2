"""Figure 5: systems fine-tuned on the Top-N task, as printed and with the history in front."""

import shutil
from dataclasses import asdict, replace
from typing import Any

import pyarrow.parquet
import torch

from lite_llm4rec.config import to_dict
from lite_llm4rec.evaluate import Evaluation
from lite_llm4rec.machine import Machine
from lite_llm4rec.models import GenerativeRec, Popularity, title
from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.systems import BROUGHT, System, preset_of, public_settings, run_system
from lite_llm4rec.preset import preset_split
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_record
from lite_llm4rec.store import CASES, CONFIG
from lite_llm4rec.top_n import evaluate_top_n
from lite_llm4rec.top_n_training import fine_tune
from lite_llm4rec.training_folder import claim

HELD = "held to the candidates"


def choose(system: System, history: bool, cell: Cell, bench: Bench) -> None:
    """Train a system on the next item, fine-tune it on the Top-N task, and write its record.

    Each takes half of the budget; both forms start from the same run on the next item.

    Raises
    ------
    NotHereError
        When it wants a GPU, or weights that cannot be had.
    """
    recommender = _trained(system, cell, bench)
    preset, dataset = recommender.preset, bench.dataset(cell.data)
    stage = preset.vector or preset.joint
    assert stage is not None
    folder = bench.runs / cell.exhibit / f"{cell.name}.training"
    split = preset_split(preset, dataset)
    claim(folder, dataset, preset, split, None, recommender.model, _half(bench))
    fitted = fine_tune(
        recommender.model,
        split,
        stage,
        folder,
        history=history,
        seed=preset.seed,
        machine=Machine(bench.device),
        name="top-n stage",
        max_seconds=_half(bench),
    )
    recommender.stages.append({"stage": "top-n", **asdict(fitted)})
    _measure(recommender, history, cell, bench)
    shutil.rmtree(folder)


def _half(bench: Bench) -> float | None:
    return None if bench.budget is None else bench.budget / 2


def _trained(system: System, cell: Cell, bench: Bench) -> Recommender:
    """Return the system trained on the next item: from the other form's cell, or now.

    Its folder names the time that it had, and where.
    """
    half, dataset = _half(bench), bench.dataset(cell.data)
    had = bench.device if half is None else f"{bench.device}-{half:g}s"
    folder = bench.runs / cell.exhibit / f"{replace(cell, row=system.row).name}.{had}"
    wanted = preset_of(system, dataset, cell.seed or 0, bench.t5)
    if (folder / CONFIG).is_file():
        found = Recommender.load(folder)
        same = found.sequences_sha256 == dataset.interactions.sequences_sha256
        if same and found.preset == (replace(wanted, joint=None) if found.brought else wanted):
            return found
    run_system(system, cell, bench, folder, _half(bench))
    return Recommender.load(folder)


def _measure(recommender: Recommender, history: bool, cell: Cell, bench: Bench) -> None:
    """Measure a fine-tuned model; the cell's own record, by which it is done, comes last.

    P5 and POD write freely, as in their code, where the answer need not be a candidate. What they
    rank when held to the candidates is a record beside, and so is popularity.
    """
    dataset, model = bench.dataset(cell.data), recommender.model
    split = preset_split(recommender.preset, dataset)
    popular = Popularity(torch.from_numpy(split.train_counts()))
    path = cell.record(bench).with_name(f"{cell.data}.popularity.json")
    found = evaluate_top_n(popular, dataset, split, history=history)
    write_record(path, found, model="Popularity", preset="", seed=None, seconds=0.0)
    how: dict[str, Any] = {"history": history, "device": bench.device}
    if isinstance(model, GenerativeRec):
        free, model.config = model.config, replace(model.config, constrained=True)
        held = replace(cell, row=f"{cell.row}, {HELD}")
        _write(evaluate_top_n(model, dataset, split, **how), recommender, held, bench)
        model.config = free
    found = evaluate_top_n(model, dataset, split, **how)
    _write(found, recommender, cell, bench)


def _write(found: Evaluation, recommender: Recommender, cell: Cell, bench: Bench) -> None:
    """Write a record, and the cases where a run would have them, so that users can be paired."""
    preset, stages = recommender.preset, recommender.stages
    folder = bench.runs / cell.exhibit / cell.name
    folder.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(found.cases, folder / CASES)
    write_record(
        cell.record(bench),
        found,
        model=title(to_dict(preset.model)),
        preset=preset.name,
        seed=preset.seed,
        seconds=sum(stage["seconds"] for stage in stages),
        details={
            **cell.about(),
            "budget": bench.budget,
            "stages": stages,
            "settings": public_settings(preset, bench),
            **({"remark": BROUGHT} if recommender.brought else {}),
        },
    )
