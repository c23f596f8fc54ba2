"""Histories to measure a trained model on: its validation's users, or drawn ones."""

from dataclasses import dataclass

import numpy as np

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.split import Targets
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.own_split import as_numbered
from lite_llm4rec.run_folder import Run

DRAWN = 500


@dataclass(frozen=True)
class Histories:
    """Cases of a log.

    Attributes
    ----------
    items : numpy.ndarray
        (interactions,) a log's items.
    cases : Targets
    known : bool
        Whether the targets are what users really chose, so that there is a recall.
    """

    items: Ints
    cases: Targets
    known: bool


def sample_histories(run: Run, dataset: Dataset | None, most: int) -> Histories:
    """Take up to `most` of the validation's cases, or draw histories where there are no data.

    Raises
    ------
    DataError
        When the data set's items are not this run's, or its histories are too short to split.
    ConfigError
        When the run was trained with a split that it cannot make again.
    """
    if dataset is None:
        return _drawn(run)
    try:
        _, split = as_numbered(run, dataset, None)
    except ConfigError as error:
        remedy = "Leave the data out: histories are drawn then."
        raise ConfigError(error.problem, remedy) from error
    chosen = np.random.default_rng(0).permutation(len(split.valid))[:most]
    return Histories(split.interactions.items, split.valid.take(np.sort(chosen)), True)


def _drawn(run: Run) -> Histories:
    """Draw histories of all lengths by the items' popularity, each with a target behind it."""
    rng = np.random.default_rng(0)
    weights = run.counts + 1.0
    longest = run.model.history_length
    lengths = rng.integers(1, longest + 1, DRAWN)
    starts = np.arange(DRAWN) * (longest + 1)
    items = rng.choice(len(weights), DRAWN * (longest + 1), p=weights / weights.sum())
    return Histories(items, Targets(np.arange(DRAWN), starts, starts + lengths), False)
