"""A data set and a preset → a trained `Run`."""

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from lite_llm4rec.calibrate import calibrate_cold
from lite_llm4rec.curves import write_curves
from lite_llm4rec.data.attributes import read_attributes
from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.split import Split
from lite_llm4rec.errors import ConfigError, DataError
from lite_llm4rec.item_vectors import catalogue_facts, check_vectors, start_vectors
from lite_llm4rec.machine import Machine
from lite_llm4rec.models import MODELS, CausalLLM4Rec
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.models.take_over import take_over
from lite_llm4rec.preset import Preset
from lite_llm4rec.run_folder import Run
from lite_llm4rec.stages import run_stages
from lite_llm4rec.text.encoder import ItemLLM
from lite_llm4rec.training_folder import claim


def fit_run(
    dataset: Dataset,
    preset: Preset,
    split: Split,
    machine: Machine,
    *,
    init_from: Run | None,
    vectors: npt.NDArray[np.float32] | None,
    folder: Path,
    progress: bool,
    max_seconds: float | None,
) -> Run:
    """Make the preset's model and train it, stage by stage; `Recommender.fit` says what is what.

    Raises
    ------
    DataError, ConfigError, DownloadError, TrainingError
    """
    _check_split(split, dataset)
    if max_seconds is not None and max_seconds <= 0:
        raise ConfigError(f"In {max_seconds:g} s nothing is learnt.", "Give it minutes, or none.")
    brought = vectors is not None
    if init_from is not None:
        _check_texts(init_from, preset, brought)
    started = init_from.model if init_from else None
    claim(folder, dataset, preset, split, vectors, started, max_seconds)
    tuned = _tuned_llm(init_from, preset, brought)
    torch.manual_seed(preset.seed)
    vectors = _first_vectors(dataset, preset, machine, vectors, tuned, progress)
    counts = split.train_counts().astype(np.int64)
    facts = catalogue_facts(dataset, preset, vectors, counts, split)
    model = MODELS[preset.model.kind].create(preset.model, facts)
    retired = np.zeros(len(counts), bool)
    if init_from is not None:
        places = _places(init_from.catalogue, dataset.catalogue, facts)
        _warn_of_strangers(init_from.catalogue, dataset.catalogue, places[0])
        if preset.cold_share:
            _check_cold(counts, init_from.counts, places[0])
        take_over(model, facts, init_from.model, *places)
        init_from.check_users(split.interactions)
        known = places[0] >= 0
        retired[known] = init_from.retired[places[0][known]]
    results, item_llm = run_stages(
        model, dataset, split, preset, folder, machine=machine, progress=progress,
        max_seconds=max_seconds, tuned=tuned,
    )  # fmt: skip
    curves = write_curves(folder, [result["stage"] for result in results])
    if isinstance(model, CausalLLM4Rec):
        calibrate_cold(model, split, preset.seed, seen_filter=not preset.repeats)
    return Run(
        preset, model, dataset.catalogue, counts, vectors, results, [],
        item_llm or tuned, curves, brought=brought, users_sha256=split.interactions.users_sha256,
        sequences_sha256=split.interactions.sequences_sha256, split=split.name, retired=retired,
    )  # fmt: skip


def _check_split(split: Split, dataset: Dataset) -> None:
    if not isinstance(split, Split):
        raise ConfigError(
            f"split is {split!r}.",
            'last_n(data.interactions, 3) makes one; a name is a preset\'s: split = "last_3".',
        )
    if not len(split.valid):
        raise DataError(f"{split.name} has no validation targets.", "Choose another split.")
    if not split.interactions.item_ids.equals(dataset.catalogue.ids):
        raise DataError(
            f"{split.name} is of interactions that number the items otherwise than the data set.",
            "Make it of the data set's own: leave_one_out(data.interactions).",
        )


def _check_texts(init_from: Run, preset: Preset, brought: bool) -> None:
    """See that the items' text vectors are of the kind that the run to go on from knows."""
    if not (preset.reads_text and init_from.preset.reads_text):
        return
    if brought != init_from.brought:
        theirs = "were brought" if init_from.brought else "are of its Item LLM"
        raise ConfigError(
            f"The item vectors of the run to go on from {theirs}; these are not.",
            "Bring the same kind: vectors=… (on the command line --vectors)."
            if init_from.brought
            else "Leave the vectors out.",
        )
    was, now = (  # a folder of the same name may lie elsewhere
        (Path(text.model).name, text.pooling) for text in (init_from.preset.text, preset.text)
    )
    if not brought and was != now:
        raise ConfigError(
            f"The run to go on from knows items by the vectors of {_of(*was)}, not {_of(*now)}.",
            "Keep its text.model and text.pooling.",
        )


def _of(model: str, pooling: str | None) -> str:
    return f"{model} (pooling: {pooling or 'its own'})"


def _tuned_llm(init_from: Run | None, preset: Preset, brought: bool) -> ItemLLM | None:
    """Take the Item LLM that a joint stage tuned, whose vectors the model to go on from knows."""
    if init_from is None or brought or init_from.preset.text != preset.text:
        return None
    return init_from.item_llm


def _first_vectors(
    dataset: Dataset,
    preset: Preset,
    machine: Machine,
    brought: npt.NDArray[np.float32] | None,
    tuned: ItemLLM | None,
    progress: bool,
) -> npt.NDArray[np.float32]:
    """Take the vectors that were brought, or encode the items' text, (N, width)."""
    if brought is None:
        found = start_vectors(dataset, preset, machine.name(), progress, tuned)
    elif preset.joint is not None:
        raise ConfigError(
            "Brought item vectors cannot go with a joint stage, which encodes the text itself.",
            "Leave out one of the two.",
        )
    else:
        found = brought
    vectors = np.ascontiguousarray(found, np.float32)
    check_vectors(vectors, len(dataset.catalogue))
    return vectors


def _warn_of_strangers(old: Catalogue, new: Catalogue, places: Ints) -> None:
    """Tell where the run to go on from knows none of the items, as when ids changed their type."""
    if not (places >= 0).any():
        warnings.warn(
            f"The run to go on from holds none of the {len(new):,} items, so that what it learnt of"
            f" items is of no use here. Its ids are {old.ids.type}, as {old.ids[0].as_py()!r}, and"
            f" these are {new.ids.type}, as {new.ids[0].as_py()!r}.",
            stacklevel=2,
        )


def _check_cold(counts: Ints, old_counts: Ints, places: Ints) -> None:
    """See that the items held out of training are new to the model that it goes on from."""
    learnt = (counts == 0) & (places >= 0)
    learnt[learnt] = old_counts[places[learnt]] > 0
    if learnt.any():
        raise ConfigError(
            f"The model to go on from has learnt {int(learnt.sum()):,} of the items that"
            " cold_share holds out.",
            "Start from nothing, or from a run with the same cold_share and seed.",
        )


def _places(old: Catalogue, new: Catalogue, facts: CatalogueFacts) -> tuple[Ints, Ints]:
    """Find each item and each attribute in an older catalogue, −1 where it is new."""
    names = facts.attributes.names if facts.attributes else []
    attributes = read_attributes(old).lookup(names) if names else np.empty(0, np.int64)
    return old.lookup(new.ids), attributes
