"""The Top-N task: a target among 99 other items, all of them the model's input; ranks over these.

Source: *Rethinking Large Language Model Architectures for Sequential Recommendations*,
arXiv 2402.09543, §5.4, after POD (CIKM 2023). As printed the candidates are the whole input, and
only P5 and POD are told whose they are; the other form has the history before them.
"""

import time
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional

from lite_llm4rec.data.batching import pad
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.split import Split, Targets
from lite_llm4rec.errors import ConfigError, DataError
from lite_llm4rec.evaluate import (
    Evaluation,
    Part,
    count_repeats,
    protocol_of,
)
from lite_llm4rec.metrics import (
    CaseMetric,
    bootstrap_interval,
    ndcg,
    per_user_means,
    recall,
)
from lite_llm4rec.models import (
    BERT4Rec,
    EveryPositionModel,
    GenerativeRec,
    RankingModel,
    SequenceModel,
)
from lite_llm4rec.rank import Seen, seen_items
from lite_llm4rec.rank_generated import OUTPUTS, batch_size

NEGATIVES = 99
SEED = 0  # of the evaluation's negatives, the same for every model and every training
ROWS = 256  # cases at a time

SHARES = ("malformed", "unknown", "repeated", "not offered")  # of what a model writes
METRICS: dict[str, CaseMetric] = {
    "recall@1": partial(recall, k=1),
    "recall@5": partial(recall, k=5),
    "recall@10": partial(recall, k=10),
    "ndcg@5": partial(ndcg, k=5),
    "ndcg@10": partial(ndcg, k=10),
}


