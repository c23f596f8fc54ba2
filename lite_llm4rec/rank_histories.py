"""Histories of item numbers → their best items; empty ones get the most popular."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt
import torch

from lite_llm4rec.data.batching import from_lists
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.models.base import GenerativeModel, RankingModel, SequenceModel
from lite_llm4rec.models.exported import ExportedModel
from lite_llm4rec.models.item_table import ItemTable
from lite_llm4rec.rank import Seen, top_k
from lite_llm4rec.rank_generated import batch_size

# (batch, dim) user vectors, k, seen, allowed → (batch, k) items and scores
Search = Callable[
    [torch.Tensor, int, Seen | None, torch.Tensor | None], tuple[torch.Tensor, torch.Tensor]
]


@torch.no_grad()
def rank_histories(
    model: RankingModel,
    search: Search | None,
    counts: npt.NDArray[np.int64],
    histories: list[Ints],
    k: int,
    allowed: torch.Tensor,
    include_seen: bool,
    unlisted: npt.NDArray[np.float32] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rank the catalogue for each history.

    Parameters
    ----------
    model : RankingModel
        On the device of `allowed`.
    search : function, optional
        Finds the best items of user vectors, as `rank.top_k` does in the model's item matrix; a
        model that writes ids has none.
    counts : numpy.ndarray
        (N,) what empty histories are ranked by.
    histories : list of numpy.ndarray
        Item numbers in time order.
    allowed : torch.Tensor
        (N,) bool, the items that may be returned.
    include_seen : bool
        Whether items of the history may be returned.
    unlisted : numpy.ndarray, optional
        (n, text width) text vectors of items that the catalogue does not hold; in the histories
        they have the numbers from N on.

    Returns
    -------
    items, scores : torch.Tensor
        (histories, k) best first, −1 and −inf where there is none. A model that writes ids may
        write fewer than k that are allowed.
    """
    items = torch.full((len(histories), k), -1)
    scores = torch.full((len(histories), k), -torch.inf)
    known = np.flatnonzero([len(history) > 0 for history in histories])
    if len(known):
        chosen = [histories[row] for row in known]
        padded, mask = from_lists(chosen, model.history_length)
        padded, mask = padded.to(allowed.device), mask.to(allowed.device)
        seen = None if include_seen else _seen(chosen)
        if isinstance(model, GenerativeModel):
            found, values = _write(model, padded, mask, k, seen, allowed)
        else:
            assert isinstance(model, SequenceModel) and search is not None
            with _visited(model, unlisted):
                users = model.user_vectors(padded, mask)
            found, values = search(users, k, seen, allowed)
        items[known], scores[known] = found.cpu(), values.cpu()
    if len(known) < len(histories):
        popular = torch.from_numpy(counts)[:, None].float()
        found, values = top_k(torch.ones(1, 1), popular, k, None, allowed.cpu())
        empty = np.setdiff1d(np.arange(len(histories)), known)
        items[empty], scores[empty] = found, values
    return items, scores


def _visited(
    model: SequenceModel, unlisted: npt.NDArray[np.float32] | None
) -> AbstractContextManager[None]:
    if unlisted is None:
        return nullcontext()
    table = model if isinstance(model, ExportedModel) else model.items
    assert isinstance(table, ExportedModel | ItemTable)
    return table.visited(torch.from_numpy(unlisted))


def _write(
    model: GenerativeModel,
    items: torch.Tensor,
    mask: torch.Tensor,
    k: int,
    seen: Seen | None,
    allowed: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write lists, some histories at a time, and close the gaps where nothing may be shown."""
    size, width = batch_size(str(items.device)), max(k, model.beams)
    parts = [
        model.ranked_lists(None, items[first : first + size], mask[first : first + size], width)
        for first in range(0, len(items), size)
    ]
    found = torch.cat([part.items for part in parts])
    scores = torch.cat([part.scores for part in parts])
    shown = (found >= 0) & allowed.cpu()[found]
    if seen is not None:
        hidden = torch.zeros(len(found), len(allowed), dtype=torch.bool)
        hidden[seen.rows, seen.items] = True
        shown &= ~hidden.gather(1, found.clamp(min=0))
    order = (~shown).int().argsort(dim=1, stable=True)[:, :k]
    shown = shown.gather(1, order)
    found = found.gather(1, order).masked_fill(~shown, -1)
    return found, scores.gather(1, order).masked_fill(~shown, -torch.inf)


def _seen(histories: list[Ints]) -> Seen:
    lengths = [len(history) for history in histories]
    rows = np.repeat(np.arange(len(histories)), lengths)
    return Seen(torch.from_numpy(rows), torch.from_numpy(np.concatenate(histories)))
