"""Time and input length of the systems, at the paper's shape and with weights drawn anew.

Weights do not change how long a pass takes, as long as outputs have the same length: a trained
model writes ids, which are shorter than the limit that an untrained one runs into. So the beam
search here is held to ids of the catalogue.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from lite_llm4rec.data.attributes import read_attributes
from lite_llm4rec.data.batching import pad
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, Targets, leave_one_out
from lite_llm4rec.errors import DownloadError
from lite_llm4rec.item_vectors import catalogue_facts
from lite_llm4rec.models import MODELS, GenerativeRec, SequenceModel
from lite_llm4rec.models.backbone import read_config
from lite_llm4rec.models.prompt_encoder import PromptEncoder
from lite_llm4rec.paper.cell import Bench, Cell, NotHereError, without_tokenizer
from lite_llm4rec.paper.timing import side_by_side
from lite_llm4rec.preset import Preset, load_preset
from lite_llm4rec.rank import top_k
from lite_llm4rec.records import write_values

Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # users, items, mask
BATCH = 32  # users, as in the paper
LIST = 20
MILLISECONDS = "ms per batch of 32 users"
NO_ATTRIBUTES = "the items have no attributes"
HELD = ("model.constrained=true",)
SHORT = ("model.history_length=20",)
GENERATIVE = {"P5": "p5/t5-small", "POD": "pod/t5-small"}


@dataclass(frozen=True)
class Timed:
    """A system at the paper's shape, untrained."""

    preset: str
    settings: tuple[str, ...] = ()
    t5: bool = True

    def load(self, t5: str) -> Preset:
        """Return its settings, with weights drawn anew where it has T5-small's shape."""
        shape = [f'model.backbone="{t5}"', "model.from_scratch=true"] if self.t5 else []
        return load_preset(self.preset, [*shape, *self.settings])


SOURCE = ("model.width=64", "model.inner=256")  # BERT4Rec's, for ML-1M
BERT4REC = {"BERT4Rec": Timed("bert4rec/long", (*SHORT, *SOURCE), t5=False)}
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
        When T5-small's tokenizer cannot be had, or the items have no attributes to learn from.
    """
    if lacks_attributes(timed, dataset, t5):
        raise NotHereError(NO_ATTRIBUTES)
    preset = timed.load(t5)
    counts = split.train_counts().astype(np.int64)
    try:
        width = read_config(t5, from_scratch=True, shape={}).hidden_size if preset.reads_text else 0
        vectors = np.random.default_rng(0).normal(size=(len(counts), width)).astype(np.float32)
        facts = catalogue_facts(dataset, preset, vectors, counts, split)
        return MODELS[preset.model.kind].create(preset.model, facts).eval()
    except DownloadError as error:
        raise without_tokenizer(error) from error


def lacks_attributes(timed: Timed, dataset: Dataset, t5: str) -> bool:
    """Whether a system learns from what these items do not have."""
    reads = getattr(timed.load(t5).model, "reads_attributes", False)
    return reads and not read_attributes(dataset.catalogue).names


@torch.no_grad()
def recommend(model: Any, batch: Tensors) -> torch.Tensor:
    """Go from a batch of histories to its lists, (batch, 20): the paper's second clock."""
    users, items, mask = batch
    if isinstance(model, GenerativeRec):
        return model.ranked_lists(users, items, mask, LIST).items
    assert isinstance(model, SequenceModel)
    return top_k(model.user_vectors(items, mask), model.item_matrix(), LIST)[0]


def first_cases(split: Split, size: int = BATCH) -> Targets:
    """Take the first test users; where there are fewer, they come again."""
    return split.test.take(np.resize(np.arange(len(split.test)), size))


def batch_of(split: Split, cases: Targets, history_length: int, device: str) -> Tensors:
    """Put the users of these cases and their latest items side by side."""
    starts = np.maximum(cases.starts, cases.positions - history_length)
    items, mask = pad(split.interactions.items, starts, cases.positions)
    users = torch.from_numpy(cases.users.astype(np.int64))
    return users.to(device), items.to(device), mask.to(device)


def turns(device: str) -> int:
    """How often each system is run."""
    return 5 if device == "cuda" else 3


def time_systems(systems: Mapping[str, Timed], cell: Cell, bench: Bench) -> None:
    """Time all systems side by side on one batch of 32 users, and write their milliseconds."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    works: dict[str, Callable[[], object]] = {}
    for name, timed in systems.items():
        model = build(timed, dataset, split, bench.t5).to(bench.device)
        batch = batch_of(split, first_cases(split), model.history_length, bench.device)
        works[name] = partial(recommend, model, batch)
    _write_times(cell, bench, side_by_side(works, turns(bench.device), bench.device))


def time_parts(name: str, cell: Cell, bench: Bench) -> None:
    """Time what a generative system does to a batch: write the prompt, encode, search, read."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    model = build(WRITERS[name], dataset, split, bench.t5).to(bench.device)
    batch = batch_of(split, first_cases(split), model.history_length, bench.device)
    written = model.prompts_of(*batch)
    with torch.no_grad():
        states = model.encode(written)
    works: dict[str, Callable[[], object]] = {
        "data preparation": partial(model.prompts_of, *batch),
        "encoder": partial(model.encode, written),
        "beam search and reading": lambda: read(model, *model.search(*states, LIST)),
    }
    _write_times(cell, bench, side_by_side(works, turns(bench.device), bench.device))


def read(model: GenerativeRec, tokens: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Read the items out of what a beam search wrote, (batch, 20)."""
    return model.catalogue().read(model.texts_of(tokens), scores).items


def _write_times(cell: Cell, bench: Bench, seconds: Mapping[str, Sequence[float]]) -> None:
    """Write each system's median, and every turn, of which the report makes ratios."""
    each = {name: [1000 * value for value in values] for name, values in seconds.items()}
    details = {**cell.about(), "unit": MILLISECONDS, "turns": each, "t5": bench.t5_name}
    medians = {name: statistics.median(values) for name, values in each.items()}
    write_values(cell.record(bench), medians, details)


def count_tokens(cell: Cell, bench: Bench) -> None:
    """Count the input length of the test histories, padded to their batch's longest and not."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    values: dict[str, float] = {}
    titles = {name: timed for name, timed in ENCODERS.items() if name.endswith("TID")}
    for name, timed in {**WRITERS, **titles}.items():
        padded, plain = _lengths(build(timed, dataset, split, bench.t5), split)
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


def _lengths(model: GenerativeRec | PromptEncoder, split: Split) -> tuple[float, float]:
    """Return the mean length over all test users, padded and not; prompt vectors come on top."""
    padded, plain = [], []
    for first in range(0, len(split.test), BATCH):
        cases = split.test.take(np.arange(first, min(first + BATCH, len(split.test))))
        batch = batch_of(split, cases, model.history_length, "cpu")
        lengths = _shown(model, batch).sum(1)
        padded += [int(lengths.max())] * len(lengths)
        plain += lengths.tolist()
    return statistics.mean(padded), statistics.mean(plain)


def _shown(model: GenerativeRec | PromptEncoder, batch: Tensors) -> torch.Tensor:
    """Mark the tokens of a batch of prompts, (batch, tokens)."""
    if isinstance(model, PromptEncoder):
        return model.prompts(*batch[1:])[0] >= 0
    return model.prompts_of(*batch).mask
