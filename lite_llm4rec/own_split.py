"""The split that a model is evaluated by, and what it has learnt where that is not its own."""

from dataclasses import replace

import numpy as np

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, Targets
from lite_llm4rec.data.split_name import split_by
from lite_llm4rec.errors import ConfigError, DataError
from lite_llm4rec.preset import preset_split
from lite_llm4rec.run_folder import Run


class LearntTargets(UserWarning):
    """Says that a model is measured on what it may have learnt."""


def as_numbered(run: Run, dataset: Dataset, split: Split | None) -> tuple[Dataset, Split]:
    """Number a data set and its split as a run does; without a split, make the run's own.

    Raises
    ------
    DataError
        When the data set's items are not the run's.
    ConfigError
        When the run was trained with a split that it cannot make again.
    """
    if split is not None:  # made of the data as they came
        log = replace(dataset, interactions=split.interactions).renumber(run.catalogue)
        split = replace(split, interactions=log.interactions)
        return dataset.renumber(run.catalogue), split
    dataset = dataset.renumber(run.catalogue)
    own = _made_again(run, dataset)
    if own is None:
        raise ConfigError(
            f"This model was trained with the split {run.split}, which the data alone do not tell.",
            "Give it: evaluate(data, split).",
        )
    return dataset, own


def learnt_targets(run: Run, dataset: Dataset, split: Split, targets: Targets) -> list[str]:
    """Say which targets the model was trained on, or its epoch chosen by; a sentence, or none.

    `dataset` and `split` are numbered as the run is. Of a split that cannot be made again, and of
    other interactions, it is not known.
    """
    if run.split in ("", split.name):
        sequences = split.interactions.sequences_sha256
        if run.sequences_sha256 in ("", sequences):
            return []
        return [
            "The model was trained on other interactions than these, though of the same split: it"
            f" may know the targets. (Sequences {run.sequences_sha256[:12]}, now {sequences[:12]}.)"
        ]
    try:
        own = _made_again(run, dataset)
    except DataError:
        own = None
    if own is None or not _same_users(own, split):
        return [f"The model was trained with another split, {run.split}: it may know the targets."]
    known = targets.positions < own.train_ends[targets.users]
    known |= np.isin(targets.positions, own.valid.positions)
    if not known.any():
        return []
    return [
        f"{int(known.sum()):,} of {len(known):,} targets taught the model or chose its epoch: it"
        f" was trained with the split {run.split}."
    ]


def _made_again(run: Run, dataset: Dataset) -> Split | None:
    """Split as in training, or return None where neither name nor settings tell how."""
    try:
        return split_by(run.split)(dataset.interactions)
    except ConfigError:
        own = preset_split(run.preset, dataset)
        return own if run.split in ("", own.name) else None


def _same_users(one: Split, other: Split) -> bool:
    return np.array_equal(one.interactions.offsets, other.interactions.offsets)
