"""Why an item stands where it does: what each item of a history adds, and how near its text is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lite_llm4rec.errors import DataError
from lite_llm4rec.serve.served import Asked, Ranked
from lite_llm4rec.serve.service import Service

LATEST = 32  # items of a history that are explained


@dataclass(frozen=True)
class Part:
    """An item of the history.

    Attributes
    ----------
    effect : float, optional
        The explained item's score minus its score without this one; None where nothing would be
        left of the history.
    text : float, optional
        Cosine of the two text vectors; None where the model has none.
    """

    title: str
    effect: float | None
    text: float | None


async def explain(service: Service, asked: Asked) -> tuple[float, list[Part]]:
    """Explain the score of the one item that `asked` has to choose from.

    Returns
    -------
    score : float
    parts : list of Part
        The latest items of the history, in its order.

    Raises
    ------
    DataError
        When the item has no score: it is retired, or not among those that the model wrote.
    """
    latest = range(max(0, len(asked.history) - LATEST), len(asked.history))
    without = [
        replace(asked, history=[*asked.history[:place], *asked.history[place + 1 :]])
        for place in latest
    ]
    whole, *others = await service.recommending.ask(asked, *without)
    assert asked.only is not None
    if not whole.scores:
        if asked.served.runtime.retired[asked.only[0]]:
            raise DataError(
                "This item is retired: it is not scored.", "Restore it, or take another."
            )
        raise DataError(
            "This model scores the items of its list alone, and this one is not among them.",
            "Take one of the list, or serve a model that scores all items.",
        )
    cosines = _cosines(asked, [asked.history[place] for place in latest], asked.only[0])
    parts = [
        Part(_title(asked, asked.history[place]), _fall(whole, other), cosine)
        for place, other, cosine in zip(latest, others, cosines, strict=True)
    ]
    return whole.scores[0], parts


def _fall(whole: Ranked, other: Ranked) -> float | None:
    """Give the score's fall; an empty history's list is another scale, which its note tells.

    Where the item was retired between two calls, there is none.
    """
    return None if other.note or not other.scores else whole.scores[0] - other.scores[0]


def _title(asked: Asked, key: Any) -> str:
    if key in asked.unlisted:
        return str(key[1])
    lookup = asked.served.lookup
    return lookup.titles[lookup.place(key)]


def _cosines(asked: Asked, keys: Sequence[Any], item: int) -> list[float | None]:
    vectors, lookup = asked.served.runtime.vectors, asked.served.lookup
    if vectors.shape[1] == 0:
        return [None] * len(keys)
    own = vectors[item]
    others = [
        asked.unlisted[key] if key in asked.unlisted else vectors[lookup.place(key)] for key in keys
    ]
    found: list[float | None] = []
    for other in others:
        lengths = np.linalg.norm(own) * np.linalg.norm(other)
        found.append(float(own @ other / max(lengths, 1e-12)))
    return found
