"""Ids at the border: histories as they come → numbers; what comes back, in the caller's ids."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.interactions import Interactions, Ints
from lite_llm4rec.errors import ConfigError, DataError

Candidates = Sequence[Any] | npt.NDArray[np.bool_]
EMPTY_HISTORY = "empty history: the most popular items"


@dataclass(frozen=True)
class Recommendations:
    """One ranked list per history.

    Attributes
    ----------
    users : list or None
        Whose history it is, where a table was given.
    ids, titles, scores : list of lists
        Best first. Scores are logits; cosines from `similar_items`; log-probabilities from a model
        that writes ids; for an empty history the items' training counts.
    notes : list of str
        What is special about a list, else "".
    first : int
        The first history's place in the input, of which this may be a part.
    """

    users: list[Any] | None
    ids: list[list[Any]]
    titles: list[list[str]]
    scores: list[list[float]]
    notes: list[str]
    first: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __str__(self) -> str:
        blocks = []
        for place, titles in enumerate(self.titles):
            unnamed = f"history {self.first + place + 1}"
            name = unnamed if self.users is None else str(self.users[place])
            note = f" ({self.notes[place]})" if self.notes[place] else ""
            rows = [
                f"{rank:>3}. {title}  [{identity}]  {score:.3f}"
                for rank, (title, identity, score) in enumerate(
                    zip(titles, self.ids[place], self.scores[place], strict=True), start=1
                )
            ]
            blocks.append("\n".join([f"{name}{note}:", *rows]))
        return "\n".join(blocks)

    def to_table(self) -> pa.Table:
        """Return one row per recommendation: user, rank, item_id, title, score, note.

        `user` is the history's place in the input where no users were given.
        """
        places = list(range(self.first, self.first + len(self)))
        users = places if self.users is None else self.users
        lengths = [len(row) for row in self.ids]
        return pa.table(
            {
                "user": _repeat(users, lengths),
                "rank": [rank for length in lengths for rank in range(1, length + 1)],
                "item_id": [value for row in self.ids for value in row],
                "title": [value for row in self.titles for value in row],
                "score": [value for row in self.scores for value in row],
                "note": _repeat(self.notes, lengths),
            }
        )

    @staticmethod
    def join(parts: list["Recommendations"]) -> "Recommendations":
        """Put parts one after the other."""
        if not parts:
            return Recommendations(None, [], [], [], [])
        return Recommendations(
            None if parts[0].users is None else [v for part in parts for v in part.users or []],
            [row for part in parts for row in part.ids],
            [row for part in parts for row in part.titles],
            [row for part in parts for row in part.scores],
            [note for part in parts for note in part.notes],
            parts[0].first,
        )


def as_lists(
    histories: Any, known: pa.Array
) -> tuple[Iterator[Any] | None, Iterator[Sequence[Any]]]:
    """Take histories as they come: lists of ids, or interactions, read or to be read.

    `known` are the catalogue's ids, which tell a log's several item columns apart.

    Returns
    -------
    users : iterator or None
        The table's users, in its order.
    lists : iterator
        One sequence of ids per history.

    Raises
    ------
    DataError
        When one flat list is given where a list of histories is needed.
    """
    if isinstance(histories, str | Path) or hasattr(histories, "__arrow_c_stream__"):
        histories = Interactions.from_table(histories, known=known)
    if isinstance(histories, Interactions):
        log = histories
        ids = log.item_ids.to_pylist()
        lists = ([ids[item] for item in log.history(user)] for user in range(log.n_users))
        return iter(log.user_ids.to_pylist()), lists
    return None, map(_checked, histories)


def item_numbers(
    histories: list[Sequence[Any]],
    catalogue: Catalogue,
    unknown: Literal["error", "drop"],
    unlisted: Collection[Any] = (),
) -> list[Ints]:
    """Translate histories of ids to numbers, all at once; those of `unlisted` go on from N.

    Raises
    ------
    UnknownItemError
        When an id is not in the catalogue, unless `unknown` is "drop".
    """
    flat = [item for history in histories for item in history]
    if not flat:
        return [np.empty(0, np.int64) for _ in histories]
    beyond = {item: len(catalogue) + place for place, item in enumerate(unlisted)}
    listed = [item for item in flat if item not in beyond] if beyond else flat
    numbers = catalogue.numbers(listed) if unknown == "error" else catalogue.lookup(listed)
    if beyond:
        found = iter(numbers)
        numbers = np.array([beyond[i] if i in beyond else next(found) for i in flat], np.int64)
    lengths = [len(history) for history in histories]
    parts = np.split(numbers, np.cumsum(lengths)[:-1])
    return [part[part >= 0] for part in parts]


def name_lists(
    ids: list[Any],
    titles: list[str],
    items: torch.Tensor,
    scores: torch.Tensor,
    users: list[Any] | None = None,
    histories: list[Ints] | None = None,
    first: int = 0,
) -> Recommendations:
    """Write ranked numbers in the caller's ids.

    Parameters
    ----------
    ids, titles : list
        (N,) the catalogue's.
    items, scores : torch.Tensor
        (lists, k) best first; after the first −1 of a row there is nothing.
    users : list, optional
        Whose each list is.
    histories : list of numpy.ndarray, optional
        What the lists are for; one that is empty is noted.
    first : int
        The place in the input of the first of them.
    """
    rows = [[number for number in row if number >= 0] for row in items.tolist()]
    empty = [False] * len(rows) if histories is None else [len(one) == 0 for one in histories]
    return Recommendations(
        users=users,
        ids=[[ids[number] for number in row] for row in rows],
        titles=[[titles[number] for number in row] for row in rows],
        scores=[values[: len(row)] for values, row in zip(scores.tolist(), rows, strict=True)],
        notes=[EMPTY_HISTORY if nothing else "" for nothing in empty],
        first=first,
    )


def _checked(history: Any) -> Sequence[Any]:
    if isinstance(history, str | bytes) or not hasattr(history, "__len__"):
        raise DataError(
            f"A history should be a list of item ids, not {history!r}.",
            "For one history write [[…]]: a list of histories that holds one.",
        )
    sequence: Sequence[Any] = history
    return sequence


def _repeat(values: list[Any], lengths: list[int]) -> list[Any]:
    return [value for value, length in zip(values, lengths, strict=True) for _ in range(length)]


def as_ids(ids: Iterable[Any]) -> list[Any]:
    """Take a list of ids, and no single one.

    Raises
    ------
    DataError
        On text, which is a sequence as well.
    """
    if isinstance(ids, str | bytes):
        raise DataError(f"Ids should be a list, not {ids!r}.", f"Write [{ids!r}].")
    return list(ids)


def as_marks(candidates: Candidates, catalogue: Catalogue) -> npt.NDArray[np.bool_]:
    """Mark the candidates among a catalogue's items, (N,): they come as ids, or marked already.

    Raises
    ------
    ConfigError
        On marks of another shape.
    UnknownItemError
        Naming the first unknown ids.
    """
    if isinstance(candidates, np.ndarray) and candidates.dtype == bool:
        if candidates.shape != (len(catalogue),):
            raise ConfigError(
                f"The candidates' marks have the shape {candidates.shape}; the catalogue's"
                f" {len(catalogue):,} items have one each.",
                "Mark the items of the catalogue in its order.",
            )
        return candidates
    marks = np.zeros(len(catalogue), bool)
    marks[catalogue.numbers(as_ids(candidates))] = True
    return marks