def draw_candidates(
    n_items: int, targets: torch.Tensor, had: Seen, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Put each target among 99 items that its user has not had, in a drawn order.

    Parameters
    ----------
    targets : torch.Tensor
        (rows,) int64.
    had : Seen
        What each row's user has had; it may hold the target.
    generator : torch.Generator, optional
        By default torch's own.

    Returns
    -------
    torch.Tensor
        (rows, 100) int64, all different in each row.

    Raises
    ------
    DataError
        When a user has had so many items that fewer than 99 are left.
    """
    keys = torch.rand(len(targets), n_items, generator=generator)
    keys[had.rows, had.items] = torch.inf
    keys[torch.arange(len(targets)), targets] = -1.0
    left = int((keys < torch.inf).sum(1).min()) - 1
    if left < NEGATIVES:
        raise DataError(
            f"Top-N needs {NEGATIVES} items that a user never had; there is one with {left} of"
            f" {n_items:,}.",
            "Take data with more items.",
        )
    drawn = keys.topk(NEGATIVES + 1, largest=False).indices
    return drawn.gather(1, torch.rand(drawn.shape, generator=generator).argsort(1))


def fixed_candidates(split: Split, cases: Targets, seed: int = SEED) -> torch.Tensor:
    """Draw what each case's target is ranked among, (cases, 100).

    The other 99 are items that the user never had, in validation and test neither.
    """
    log = split.interactions
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for first in range(0, len(cases), ROWS):
        part = cases.take(np.arange(first, min(first + ROWS, len(cases))))
        had = seen_items(log.items, log.offsets[part.users], log.offsets[part.users + 1])
        targets = torch.from_numpy(log.items[part.positions].astype(np.int64))
        drawn.append(draw_candidates(log.n_items, targets, had, generator))
    return torch.cat(drawn)


def as_input(
    items: Ints, starts: Ints, positions: Ints, candidates: torch.Tensor, history_length: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put candidates behind the last items of histories `items[starts:positions]`.

    Parameters
    ----------
    candidates : torch.Tensor
        (batch, n).
    history_length : int
        How many items of a history are told; may be 0.

    Returns
    -------
    items, mask : torch.Tensor
        (batch, length).
    """
    starts = np.maximum(starts, positions - history_length)
    histories, mask = pad(items, starts, positions)
    n = candidates.shape[1]
    places = mask.sum(1, keepdim=True) + torch.arange(n)
    whole = functional.pad(histories, (0, n)).scatter(1, places, candidates)
    return whole, functional.pad(mask, (n, 0), value=True)


@torch.no_grad()
def rank_candidates(
    model: RankingModel,
    items: Ints,
    cases: Targets,
    candidates: torch.Tensor,
    *,
    history: bool,
    device: str = "cpu",
) -> tuple[Ints, dict[str, float]]:
    """Rank each case's target among its candidates.

    Score ties count against the model. A model that writes ids does not rank what it does not
    write: such a target has the last rank. What it writes that is no candidate keeps its place,
    unless the model is held to the candidates (`constrained`). Source: P5's and POD's code.

    Parameters
    ----------
    items : numpy.ndarray
        (interactions,) the log's items.
    candidates : torch.Tensor
        (cases, n) of which one is the target.
    history : bool
        Whether the model is told the history before the candidates.

    Returns
    -------
    ranks : numpy.ndarray
        (cases,) int64.
    shares : dict
        Of all outputs of a model that writes ids those that are malformed, unknown, repeated, or
        items that were not offered.
    """
    model.eval()
    model.to(device)
    writes = isinstance(model, GenerativeRec)
    rows = batch_size(device) if writes else ROWS
    length = model.history_length if history else 0
    ranks, counts = [], np.zeros(len(SHARES))
    for first in range(0, len(cases), rows):
        part = cases.take(np.arange(first, min(first + rows, len(cases))))
        shown = candidates[first : first + rows]
        told, mask = as_input(items, part.starts, part.positions, shown, length)
        told, mask = told.to(device), mask.to(device)
        targets = torch.from_numpy(items[part.positions].astype(np.int64))
        if isinstance(model, GenerativeRec):
            users = torch.from_numpy(part.users.astype(np.int64))
            found, outputs = _find_written(model, users, told, mask, shown, targets)
            counts += outputs
        else:
            assert isinstance(model, SequenceModel)
            found = _rank_scored(model, told, mask, shown.to(device), targets.to(device))
        ranks.append(found.cpu())
    shares = (counts / max(len(cases) * OUTPUTS, 1)).tolist() if writes else []
    return torch.cat(ranks).numpy(), dict(zip(SHARES, shares, strict=False))


def _rank_scored(
    model: SequenceModel,
    items: torch.Tensor,
    mask: torch.Tensor,
    candidates: torch.Tensor,
    targets: torch.Tensor,
) -> torch.Tensor:
    """Rank targets by the scores of the candidates, (batch,)."""
    users = model.user_vectors(items, mask)
    scores = (model.item_matrix()[candidates] @ users[:, :, None])[:, :, 0].float()
    own = scores[candidates == targets[:, None]]
    return scores.shape[1] - (scores < own[:, None]).sum(1)  # NaN comes last


def _find_written(
    model: GenerativeRec,
    users: torch.Tensor,
    items: torch.Tensor,
    mask: torch.Tensor,
    candidates: torch.Tensor,
    targets: torch.Tensor,
) -> tuple[torch.Tensor, list[int]]:
    """Find targets in what a model writes: (batch,) ranks, and counts of what `SHARES` names."""
    found = model.chosen_lists(users, items, mask, candidates.shape[1], OUTPUTS)
    written = found.items.cpu()
    hit = written == targets[:, None]
    last = torch.full_like(targets, candidates.shape[1])
    ranks = torch.where(hit.any(1), hit.int().argmax(1) + 1, last)
    offered = (written[:, :, None] == candidates[:, None, :]).any(2)
    others = int(((written >= 0) & ~offered).sum())
    return ranks, [found.malformed, found.unknown, found.repeated, others]


def check_chooses(model: RankingModel) -> None:
    """See that a model can be taught to choose among items that it reads.

    Raises
    ------
    ConfigError
        When it learns from places in a history, which candidates have not.
    """
    if isinstance(model, EveryPositionModel | BERT4Rec):
        raise ConfigError(
            "A model that learns from the places of a history cannot choose among candidates.",
            "Take one that learns one target per pass: the paper's, P5 or POD.",
        )


def evaluate_top_n(
    model: RankingModel,
    dataset: Dataset,
    split: Split,
    part: Part = "test",
    *,
    history: bool,
    device: str = "cpu",
    seed: int = SEED,
) -> Evaluation:
    """Rank every target of a split's part among 99 items that its user never had.

    Parameters
    ----------
    model : RankingModel
        A `SequenceModel` or a `GenerativeRec`.
    history : bool
        Whether the model is told the history before the candidates.
    seed : int
        Of the 99 and of their order.

    Returns
    -------
    Evaluation
        With the metrics of `METRICS`, without slices.

    Raises
    ------
    DataError
        When the part has no targets, or a user leaves fewer than 99 items.
    ConfigError
        When the model reads candidates as a history of what was chosen.
    """
    check_chooses(model)
    started = time.perf_counter()
    targets: Targets = getattr(split, part)
    if len(targets) == 0:
        raise DataError(f"{split.name} has no {part} targets.", "Choose another split.")
    log = split.interactions
    candidates = fixed_candidates(split, targets, seed)
    ranks, shares = rank_candidates(
        model, log.items, targets, candidates, history=history, device=device
    )
    values = {
        name: per_user_means(metric(ranks), targets.users) for name, metric in METRICS.items()
    }
    protocol = replace(
        protocol_of(model, dataset, split, part, seen_filter=True),
        split=f"{split.name}, {NEGATIVES} negatives (seed {seed})",
        candidates="given",
        n_candidates=NEGATIVES + 1,
        history_length=model.history_length if history else 0,
    )
    cases = pa.table(
        {
            "user_id": log.user_ids.take(pa.array(targets.users)),
            "target_id": log.item_ids.take(pa.array(log.items[targets.positions])),
            "rank": ranks,
        }
    )
    return Evaluation(
        protocol,
        {name: float(found.mean()) for name, found in values.items()} | shares,
        {name: bootstrap_interval(found) for name, found in values.items()},
        {},
        model.leaks(),
        count_repeats(log.items, targets),
        time.perf_counter() - started,
        cases,
    )
