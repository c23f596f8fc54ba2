"""Protocol → one row per case → means over users with confidence intervals, and leak checks."""

import time
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from lite_llm4rec.data.batching import pad
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.sampling import STRATEGIES
from lite_llm4rec.data.split import Split, Targets
from lite_llm4rec.errors import DataError
from lite_llm4rec.metrics import CASE_METRICS, bootstrap_interval, coverage, per_user_means
from lite_llm4rec.models.base import GenerativeModel, RankingModel, SequenceModel
from lite_llm4rec.rank import MAX_SCORE_BYTES, seen_items, target_ranks, top_k
from lite_llm4rec.rank_generated import rank_generated

Part = Literal["valid", "test"]
HISTORY_BINS = (5, 10, 20, 50, 100)
LIST_LENGTH = 10


@dataclass(frozen=True)
class Protocol:
    """All that decides what a number means; stored and printed with each."""

    dataset: str
    sequences_sha256: str
    time: str
    time_ties: int | None
    split: str
    part: Part
    candidates: str
    n_candidates: int
    seen_filter: bool
    history_length: int
    score_ties: str = "against the model"

    def line(self) -> str:
        """Say it in one line."""
        ties = "" if self.time_ties is None else f", {self.time_ties:,} time ties in table order"
        return (
            f"{self.dataset} ({self.sequences_sha256[:12]}), {self.split} {self.part}, "
            f"{self.n_candidates:,} candidates ({self.candidates}), "
            f"seen items {'removed' if self.seen_filter else 'kept'}, "
            f"history ≤ {self.history_length}, time is {self.time}{ties}"
        )


