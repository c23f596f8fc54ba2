"""Histories → training part and targets. Pure functions; nothing is copied per prefix."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lite_llm4rec.data.interactions import Interactions, Ints
from lite_llm4rec.data.times import date_of, seconds_per_unit
from lite_llm4rec.errors import DataError


@dataclass(frozen=True)
class Targets:
    """Interactions to be predicted, each from all of its user's interactions before it.

    Attributes
    ----------
    starts, positions : numpy.ndarray
        (cases,) int64: the history of case `c` is `items[starts[c]:positions[c]]`, its target
        `items[positions[c]]`.
    users : numpy.ndarray
        (cases,) the user of each case.
    """

    users: Ints
    starts: Ints
    positions: Ints

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, cases: Ints) -> "Targets":
        """Keep these cases, in this order."""
        return Targets(self.users[cases], self.starts[cases], self.positions[cases])


@dataclass(frozen=True)
class Split:
    """What trains, what selects, what is reported.

    Attributes
    ----------
    name : str
        The split as the protocol prints it.
    train_ends : numpy.ndarray
        (U,) int64: of user `u`, `items[offsets[u]:train_ends[u]]` may be trained on.
    valid, test : Targets
    """

    name: str
    interactions: Interactions
    train_ends: Ints
    valid: Targets
    test: Targets

    def train_items(self) -> Ints:
        """The items of every training interaction, (training interactions,)."""
        log = self.interactions
        position = np.arange(len(log))
        items: Ints = log.items[position < self.train_ends[log.users]]
        return items

    def train_counts(self) -> Ints:
        """How often each item occurs in training, (N,); 0 marks a cold item."""
        return np.bincount(self.train_items(), minlength=self.interactions.n_items)


def leave_one_out(log: Interactions) -> Split:
    """Last item test, second-last validation, the rest training.

    Users with fewer than 3 interactions only train. Source: paper §5.1.1.

    Raises
    ------
    DataError
        When nobody has 3 interactions.
    """
    return _last(log, 1, "leave_one_out")


def last_n(log: Interactions, n: int) -> Split:
    """Last `n` items test, the `n` before them validation, the rest training.

    Users with fewer than 2n + 1 interactions only train.

    Raises
    ------
    DataError
        When nobody has so many, or `n` is below 1.
    """
    if n < 1:
        raise DataError(f"last_n needs at least 1 target per user, not {n}.")
    return _last(log, n, f"last_{n}")


def cold_start(split: Split, share: float, seed: int) -> Split:
    """Take a share of the items out of training altogether, to measure what is new to the model.

    Their training interactions leave the log; those to be predicted stay. Targets of the
    validation that are cold are left out, so that nothing is selected by them, and so are targets
    of which no history is left.

    Parameters
    ----------
    share : float
        Of the items that occur in training, between 0 and 1.
    seed : int
        Which items.

    Raises
    ------
    DataError
        When the share leaves nothing cold, or nothing to learn from.
    """
    if not 0 < share < 1:
        raise DataError(f"The share of cold items is {share}.", "Between 0 and 1, for example 0.1.")
    trained = np.flatnonzero(split.train_counts())
    chosen = np.random.default_rng(seed).permutation(trained)[: round(share * len(trained))]
    cold = np.isin(np.arange(split.interactions.n_items), chosen)
    log = split.interactions
    is_training = np.arange(len(log)) < split.train_ends[log.users]
    keep = ~(is_training & cold[log.items])
    if not cold.any() or not (keep & is_training).any():
        raise DataError(
            f"A share of {share} makes {len(chosen):,} of {len(trained):,} items cold.",
            "Choose a share between 0 and 1, for example 0.1.",
        )
    place = np.concatenate([[0], np.cumsum(keep)])
    remaining = log.keep(keep)
    alive = np.diff(place[log.offsets]) > 0
    number = np.cumsum(alive) - 1

    def moved(targets: Targets) -> Targets:
        starts, positions = place[targets.starts], place[targets.positions]
        known = np.flatnonzero(positions > starts)
        return Targets(number[targets.users], starts, positions).take(known)

    valid = moved(split.valid)
    return Split(
        f"{split.name}, {100 * share:g} % of items cold (seed {seed})",
        remaining,
        place[split.train_ends[alive]],
        valid.take(np.flatnonzero(~cold[remaining.items[valid.positions]])),
        moved(split.test),
    )


def by_time(log: Interactions, valid_from: float, test_from: float) -> Split:
    """Train before `valid_from`; a user's first item in each later period is a target.

    Parameters
    ----------
    valid_from, test_from : float
        Seconds since 1970, also where the log counts in milli-, micro- or nanoseconds.

    Raises
    ------
    DataError
        When times are only positions, or a period is empty or nobody in it has a history.
    """
    _check_log(log)
    if isinstance(valid_from, str) or isinstance(test_from, str):
        raise DataError(
            f"by_time takes seconds since 1970, not {valid_from!r} and {test_from!r}.",
            "datetime.fromisoformat(…).timestamp() gives them.",
        )
    if log.time == "order":
        raise DataError(
            "A split by time needs real times; here the column is only a position in the history.",
            "Use leave_one_out or last_n.",
        )
    unit = seconds_per_unit(log.times)
    periods = np.digitize(log.times, [valid_from * unit, test_from * unit])
    if valid_from >= test_from or not all((periods == period).any() for period in (0, 1, 2)):
        found = (log.times.min() / unit, log.times.max() / unit, valid_from, test_from)
        low, high, *cuts = (f"{time:.0f} ({date_of(time)})" for time in found)
        raise DataError(
            f"Training, validation and test must each hold something: times run from {low}"
            f" to {high}, the cuts are {' and '.join(cuts)}.",
            "Choose cuts in order, inside the log's time.",
        )
    train_ends = log.offsets[:-1] + _count_per_user(log, periods == 0)
    valid, test = _first_of(log, periods == 1), _first_of(log, periods == 2)
    if not len(valid) or not len(test):
        raise DataError(
            f"No user with a history has an interaction in the {'test' if len(valid) else 'valid'}"
            " period, so that there is nothing to predict.",
            "Choose longer periods, or leave_one_out.",
        )
    return Split(f"by_time_{valid_from:.15g}_{test_from:.15g}", log, train_ends, valid, test)


def _check_log(log: Any) -> None:
    if not isinstance(log, Interactions):
        raise DataError(
            f"Interactions are split, not a {type(log).__name__}.", "Of a Dataset: its interactions"
        )


def _last(log: Interactions, n: int, name: str) -> Split:
    _check_log(log)
    ends = log.offsets[1:]
    evaluated = np.flatnonzero(log.lengths >= 2 * n + 1)
    train_ends = ends.copy()
    train_ends[evaluated] -= 2 * n
    if len(evaluated) == 0:
        raise DataError(
            f"No user has the {2 * n + 1} interactions that {name} needs.",
            "Use a log with longer histories, or a split with fewer targets.",
        )
    first_test = ends[evaluated] - n
    return Split(
        name,
        log,
        train_ends,
        _each(log, evaluated, first_test - n, n),
        _each(log, evaluated, first_test, n),
    )


def _each(log: Interactions, users: Ints, first: Ints, n: int) -> Targets:
    positions = (first[:, None] + np.arange(n)).ravel()
    cases = np.repeat(users, n)
    return Targets(cases, log.offsets[:-1][cases], positions)


def _first_of(log: Interactions, mask: npt.NDArray[np.bool_]) -> Targets:
    """Each user's first masked interaction, unless nothing comes before it."""
    positions = np.flatnonzero(mask)
    users, first = np.unique(log.users[positions], return_index=True)
    positions = positions[first]
    starts = log.offsets[:-1][users]
    known = positions > starts
    return Targets(users[known], starts[known], positions[known])


def _count_per_user(log: Interactions, mask: npt.NDArray[np.bool_]) -> Ints:
    return np.bincount(log.users[mask], minlength=log.n_users)
