"""The Top-N task: what is drawn, what goes in, and ranks that are known exactly."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lite_llm4rec import top_n
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, last_n, leave_one_out
from lite_llm4rec.errors import DataError
from lite_llm4rec.models import CatalogueFacts, GenerativeConfig, GenerativeRec
from lite_llm4rec.models.base import RankedLists, SequenceModel
from lite_llm4rec.rank import Seen
from lite_llm4rec.top_n import (
    METRICS,
    as_input,
    draw_candidates,
    evaluate_top_n,
    fixed_candidates,
    rank_candidates,
)
from tests.conftest import ring_tables

N_ITEMS, LENGTH = 130, 8


@pytest.fixture(scope="module")
def wide() -> Dataset:
    """A ring of 130 items, 600 users with 8 interactions."""
    return Dataset.from_tables(*ring_tables(600, N_ITEMS, LENGTH, seed=0), name="wide")


@pytest.fixture(scope="module")
def split(wide: Dataset) -> Split:
    return leave_one_out(wide.interactions)


class Scorer(SequenceModel):
    """Scores items by a rule that sees the input: (batch, N)."""

    history_length = 5

    def __init__(self, rule: Any) -> None:
        super().__init__()
        self.rule = rule
        self.matrix = nn.Parameter(torch.eye(N_ITEMS))
        self.told: list[torch.Tensor] = []

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        self.told += [row[seen] for row, seen in zip(items, mask, strict=True)]
        return torch.stack([self.rule(row) for row in self.told[-len(items) :]])

    def item_matrix(self) -> torch.Tensor:
        return self.matrix

    def training_loss(self, batch: Batch) -> torch.Tensor:
        raise NotImplementedError


def by_position(row: torch.Tensor) -> torch.Tensor:
    """Prefer what stands first."""
    scores = torch.full((N_ITEMS,), -1e6)
    scores[row] = -torch.arange(len(row)).float()
    return scores


def one_hot(item: int) -> torch.Tensor:
    return nn.functional.one_hot(torch.tensor(item), N_ITEMS).float()


def after_the_last(row: torch.Tensor) -> torch.Tensor:
    """Prefer what follows the history's last item in the ring; 100 candidates stand behind it."""
    return one_hot((int(row[-101]) + 1) % N_ITEMS)


def measure(model: Any, dataset: Dataset, history: bool = False, **how: Any) -> dict[str, float]:
    split = leave_one_out(dataset.interactions)
    return evaluate_top_n(model, dataset, split, history=history, **how).metrics


def test_what_is_ranked_is_the_target_and_99_that_the_user_never_had(split: Split):
    log = split.interactions
    found = fixed_candidates(split, split.test)
    assert found.shape == (600, 100)
    for user, row in enumerate(found.tolist()):
        had = set(log.history(user).tolist())
        target = int(log.items[split.test.positions[user]])
        assert len(set(row)) == 100
        assert set(row) & had == {target}


