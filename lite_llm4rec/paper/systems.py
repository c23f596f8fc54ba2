"""The systems that the paper's tables compare, each with the preset that trains it.

A new system is one file in `models/`, its presets, and one entry here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lite_llm4rec.config import to_dict
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import DownloadError
from lite_llm4rec.item_vectors import read_brought_vectors
from lite_llm4rec.models import GenerativeConfig
from lite_llm4rec.models.prompt_encoder import PromptEncoderConfig
from lite_llm4rec.paper.cell import Bench, Cell, NotHereError
from lite_llm4rec.paper.published import METRICS, TABLE_4
from lite_llm4rec.paper.same_training import renew_copies, take_measured
from lite_llm4rec.paper.samples import add_samples
from lite_llm4rec.preset import Preset, load_preset, preset_for
from lite_llm4rec.text.resolve import MINILM
from lite_llm4rec.training_run import train_run

Published = Mapping[str, Mapping[str, float]]
SAMPLING, ALL = "Lite-LLM4Rec sampling", "Lite-LLM4Rec all"
BACKBONE = ("model.backbone",)
TWICE = ("model.backbone", "text.model")
BROUGHT = "item vectors brought, so no joint stage"
FRESH = "model.from_scratch=true"
# Without T5's weights its text vectors mean nothing: MiniLM's take their place.
SCRATCH = (
    FRESH,
    f'text.model="{MINILM}"',
)
# A small model drawn anew stays at popularity under the paper's dropout of 0.7 (see choices).
MILD = (*SCRATCH, "model.dropout=0.1")  # T5's own
AUTHORS_LOSS = 'model.loss={name="bce",negatives=1}'
EVERY_PREFIX = ('joint.strategy="all"', 'vector.strategy="all"')
PAPER_PRESETS = {  # others are trained as ML-1M is
    "amazon-movies-2018": "paper/movies",
    "amazon-toys-2018": "paper/toys",
    "amazon-toys-2014": "paper/toys",
}


@dataclass(frozen=True)
class System:
    """A system that is trained, as a row of Table 4 and of others names it.

    Attributes
    ----------
    row : str
        Its name in the table.
    preset : str
        A preset or a family of presets; "paper" takes the data set's own.
    settings : tuple of str
        Changes, as `--set` takes them.
    published : mapping
        The paper's metrics by data set, where it has any.
    gpu : bool
        Whether it is too large for a CPU.
    t5 : tuple of str
        Settings that name T5-small.
    """

    row: str
    preset: str
    settings: tuple[str, ...] = ()
    published: Published = field(default_factory=dict)
    gpu: bool = False
    t5: tuple[str, ...] = ()

    @property
    def wants(self) -> str:
        """What it needs besides a CPU: a GPU, and where it begins with T5's weights these, too."""
        if not self.gpu:
            return ""
        fresh = FRESH in self.settings
        own_text = any(setting.startswith("text.model=") for setting in self.settings)
        needed = {"model.backbone": not fresh, "text.model": not own_text}
        return "a GPU and pretrained weights" if any(map(needed.get, self.t5)) else "a GPU"


def published(row: str) -> Published:
    """Give a row of the paper's Table 4 by data set."""
    return {data: dict(zip(METRICS, rows[row], strict=True)) for data, rows in TABLE_4.items()}


def _writers(row: str, preset: str) -> tuple[System, ...]:
    """P5, POD or LightLM: at the paper's shape, pretrained and not, and small."""
    paper, large = published(row), f"{preset}/t5-small"
    leaking = 'model.numbering="original"'
    told = f"{row} from scratch, original numbers"
    return (
        System(row, large, (), paper, gpu=True, t5=BACKBONE),
        System(f"{row} from scratch", large, (FRESH,), paper, gpu=True, t5=BACKBONE),
        System(told, large, (FRESH, leaking), paper, gpu=True, t5=BACKBONE),
        System(f"{row} small", f"{preset}/small", (), paper),
        System(f"{row} small, original numbers", f"{preset}/small", (leaking,), paper),
    )


def _fresh(row: str, settings: tuple[str, ...], named: str) -> System:
    """The paper's system from scratch, beside the paper's numbers of it pretrained."""
    return System(row, "paper", settings, published(named), gpu=True, t5=TWICE)


