"""Histories of item numbers → their best items; empty ones get the most popular."""

import numpy as np
import numpy.typing as npt
import torch

from lite_llm4rec.data.batching import from_lists
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.models.base import SequenceModel
from lite_llm4rec.rank import Seen, top_k


@torch.no_grad()
def rank_histories(
    model: SequenceModel,
    matrix: torch.Tensor,
    counts: npt.NDArray[np.int64],
    histories: list[Ints],
    k: int,
    allowed: torch.Tensor,
    include_seen: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rank the catalogue for each history.

    Parameters
    ----------
    model : SequenceModel
        On the device of `allowed`.
    matrix : torch.Tensor
        (N, dim) its item matrix.
    counts : numpy.ndarray
        (N,) what empty histories are ranked by.
    histories : list of numpy.ndarray
        Item numbers in time order.
    allowed : torch.Tensor
        (N,) bool, the items that may be returned.
    include_seen : bool
        Whether items of the history may be returned.

    Returns
    -------
    items, scores : torch.Tensor
        (histories, k) best first, −1 and −inf where there is none.
    """
    items = torch.full((len(histories), k), -1)
    scores = torch.full((len(histories), k), -torch.inf)
    known = np.flatnonzero([len(history) > 0 for history in histories])
    if len(known):
        chosen = [histories[row] for row in known]
        padded, mask = from_lists(chosen, model.history_length)
        users = model.user_vectors(padded.to(allowed.device), mask.to(allowed.device))
        seen = None if include_seen else _seen(chosen)
        found, values = top_k(users, matrix, k, seen, allowed)
        items[known], scores[known] = found.cpu(), values.cpu()
    if len(known) < len(histories):
        popular = torch.from_numpy(counts)[:, None].float()
        found, values = top_k(torch.ones(1, 1), popular, k, None, allowed.cpu())
        empty = np.setdiff1d(np.arange(len(histories)), known)
        items[empty], scores[empty] = found, values
    return items, scores


def _seen(histories: list[Ints]) -> Seen:
    lengths = [len(history) for history in histories]
    rows = np.repeat(np.arange(len(histories)), lengths)
    return Seen(torch.from_numpy(rows), torch.from_numpy(np.concatenate(histories)))
