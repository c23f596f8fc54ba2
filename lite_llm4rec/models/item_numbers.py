"""What items are written with where their ids are text: one number, or a path of several."""

from typing import Literal

import numpy as np
import torch

from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.split import Split
from lite_llm4rec.models.spectral import cluster_paths

Numbering = Literal["original", "random", "collaborative"]
ORIGINAL_LEAKS = (
    "Items are written with numbers in the order of their first appearance, that of test items"
    " included: the next number is often the next item."
)


def number_items(
    split: Split, numbering: Numbering, seed: int, clusters: int = 50, size: int = 100
) -> Ints:
    """Give each item what it is written with.

    Parameters
    ----------
    split : Split
        Of which "collaborative" sees the training part alone.
    numbering : "original", "random" or "collaborative"
        "original" shuffles the users and counts the items as they are first met on a walk through
        their whole histories, test items included. So neighbours in a history often have
        neighbouring numbers, also the last two, which a model that reads digits can learn: it is
        there to match published numbers. "random" is a permutation. "collaborative" leads to an
        item through clusters of items that share users: see `spectral`.
    seed : int
        Of the users' order, the permutation, or the places within a cluster.
    clusters, size : int
        Of "collaborative": see `cluster_paths`.

    Returns
    -------
    numpy.ndarray
        (N,) int64 numbers from 1; of "collaborative" (N, parts), −1 behind a shorter path's end.

    Notes
    -----
    Source: "original" is P5's preprocessing (its notebook, in which only the users are shuffled),
    whose files POD and LightLM take over; "collaborative" is OpenP5's and LightLM's.
    """
    if numbering == "collaborative":
        return cluster_paths(split, clusters, size, seed)
    log = split.interactions
    rng = np.random.default_rng(seed)
    if numbering == "random":
        order = rng.permutation(log.n_items)
    else:
        walk = np.argsort(rng.permutation(log.n_users)[log.users], kind="stable")
        met = np.full(log.n_items, len(log))
        items, places = np.unique(log.items[walk], return_index=True)
        met[items] = places
        order = np.argsort(met, kind="stable")
    numbers = np.empty(log.n_items, np.int64)
    numbers[order] = np.arange(1, log.n_items + 1)
    return numbers


def number_texts(numbers: torch.Tensor) -> list[str]:
    """Write numbers or paths, (N,) or (N, parts).

    >>> number_texts(torch.tensor([12, 3])), number_texts(torch.tensor([[5, 0, 17], [5, 2, -1]]))
    (['12', '3'], ['5_0_17', '5_2'])
    """
    rows = numbers.reshape(len(numbers), -1).tolist()
    return ["_".join(str(part) for part in row if part >= 0) for row in rows]