@dataclass(frozen=True)
class Evaluation:
    """A protocol and what was measured under it.

    Attributes
    ----------
    metrics : dict
        Means over users; `coverage@10`; the share of cold items in the lists, `cold@10`, and
        among the targets, `cold_targets`; of a model that writes ids the shares of outputs that
        are `malformed`, `unknown` or `repeated`.
    intervals : dict
        95 % bootstrap interval over users of each mean.
    slices : dict
        The same means for warm and cold targets and by history length, over the users who have
        such, with `cases`.
    leaks : list of str
        What the leak checks found; empty when all passed.
    repeats : int
        Targets that occur in their own history.
    cases : pyarrow.Table
        One row per case: user_id, target_id, rank, history_length, cold. A run folder keeps
        those of the test alone, so it is None in a loaded validation.
    """

    protocol: Protocol
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    slices: dict[str, dict[str, float]]
    leaks: list[str]
    repeats: int
    seconds: float
    cases: pa.Table = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the cases, as JSON can hold it."""
        values = asdict(Evaluation(**{**self.__dict__, "cases": None}))
        del values["cases"]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any], cases: pa.Table) -> "Evaluation":
        """Build an evaluation from what `to_dict` gave."""
        intervals = {name: tuple(pair) for name, pair in values["intervals"].items()}
        protocol = Protocol(**values["protocol"])
        return cls(**{**values, "protocol": protocol, "intervals": intervals, "cases": cases})


@torch.no_grad()
def evaluate(
    model: RankingModel,
    dataset: Dataset,
    split: Split,
    part: Part = "test",
    *,
    seen_filter: bool = True,
    device: str = "cpu",
    batch: int = 256,
    max_score_bytes: int = MAX_SCORE_BYTES,
) -> Evaluation:
    """Rank every target of a split's part among the whole catalogue.

    Parameters
    ----------
    model : RankingModel
    dataset, split : Dataset, Split
        The split must be of this dataset's interactions.
    part : "valid" or "test"
    seen_filter : bool
        Remove each case's whole known history from its ranking.
    batch : int
        Cases at a time.
    max_score_bytes : int
        Bound on the scores held at once.

    Raises
    ------
    DataError
        When the part has no targets.
    """
    started = time.perf_counter()
    targets: Targets = getattr(split, part)
    if len(targets) == 0:
        raise DataError(f"{split.name} has no {part} targets.", "Choose another split.")
    log = split.interactions
    ranks, lists, shares = rank_and_count(
        model,
        log.items,
        targets,
        seen_filter=seen_filter,
        device=device,
        batch=batch,
        max_score_bytes=max_score_bytes,
    )
    per_user = {
        name: per_user_means(metric(ranks), targets.users) for name, metric in CASE_METRICS.items()
    }
    metrics = {name: float(values.mean()) for name, values in per_user.items()}
    metrics.update(shares)
    metrics[f"coverage@{LIST_LENGTH}"] = coverage(lists, len(dataset.catalogue))
    cold = split.train_counts() == 0
    cases = _case_table(split, targets, ranks, cold)
    listed = cold[lists[lists >= 0]]
    metrics[f"cold@{LIST_LENGTH}"] = float(listed.mean()) if len(listed) else 0.0
    metrics["cold_targets"] = float(cases["cold"].to_numpy().mean())
    return Evaluation(
        protocol_of(model, dataset, split, part, seen_filter),
        metrics,
        {name: bootstrap_interval(values) for name, values in per_user.items()},
        _slices(ranks, targets, cases["cold"].to_numpy()),
        leak_checks(model, split, targets, ranks, seen_filter=seen_filter, device=device),
        count_repeats(log.items, targets),
        time.perf_counter() - started,
        cases,
    )


def protocol_of(
    model: RankingModel, dataset: Dataset, split: Split, part: Part, seen_filter: bool
) -> Protocol:
    """Say what decides the numbers of an evaluation."""
    log = split.interactions
    return Protocol(
        dataset.name,
        log.sequences_sha256,
        log.time,
        log.time_ties,
        split.name,
        part,
        dataset.candidates,
        len(dataset.catalogue),
        seen_filter,
        model.history_length,
    )


def _case_table(
    split: Split, targets: Targets, ranks: Ints, cold: npt.NDArray[np.bool_]
) -> pa.Table:
    """Put what was measured in one row per case, ids as the caller has them."""
    log = split.interactions
    items = log.items[targets.positions]
    return pa.table(
        {
            "user_id": log.user_ids.take(pa.array(targets.users)),
            "target_id": log.item_ids.take(pa.array(items)),
            "rank": ranks,
            "history_length": targets.positions - targets.starts,
            "cold": cold[items],
        }
    )


def rank_cases(model: RankingModel, items: Ints, targets: Targets, **how: Any) -> tuple[Ints, Ints]:
    """Rank each case's target and list the best items: `rank_and_count` without its shares."""
    return rank_and_count(model, items, targets, **how)[:2]


@torch.no_grad()
def rank_and_count(
    model: RankingModel,
    items: Ints,
    targets: Targets,
    *,
    seen_filter: bool = True,
    device: str = "cpu",
    batch: int = 256,
    max_score_bytes: int = MAX_SCORE_BYTES,
    renumbering: Ints | None = None,
) -> tuple[Ints, Ints, dict[str, float]]:
    """Rank each case's target and list the best items.

    Parameters
    ----------
    items : numpy.ndarray
        (interactions,) the log's items.
    renumbering : numpy.ndarray, optional
        (N,) a permutation: rank as if item `i` had the number `renumbering[i]`.

    Returns
    -------
    ranks : numpy.ndarray
        (cases,) int64.
    lists : numpy.ndarray
        (cases, 10) item numbers, −1 where there is none.
    shares : dict
        Of a model that writes ids: see `rank_generated`.
    """
    model.eval()
    model.to(device)
    if isinstance(model, GenerativeModel):
        return rank_generated(
            model, items, targets, seen_filter=seen_filter, device=device, list_length=LIST_LENGTH
        )
    assert isinstance(model, SequenceModel)
    matrix = model.item_matrix()
    numbers = items
    if renumbering is not None:
        matrix = matrix[torch.from_numpy(np.argsort(renumbering)).to(matrix.device)]
        numbers = renumbering[items]
    ranks, lists = [], []
    for first in range(0, len(targets), batch):
        part = targets.take(np.arange(first, min(first + batch, len(targets))))
        users = encode_cases(model, items, part, device)
        goals = numbers[part.positions].astype(np.int64)
        seen = seen_items(numbers, part.starts, part.positions, goals) if seen_filter else None
        ranks.append(
            target_ranks(users, matrix, torch.from_numpy(goals).to(device), seen, max_score_bytes)
        )
        lists.append(
            top_k(users, matrix, min(LIST_LENGTH, len(matrix)), seen, None, max_score_bytes)[0]
        )
    return torch.cat(ranks).cpu().numpy(), torch.cat(lists).cpu().numpy(), {}