SYSTEMS = (
    System("BERT4Rec", "bert4rec", (), published("BERT4Rec")),
    System("SASRec", "sasrec", (), published("SASRec")),
    System("SASRec, binary loss", "sasrec", (AUTHORS_LOSS,), published("SASRec")),
    System("S3-Rec", "s3rec", (), published("S3-Rec")),
    System("FDSA", "fdsa", (), published("FDSA")),
    *_writers("LightLM", "lightlm"),
    *_writers("P5", "p5"),
    *_writers("POD", "pod"),
    System("Lite-LLM4Rec small, sampling", "cpu/small", (), published(SAMPLING)),
    System("Lite-LLM4Rec small, all", "cpu/small", ('vector.strategy="all"',), published(ALL)),
    System(SAMPLING, "paper", (), published(SAMPLING), gpu=True, t5=TWICE),
    _fresh(f"{SAMPLING}, from scratch, dropout 0.1", MILD, SAMPLING),
    _fresh(f"{SAMPLING}, from scratch", SCRATCH, SAMPLING),
    System(ALL, "paper", EVERY_PREFIX, published(ALL), gpu=True, t5=TWICE),
    _fresh(f"{ALL}, from scratch, dropout 0.1", (*EVERY_PREFIX, *MILD), ALL),
    _fresh(f"{ALL}, from scratch", (*EVERY_PREFIX, *SCRATCH), ALL),
    System("Lite-LLM4Rec causal", "fast"),
    # Each at the best of a search of its own on validation; SASRec and the causal form are above.
    System("BERT4Rec, tuned", "bert4rec-tuned", (), published("BERT4Rec")),
    System("S3-Rec, tuned", "s3rec-tuned", (), published("S3-Rec")),
    System("FDSA, tuned", "fdsa-tuned", (), published("FDSA")),
    System("Lite-LLM4Rec small, tuned", "lite-tuned", (), published(SAMPLING)),
)


def preset_of(system: System, dataset: Dataset, seed: int, t5: str) -> Preset:
    """Return the settings that train a system on a data set, with T5-small from `t5`.

    Items drawn numbers are drawn anew for each seed, as they move the result.
    """
    own = PAPER_PRESETS.get(dataset.name, "paper/ml-1m")
    named = own if system.preset == "paper" else system.preset
    settings = [f'{setting}="{t5}"' for setting in system.t5]
    chosen = load_preset(preset_for(named, dataset), [*settings, *system.settings], seed)
    if isinstance(chosen.model, GenerativeConfig | PromptEncoderConfig):
        return replace(chosen, model=replace(chosen.model, numbering_seed=seed))
    return chosen


def train_system(system: System, cell: Cell, bench: Bench) -> None:
    """Train a system and write its record, beside those of what needs no training.

    What stands in several tables is trained once.

    Raises
    ------
    NotHereError
        When it wants a GPU, or weights that cannot be had.
    """
    folder, record = bench.runs / cell.exhibit / cell.name, cell.record(bench)
    if take_measured(cell, bench):
        return
    run_system(system, cell, bench, folder, bench.budget, record)
    add_samples(record, folder, bench.dataset(cell.data))
    renew_copies(cell, bench)


def run_system(
    system: System,
    cell: Cell,
    bench: Bench,
    folder: Path,
    seconds: float | None,
    record: Path | None = None,
) -> None:
    """Train a system within so many seconds, and write a record if it is to have one.

    Raises
    ------
    NotHereError
        When it wants a GPU, or weights that cannot be had.
    """
    if system.wants and bench.device == "cpu":
        raise NotHereError(f"wants {system.wants}")
    dataset = bench.dataset(cell.data)
    preset = preset_of(system, dataset, cell.seed or 0, bench.t5)
    _check_weights(preset, bench)
    vectors = _brought_vectors(preset, dataset, bench)
    details: dict[str, Any] = {**cell.about(), "budget": bench.budget}
    if vectors is not None:
        preset = replace(preset, joint=None)
        details["remark"] = BROUGHT
    try:
        train_run(
            dataset,
            preset,
            folder,
            vectors=vectors,
            device=bench.device,
            record=record,
            details={**details, "settings": public_settings(preset, bench)},
            max_seconds=seconds,
        )
    except DownloadError as error:
        raise NotHereError(f"weights not at hand: {error.problem}") from error


def settings_of(system: System, cell: Cell, bench: Bench) -> dict[str, Any]:
    """Tell the settings that a system would be trained with, as its record has them."""
    preset = preset_of(system, bench.dataset(cell.data), cell.seed or 0, bench.t5)
    brought = _takes_brought(preset, bench)
    return public_settings(replace(preset, joint=None) if brought else preset, bench)


def public_settings(preset: Preset, bench: Bench) -> dict[str, Any]:
    """Give the settings as records tell them: T5-small by its name, wherever it lies here."""
    settings = to_dict(preset)
    for section, key in (("model", "backbone"), ("text", "model")):
        if settings[section].get(key) == bench.t5:
            settings[section][key] = bench.t5_name
    return settings


def _check_weights(preset: Preset, bench: Bench) -> None:
    """See that a folder that gives T5-small more than its shape holds weights."""
    folder, model = bench.t5_folder, to_dict(preset.model)
    if folder is None or any(folder.glob("*.safetensors")) or any(folder.glob("*.bin")):
        return
    trained = model.get("backbone") == bench.t5 and not model["from_scratch"]
    if trained or (preset.reads_text and preset.text.model == bench.t5):
        raise NotHereError(f"weights not at hand: {bench.t5_name} holds none")


def _brought_vectors(
    preset: Preset, dataset: Dataset, bench: Bench
) -> npt.NDArray[np.float32] | None:
    """Read MiniLM's item vectors, (N, 384), where they are given and the preset reads them."""
    if bench.vectors is None or not _takes_brought(preset, bench):
        return None
    return read_brought_vectors(bench.vectors, dataset.catalogue)


def _takes_brought(preset: Preset, bench: Bench) -> bool:
    plain = preset.text.model == MINILM and preset.text.pooling in (None, "mean")
    return bench.vectors is not None and preset.reads_text and plain
