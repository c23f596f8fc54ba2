"""What a system costs: parameters, training, encoding the catalogue, answering a batch."""

from functools import partial
from typing import Any

import numpy as np
import torch
import transformers

from lite_llm4rec.data.batching import Batch, make_batch
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.item_vectors import catalogue_texts
from lite_llm4rec.models import LiteLLM4Rec, RankingModel
from lite_llm4rec.models.backbone import read_config
from lite_llm4rec.models.lite import JointText
from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.efficiency import (
    LITE,
    MILLISECONDS,
    Timed,
    batch_of,
    build,
    first_cases,
    recommend,
    turns,
)
from lite_llm4rec.paper.grid import Grid
from lite_llm4rec.paper.timing import Spread, clock, side_by_side, spread
from lite_llm4rec.preset import Preset
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.text.encoder import ItemLLM, encode_texts, load_tokenizer, tokenize
from lite_llm4rec.train import Task

PARAMETERS, TABLES = "parameters", "of these items' tables, head, vocabulary"
TRAINING, ENCODING = "training, s per 1,000 targets", "encoding all items, s"
ON_CPU = 32  # examples of a training step, at most: the presets' batches are a GPU's
LAYERS = (2, 4, 6, 12)


def measure_cost(name: str, timed: Timed, cell: Cell, bench: Bench) -> None:
    """Count and time one system; a training step is the preset's own, on a GPU with its batch."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    preset = timed.load(bench.t5)
    model = build(timed, dataset, split, bench.t5).to(bench.device)
    grid = Grid()
    grid.put(name, PARAMETERS, count(model))
    grid.put(name, TABLES, count_tables(model, len(dataset.catalogue)))
    batch = batch_of(split, first_cases(split), model.history_length, bench.device)
    work = {name: partial(recommend, model, batch)}
    seconds = side_by_side(work, turns(bench.device), bench.device)[name]
    grid.put(name, MILLISECONDS, spread([1000 * value for value in seconds]))
    assert preset.vector is not None
    grid.put(name, TRAINING, time_training(model, split, preset.vector, bench.device))
    if isinstance(model, LiteLLM4Rec):
        _item_llm(name, model, dataset, split, preset, grid, bench)
    remark = (
        "Training steps: on a GPU in the preset's batch and precision; on a CPU in fp32, of"
        f" {ON_CPU} examples at most."
    )
    grid.write(cell, bench, corner="system", unit="Counts, and what each column says",
               remark=remark)  # fmt: skip


def _item_llm(
    name: str,
    model: LiteLLM4Rec,
    dataset: Dataset,
    split: Split,
    preset: Preset,
    grid: Grid,
    bench: Bench,
) -> None:
    """Add what only the paper's system has: the catalogue's encoding, and the joint stage."""
    llm, tokenizer = fresh_item_llm(bench.t5), load_tokenizer(bench.t5)
    texts = catalogue_texts(dataset.catalogue, preset.text)
    longest = preset.text.max_tokens
    work = partial(
        encode_texts, llm, tokenizer, texts, max_tokens=longest, device=bench.device, progress=False
    )
    grid.put(name, ENCODING, clock(work, bench.device))
    joint = f"{name}, joint stage"
    model.text = JointText(llm, *tokenize(tokenizer, texts, longest)).to(bench.device)
    assert preset.joint is not None and model.items.vectors is not None
    model.items.vectors.requires_grad_(False)
    grid.put(joint, PARAMETERS, count(model))
    grid.put(joint, TRAINING, time_training(model, split, preset.joint, bench.device))


def time_layers(cell: Cell, bench: Bench) -> None:
    """Time Recommendation LLMs of T5-small's width and other depths, side by side."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    grid, works = Grid(), {}
    for layers in LAYERS:
        name = f"{layers} layers"
        timed = Timed(LITE["Lite-LLM4Rec"].preset, (f"model.shape={{num_layers={layers}}}",))
        model = build(timed, dataset, split, bench.t5).to(bench.device)
        grid.put(name, PARAMETERS, count(model))
        batch = batch_of(split, first_cases(split), model.history_length, bench.device)
        works[name] = partial(recommend, model, batch)
    for name, seconds in side_by_side(works, turns(bench.device), bench.device).items():
        grid.put(name, MILLISECONDS, spread([1000 * value for value in seconds]))
    grid.write(cell, bench, corner="Recommendation LLM", unit="Counts, and what each column says")


def count(model: RankingModel) -> int:
    """Count parameters; those that stand in several places count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_tables(model: RankingModel, n_items: int) -> int:
    """Count the parameters that have a row per item or per word: what a larger catalogue grows."""
    vocabulary: Any = getattr(getattr(model, "t5", None), "shared", None)
    words = [] if vocabulary is None else [vocabulary.weight]
    items = [value for value in model.parameters() if value.shape[:1] == (n_items,)]
    return sum(value.numel() for value in {id(value): value for value in [*words, *items]}.values())


def fresh_item_llm(t5: str) -> ItemLLM:
    """Make an Item LLM of T5-small's shape, with weights drawn anew."""
    return ItemLLM(transformers.T5EncoderModel(read_config(t5, from_scratch=True, shape={}))).eval()


def time_training(model: RankingModel, split: Split, stage: StageConfig, device: str) -> Spread:
    """Time training steps as `fit` takes them, in seconds per 1,000 targets taught."""
    task = Task(model.train(), split, stage, seed=0).to(device)
    optimizer = task.configure_optimizers()["optimizer"]
    examples, log = task.examples(0), split.interactions
    size = stage.batch if device == "cuda" else min(stage.batch, ON_CPU)
    found = []
    for step in range(turns(device) + 1):
        rows = np.arange(step * size, (step + 1) * size) % len(examples)
        mine = examples.take(rows)
        batch = make_batch(log.items, mine.starts, mine.targets, log.users)
        seconds = clock(partial(_step, task, optimizer, batch, device), device)
        found.append(1000 * seconds / model.taught(batch))
    model.eval()
    return spread(found[1:])


@torch.enable_grad()
def _step(task: Task, optimizer: Any, batch: Batch, device: str) -> None:
    half = device == "cuda" and task.stage.precision != "fp32"
    with torch.autocast(device, torch.bfloat16, enabled=half):
        loss: Any = task.loss(batch.to(device))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