def encode_cases(model: SequenceModel, items: Ints, cases: Targets, device: str) -> torch.Tensor:
    """Encode the last `history_length` items before each case's position, (cases, dim)."""
    starts = np.maximum(cases.starts, cases.positions - model.history_length)
    histories, mask = pad(items, starts, cases.positions)
    return model.user_vectors(histories.to(device), mask.to(device))


def leak_checks(
    model: RankingModel,
    split: Split,
    targets: Targets,
    ranks: Ints,
    *,
    seen_filter: bool = True,
    device: str = "cpu",
) -> list[str]:
    """Check what would make a number worthless; each finding is a sentence.

    A target that training may see, histories out of order, numbers that a model reads or writes
    and that tell too much, which it says itself, and ranks that change when the items' vectors
    and scores are renumbered (on a sample of 512 cases): then the ranking is not by scores alone.
    """
    found = model.leaks()
    visited = np.zeros(len(split.interactions), bool)
    for sampler in STRATEGIES.values():
        visited[sampler(split, model.history_length, 0, 0).targets] = True
    if visited[targets.positions].any():
        found.append(
            f"{int(visited[targets.positions].sum()):,} targets occur as training targets."
        )
    if _out_of_order(split):
        found.append("Histories are not in the order of time.")
    if isinstance(model, GenerativeModel):  # it has no such vectors
        return found
    sample = np.arange(min(512, len(targets)))
    permutation = np.random.default_rng(0).permutation(split.interactions.n_items)
    renumbered = rank_cases(
        model,
        split.interactions.items,
        targets.take(sample),
        seen_filter=seen_filter,
        device=device,
        renumbering=permutation,
    )[0]
    changed = np.abs(renumbered - ranks[sample]) > 1  # a rounding may swap two near-equal scores
    if changed.any():
        found.append(f"Renumbering the items changes {int(changed.sum())} of {len(sample)} ranks.")
    return found


def _slices(
    ranks: Ints, targets: Targets, cold: npt.NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    lengths = targets.positions - targets.starts
    masks = {"warm": ~cold, "cold": cold}
    edges = [0, *HISTORY_BINS, 2**62]
    for low, high in pairwise(edges):
        name = f"history {low + 1}–{high}" if high < 2**62 else f"history > {low}"
        masks[name] = (lengths > low) & (lengths <= high)
    return {
        name: {"cases": int(mask.sum()), **_means(ranks[mask], targets.users[mask])}
        for name, mask in masks.items()
        if mask.any()
    }


def _means(ranks: Ints, users: Ints) -> dict[str, float]:
    """Average each metric over users, each of whom may have several cases."""
    return {
        name: float(per_user_means(metric(ranks), users).mean())
        for name, metric in CASE_METRICS.items()
    }


def count_repeats(items: Ints, targets: Targets) -> int:
    """Count the targets that occur in their own history."""
    order = np.argsort(items, kind="stable")
    again = items[order[1:]] == items[order[:-1]]
    before = np.full(len(items), -1)  # where in the log an item stood last
    before[order[1:][again]] = order[:-1][again]
    return int((before[targets.positions] >= targets.starts).sum())


def _out_of_order(split: Split) -> bool:
    log = split.interactions
    same_user = log.users[1:] == log.users[:-1]
    return bool(((log.times[1:] < log.times[:-1]) & same_user).any())
