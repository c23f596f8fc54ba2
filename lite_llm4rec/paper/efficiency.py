"""Time and input length of the systems, at the paper's shape and with weights drawn anew.

Weights do not change how long a pass takes, as long as outputs have the same length: a trained
model writes ids, which are shorter than the limit that an untrained one runs into. So the beam
search here is held to ids of the catalogue.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from lite_llm4rec.data.batching import pad
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.errors import DownloadError
from lite_llm4rec.models import MODELS, CatalogueFacts, GenerativeRec, SequenceModel
from lite_llm4rec.paper.cell import Bench, Cell, NotHereError
from lite_llm4rec.paper.timing import side_by_side
from lite_llm4rec.preset import load_preset
from lite_llm4rec.rank import top_k
from lite_llm4rec.records import write_values

Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # users, items, mask
BATCH = 32  # users, as in the paper
LIST = 20
MILLISECONDS = "ms per batch of 32 users"
HELD = ("model.constrained=true",)
SHORT = ("model.history_length=20",)
GENERATIVE = {"P5": "p5/t5-small", "POD": "pod/t5-small"}


@dataclass(frozen=True)
class Timed:
    """A system at the paper's shape, untrained."""

    preset: str
    settings: tuple[str, ...] = ()
    t5: bool = True


BERT4REC = {"BERT4Rec": Timed("bert4rec/long", SHORT, t5=False)}
WRITERS = {name: Timed(preset, HELD) for name, preset in GENERATIVE.items()}
LITE = {"Lite-LLM4Rec": Timed("paper/ml-1m")}
ENCODERS = {
    "P5 w/o_d": Timed("p5/without-decoder"),
    "P5 w/o_d_TID": Timed("p5/titles"),
    "POD w/o_d": Timed("pod/without-decoder"),
    "POD w/o_d_TID": Timed("pod/titles"),
}


def build(timed: Timed, dataset: Dataset, split: Split, t5: str) -> Any:
    """Make the model with weights drawn anew, in evaluation mode.

    Raises
    ------
    NotHereError
        When T5-small's tokenizer cannot be had.
    """
    shape = [f'model.backbone="{t5}"', "model.from_scratch=true"] if timed.t5 else []
    config = load_preset(timed.preset, [*shape, *timed.settings]).model
    counts = torch.from_numpy(split.train_counts().astype(np.int64))
    vectors = torch.randn(len(counts), 512)
    titles = dataset.catalogue.titles()
    facts = CatalogueFacts(vectors, counts, split=split, titles=titles)
    try:
        return MODELS[config.kind].create(config, facts).eval()
    except DownloadError as error:
        raise NotHereError(f"T5-small's tokenizer is not at hand: {error}") from error


@torch.no_grad()
def recommend(model: Any, batch: Tensors) -> torch.Tensor:
    """Go from a batch of histories to its lists, (batch, 20): the paper's second clock."""
    users, items, mask = batch
    if isinstance(model, GenerativeRec):
        return model.ranked_lists(users, items, mask, LIST).items
    assert isinstance(model, SequenceModel)
    return top_k(model.user_vectors(items, mask), model.item_matrix(), LIST)[0]


def first_batch(split: Split, history_length: int, device: str) -> Tensors:
    """Take the first 32 test users and their histories."""
    cases = split.test.take(np.arange(min(BATCH, len(split.test))))
    starts = np.maximum(cases.starts, cases.positions - history_length)
    items, mask = pad(split.interactions.items, starts, cases.positions)
    users = torch.from_numpy(cases.users.astype(np.int64))
    return users.to(device), items.to(device), mask.to(device)


def time_systems(systems: Mapping[str, Timed], cell: Cell, bench: Bench) -> None:
    """Time all systems side by side on one batch of 32 users, and write their milliseconds."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    works: dict[str, Callable[[], object]] = {}
    for name, timed in systems.items():
        model = build(timed, dataset, split, bench.t5).to(bench.device)
        batch = first_batch(split, model.history_length, bench.device)
        works[name] = partial(recommend, model, batch)
    turns = 5 if bench.device == "cuda" else 3
    seconds = side_by_side(works, turns, bench.device)
    write_values(
        cell.record(bench),
        {name: 1000 * value for name, value in seconds.items()},
        {
            **cell.about(),
            "unit": MILLISECONDS,
            "turns": turns,
            "t5": bench.t5_name,
        },
    )


def time_parts(name: str, cell: Cell, bench: Bench) -> None:
    """Time what a generative system does to a batch: write the prompt, encode, search, read."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    model = build(Timed(GENERATIVE[name], HELD), dataset, split, bench.t5).to(bench.device)
    batch = first_batch(split, model.history_length, bench.device)
    written = model.prompts_of(*batch)
    seconds = side_by_side(
        {
            "data preparation": partial(model.prompts_of, *batch),
            "encoder": partial(model.encode, written),
            "whole": partial(recommend, model, batch),
        },
        3,
        bench.device,
    )
    whole = seconds.pop("whole")
    values = {**seconds, "beam search and reading": whole - sum(seconds.values())}
    details = {**cell.about(), "unit": MILLISECONDS, "t5": bench.t5_name}
    write_values(cell.record(bench), {key: 1000 * part for key, part in values.items()}, details)


def count_tokens(cell: Cell, bench: Bench) -> None:
    """Count the input length of the test histories, padded to their batch's longest and not."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    values: dict[str, float] = {}
    for name, preset in GENERATIVE.items():
        model = build(Timed(preset), dataset, split, bench.t5)
        padded, plain = _lengths(model, split)
        values[f"{name} padded"], values[f"{name} unpadded"] = padded, plain
    cases = split.test
    shown = np.minimum(cases.positions - cases.starts, 20)
    batches = [shown[first : first + BATCH] for first in range(0, len(shown), BATCH)]
    values["Lite-LLM4Rec padded"] = statistics.mean(float(part.max()) for part in batches)
    values["Lite-LLM4Rec unpadded"] = float(shown.mean())
    details = {
        **cell.about(),
        "unit": "tokens or item vectors per history",
        "t5": bench.t5_name,
    }
    write_values(cell.record(bench), values, details)


def _lengths(model: GenerativeRec, split: Split) -> tuple[float, float]:
    """Return the mean length over all test users, padded and not; prompt vectors come on top."""
    padded, plain = [], []
    for first in range(0, len(split.test), BATCH):
        cases = split.test.take(np.arange(first, min(first + BATCH, len(split.test))))
        starts = np.maximum(cases.starts, cases.positions - model.history_length)
        items, mask = pad(split.interactions.items, starts, cases.positions)
        users = torch.from_numpy(cases.users.astype(np.int64))
        lengths = model.prompts_of(users, items, mask).mask.sum(1)
        padded += [int(lengths.max())] * len(lengths)
        plain += lengths.tolist()
    return statistics.mean(padded), statistics.mean(plain)