def test_it_is_fixed_by_a_seed_and_every_unseen_item_is_as_likely(split: Split):
    first, again = (fixed_candidates(split, split.test, seed) for seed in (0, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, fixed_candidates(split, split.test, 1))
    counts = torch.bincount(first.flatten(), minlength=N_ITEMS)
    assert counts.max() < 1.2 * counts.min()


def test_the_targets_place_tells_nothing(split: Split):
    log = split.interactions
    targets = torch.from_numpy(log.items[split.test.positions].astype(np.int64))
    places = (fixed_candidates(split, split.test) == targets[:, None]).int().argmax(1)
    tenths = torch.bincount(places // 10, minlength=10)
    assert tenths.sum() == 600
    assert tenths.min() > 30 and tenths.max() < 95  # 60 each are expected


def test_too_few_items_are_told():
    log = Dataset.from_tables(*ring_tables(300, 105, LENGTH, seed=0)).interactions
    part = leave_one_out(log)
    with pytest.raises(DataError, match="one with 97 of 105"):
        fixed_candidates(part, part.test)
    with pytest.raises(DataError, match="99 items that a user never had"):
        draw_candidates(20, torch.tensor([3]), Seen(torch.tensor([0]), torch.tensor([3])))


def test_candidates_stand_behind_the_end_of_the_history():
    items = np.arange(10)
    starts, positions = np.array([0, 5]), np.array([4, 6])
    shown = torch.tensor([[20, 21], [22, 23]])
    told, mask = as_input(items, starts, positions, shown, 3)
    assert [row[seen].tolist() for row, seen in zip(told, mask, strict=True)] == [
        [1, 2, 3, 20, 21],
        [5, 22, 23],
    ]
    assert mask[1].tolist() == [True] * 3 + [False] * 2
    told, mask = as_input(items, starts, positions, shown, 0)
    assert [row[seen].tolist() for row, seen in zip(told, mask, strict=True)] == shown.tolist()


@pytest.mark.parametrize("history", [False, True])
def test_the_model_is_told_the_candidates_and_the_history_alone_if_asked(
    wide: Dataset, split: Split, history: bool
):
    model = Scorer(by_position)
    found = evaluate_top_n(model, wide, split, history=history)
    log, candidates = split.interactions, fixed_candidates(split, split.test)
    for user in (0, 7, 599):
        before = log.history(user)[2:7].tolist() if history else []
        assert model.told[user].tolist() == before + candidates[user].tolist()
    assert found.protocol.history_length == (5 if history else 0)
    assert (found.protocol.n_candidates, found.protocol.candidates) == (100, "given")
    assert "99 negatives (seed 0)" in found.protocol.line()


def test_an_oracle_is_always_right(wide: Dataset):
    found = measure(Scorer(after_the_last), wide, history=True)
    assert found == dict.fromkeys(METRICS, 1.0)


def test_ties_count_against_a_constant_model(wide: Dataset, split: Split):
    model = Scorer(lambda row: torch.zeros(N_ITEMS))
    assert measure(model, wide) == dict.fromkeys(METRICS, 0.0)
    shown = fixed_candidates(split, split.test)
    ranks, _ = rank_candidates(model, split.interactions.items, split.test, shown, history=False)
    assert set(ranks.tolist()) == {100}


def test_who_prefers_the_first_place_is_as_good_as_chance(wide: Dataset):
    found = measure(Scorer(by_position), wide)
    for k in (1, 5, 10):
        assert found[f"recall@{k}"] == pytest.approx(k / 100, abs=3 * (k / 100 / 600) ** 0.5)


def test_a_random_model_is_as_good_as_chance(wide: Dataset):
    generator = torch.Generator().manual_seed(9)  # not that of the negatives
    model = Scorer(lambda row: torch.rand(N_ITEMS, generator=generator))
    found = evaluate_top_n(model, wide, leave_one_out(wide.interactions), history=True)
    low, high = found.intervals["recall@10"]
    assert low < 0.1 < high
    assert found.metrics["recall@1"] < found.metrics["recall@5"] < found.metrics["recall@10"]


def test_ranks_by_hand_and_one_row_for_each_user(wide: Dataset, split: Split):
    """Items are scored by their number: the rank is that of the target among the candidates."""
    model = Scorer(lambda row: torch.arange(N_ITEMS).float())
    found = evaluate_top_n(model, wide, split, history=False)
    log, shown = split.interactions, fixed_candidates(split, split.test)
    targets = torch.from_numpy(log.items[split.test.positions].astype(np.int64))
    expected = (shown >= targets[:, None]).sum(1)
    assert found.cases["rank"].to_pylist() == expected.tolist()
    assert found.cases["user_id"].to_pylist() == list(range(600))
    hits = np.array([rank <= 5 for rank in expected.tolist()])
    assert found.metrics["recall@5"] == pytest.approx(hits.mean())


def test_users_with_several_targets_are_averaged(wide: Dataset):
    part = last_n(wide.interactions, 2)
    found = evaluate_top_n(Scorer(by_position), wide, part, history=True)
    assert len(found.cases) == 1200
    assert 0 < found.metrics["recall@10"] < 0.5
    with pytest.raises(DataError, match="no valid targets"):
        nothing = replace(part, valid=part.valid.take(np.array([], np.int64)))
        evaluate_top_n(Scorer(by_position), wide, nothing, "valid", history=True)


class Writer(GenerativeRec):
    """Writes known lists."""

    def chosen_lists(self, users: Any, items: Any, mask: Any, candidates: int, k: int) -> Any:
        rows = [row[seen][-candidates:] for row, seen in zip(items, mask, strict=True)]
        found = torch.full((len(items), k), -1)
        for place, row in enumerate(rows):
            others = np.setdiff1d(np.arange(N_ITEMS), row.numpy())
            found[place, 1] = int(others[0])  # no candidate
            found[place, 2:12] = row[:10]
        return RankedLists(found, torch.zeros(found.shape), 7, 5, 3)


SHAPE = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}


def generative(kind: type[GenerativeRec], split: Split, **settings: Any) -> GenerativeRec:
    torch.manual_seed(0)
    config = GenerativeConfig(
        backbone="t5", from_scratch=True, shape=SHAPE, dropout=0.0, history_length=5, **settings
    )
    facts = CatalogueFacts(torch.empty(N_ITEMS, 0), torch.ones(N_ITEMS), split=split)
    return kind.create(config, facts).eval()


def test_what_was_not_offered_keeps_its_place_and_the_rest_is_missed(split: Split):
    model = generative(Writer, split)
    log, shown = split.interactions, fixed_candidates(split, split.test)
    ranks, shares = rank_candidates(model, log.items, split.test, shown, history=True)
    targets = torch.from_numpy(log.items[split.test.positions].astype(np.int64))
    places = (shown == targets[:, None]).int().argmax(1)
    expected = [place + 3 if place < 10 else 100 for place in places.tolist()]
    assert ranks.tolist() == expected
    batches = -(-600 // 32)
    assert shares == pytest.approx(
        {
            "malformed": 7 * batches / 12000,
            "unknown": 5 * batches / 12000,
            "repeated": 3 * batches / 12000,
            "not offered": 600 / 12000,
        }
    )


@pytest.mark.parametrize("style", ["p5", "pod"])
def test_held_to_the_candidates_an_untrained_model_is_as_good_as_chance(
    wide: Dataset, split: Split, style: Any
):
    few = replace(split, test=split.test.take(np.arange(64)))
    model = generative(GenerativeRec, split, style=style, constrained=True)
    found = evaluate_top_n(model, wide, few, history=True).metrics
    assert found["malformed"] == found["unknown"] == found["repeated"] == found["not offered"] == 0
    assert 0 < found["recall@10"] < 0.25


def test_scores_that_are_no_numbers_come_last():
    class Diverged:
        def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return torch.full((len(items), 1), torch.nan)

        def item_matrix(self) -> torch.Tensor:
            return torch.ones(5, 1)

    model: Any = Diverged()
    offered, target = torch.arange(5)[None], torch.tensor([2])
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    ranks = top_n._rank_scored(model, nothing, nothing.bool(), offered, target)
    assert ranks.tolist() == [5]
