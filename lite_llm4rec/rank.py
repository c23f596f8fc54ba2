"""Top-k and the targets' ranks over the catalogue: exact, filtered, in bounded memory."""

from dataclasses import dataclass

import numpy as np
import torch

from lite_llm4rec.data.interactions import Ints

MAX_SCORE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Seen:
    """Items that must not be ranked, as pairs.

    Attributes
    ----------
    rows, items : torch.Tensor
        (pairs,) int64: item `items[p]` is hidden from row `rows[p]` of the batch.
    """

    rows: torch.Tensor
    items: torch.Tensor


def seen_items(log_items: Ints, starts: Ints, ends: Ints, targets: Ints | None = None) -> Seen:
    r"""List the items of each history `log_items[starts:ends]`, except its target.

    Source: the paper's `I \ I_u` (§3.1); the whole known history, not only its encoded tail.
    """
    lengths = ends - starts
    rows = np.repeat(np.arange(len(starts)), lengths)
    positions = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths - starts, lengths)
    items = log_items[positions].astype(np.int64)
    if targets is not None:
        others = items != targets[rows]
        rows, items = rows[others], items[others]
    return Seen(torch.from_numpy(rows), torch.from_numpy(items))


def target_ranks(
    users: torch.Tensor,
    matrix: torch.Tensor,
    targets: torch.Tensor,
    seen: Seen | None = None,
    max_score_bytes: int = MAX_SCORE_BYTES,
) -> torch.Tensor:
    """Rank each target among the catalogue.

    rank = 1 + (items with a higher score) + (other items with an equal score): score ties count
    against the model, and so does a score that is no number.

    Parameters
    ----------
    users : torch.Tensor
        (batch, dim) user vectors.
    matrix : torch.Tensor
        (N, dim) item matrix.
    targets : torch.Tensor
        (batch,) item numbers.
    seen : Seen, optional
        Items that are not ranked; must not hold a row's own target.
    max_score_bytes : int
        Bound on the scores held at once.

    Returns
    -------
    torch.Tensor
        (batch,) int64, from 1 to N.
    """
    chunks = _chunks(len(users), len(matrix), max_score_bytes)
    own = torch.empty(len(users), device=users.device)
    for start, end in chunks:
        scores = _scores(users, matrix, start, end)
        inside = ((targets >= start) & (targets < end)).nonzero()[:, 0]
        own[inside] = scores[inside, targets[inside] - start]
    ranks = torch.zeros(len(users), dtype=torch.int64, device=users.device)
    for start, end in chunks:
        if len(chunks) > 1:
            scores = _scores(users, matrix, start, end)
        _hide(scores, seen, start, end)
        # The target is itself among the items that do not score less: ranks begin at 1.
        ranks += scores.shape[1] - (scores < own[:, None]).sum(1)
    return ranks


def top_k(
    users: torch.Tensor,
    matrix: torch.Tensor,
    k: int,
    seen: Seen | None = None,
    allowed: torch.Tensor | None = None,
    max_score_bytes: int = MAX_SCORE_BYTES,
    scale: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the k best items of each row.

    Parameters
    ----------
    users, matrix, seen, max_score_bytes
        As in `target_ranks`.
    k : int
        How many; a row with fewer candidates ends in −1.
    allowed : torch.Tensor, optional
        (N,) bool, the items that may be returned.
    scale : torch.Tensor, optional
        (N,) what each item's score is multiplied by.

    Returns
    -------
    items : torch.Tensor
        (batch, k) int64 item numbers, best first, −1 where there is none.
    scores : torch.Tensor
        (batch, k) logits, −inf where there is no item.
    """
    best = torch.full((len(users), k), -torch.inf, device=users.device)
    items = torch.full((len(users), k), -1, dtype=torch.int64, device=users.device)
    for start, end in _chunks(len(users), len(matrix), max_score_bytes):
        scores = _scores(users, matrix, start, end)
        if scale is not None:
            scores *= scale[start:end]
        _hide(scores, seen, start, end)
        if allowed is not None:
            scores.masked_fill_(~allowed[start:end], -torch.inf)
        values, columns = scores.topk(min(k, end - start))
        best, order = torch.cat([best, values], 1).topk(k)
        items = torch.cat([items, columns + start], 1).gather(1, order)
    return items.masked_fill(best == -torch.inf, -1), best


def _scores(users: torch.Tensor, matrix: torch.Tensor, start: int, end: int) -> torch.Tensor:
    """Score items start…end−1, (batch, end − start)."""
    return users.float() @ matrix[start:end].float().T


def _hide(scores: torch.Tensor, seen: Seen | None, start: int, end: int) -> None:
    """Set the scores of seen items among start…end−1 to −inf, in place."""
    if seen is None:
        return
    inside = (seen.items >= start) & (seen.items < end)
    rows, items = seen.rows[inside], seen.items[inside] - start
    scores[rows.to(scores.device), items.to(scores.device)] = -torch.inf


def _chunks(rows: int, n_items: int, max_score_bytes: int) -> list[tuple[int, int]]:
    size = max(1, max_score_bytes // (4 * max(rows, 1)))
    return [(start, min(start + size, n_items)) for start in range(0, n_items, size)]
