import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, Targets, last_n, leave_one_out
from lite_llm4rec.errors import DataError
from lite_llm4rec.evaluate import Evaluation, evaluate, rank_cases
from lite_llm4rec.models.base import SequenceModel
from tests.conftest import ring_tables


class Fixed(SequenceModel):
    """Scores item `i` after the item `j` with `table[j, i]`; reads the last item alone."""

    history_length = 1

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(table.float())

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        last = items[torch.arange(len(items)), mask.sum(1) - 1]
        return torch.eye(len(self.table))[last]

    def item_matrix(self) -> torch.Tensor:
        return self.table.T

    def training_loss(self, batch: Batch) -> torch.Tensor:
        raise NotImplementedError


HISTORIES = {"u1": "abcd", "u2": "bade", "u3": "ccec", "u4": "af"}
# What follows c, d and e; columns a to f.
SCORES = {"c": [9, 8, 7, 3, 4, 5], "d": [8, 9, 1, 7, 5, 5], "e": [6, 5, 2, 1, 9, 0]}


def dataset_of(histories: dict[str, str]) -> Dataset:
    rows = [
        (user, item, 1_700_000_000 + time)
        for user, items in histories.items()
        for time, item in enumerate(items)
    ]
    users, items, times = zip(*rows, strict=True)
    log = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    return Dataset.from_tables(log, name="hand-made")


@pytest.fixture
def world() -> tuple[Fixed, Dataset, Split]:
    dataset = dataset_of(HISTORIES)
    table = torch.zeros(6, 6)
    for item, scores in SCORES.items():
        table["abcdef".index(item)] = torch.tensor(scores)
    return Fixed(table), dataset, leave_one_out(dataset.interactions)


@pytest.fixture
def random_world(ring: Dataset) -> tuple[Fixed, Dataset, Split]:
    table = torch.randn(60, 60, generator=torch.Generator().manual_seed(0))
    return Fixed(table), ring, leave_one_out(ring.interactions)


def test_by_hand(world):
    found = evaluate(*world)
    # u1: f and e are above d. u2: f ties with e. u3: a and b are above c, which stays though seen.
    assert found.cases.to_pydict() == {
        "user_id": ["u1", "u2", "u3"],
        "target_id": ["d", "e", "c"],
        "rank": [3, 2, 3],
        "history_length": [3, 3, 3],
        "cold": [True, True, False],
    }
    second, third = 1 / np.log2(3), 1 / np.log2(4)
    assert found.metrics == pytest.approx(
        {
            "recall@10": 1.0,
            "recall@20": 1.0,
            "ndcg@10": (third + second + third) / 3,
            "ndcg@20": (third + second + third) / 3,
            "mrr": (1 / 3 + 1 / 2 + 1 / 3) / 3,
            "coverage@10": 1.0,
            "cold@10": 4 / 11,  # d and e, in lists of 3, 3 and 5 unseen items
            "cold_targets": 2 / 3,
        }
    )
    assert found.intervals["recall@10"] == (1.0, 1.0)
    low, high = found.intervals["mrr"]
    assert 1 / 3 <= low < found.metrics["mrr"] < high <= 1 / 2
    assert found.repeats == 1
    assert found.leaks == []


def test_slices_by_hand(world):
    slices = evaluate(*world).slices
    assert {name: values["cases"] for name, values in slices.items()} == {
        "warm": 1,
        "cold": 2,
        "history 1–5": 3,
    }
    assert slices["warm"]["mrr"] == pytest.approx(1 / 3)
    assert slices["cold"]["mrr"] == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_means_are_over_users_in_slices_too(world):
    model, dataset, split = world
    twice = replace(split, test=split.test.take(np.array([0, 0, 1, 2])))  # u1 has two targets
    found, once = evaluate(model, dataset, twice), evaluate(model, dataset, split)
    assert found.slices["cold"] == {**once.slices["cold"], "cases": 3}
    assert found.slices["history 1–5"]["mrr"] == found.metrics["mrr"] == once.metrics["mrr"]


def test_the_seen_filter_removes_the_whole_history(world):
    """The model reads one item; a and b are removed too, and come back without the filter."""
    model, dataset, split = world
    assert model.history_length == 1
    kept = evaluate(model, dataset, split, seen_filter=False)
    assert kept.cases["rank"].to_pylist() == [6, 5, 4]
    assert not kept.protocol.seen_filter
    assert kept.repeats == 1


def test_validation_reads_nothing_after_its_target(world):
    _, dataset, split = world
    table = torch.zeros(6, 6)
    table[1, 2] = table[0, 3] = table[2, 4] = 1.0  # c after b, d after a, e after c
    found = evaluate(Fixed(table), dataset, split, "valid")
    assert found.cases["target_id"].to_pylist() == ["c", "d", "e"]
    assert found.cases["rank"].to_pylist() == [1, 1, 1]


def test_equal_scores_get_the_last_rank(random_world):
    _, dataset, split = random_world
    model = Fixed(torch.zeros(60, 60))
    ranks = evaluate(model, dataset, split, seen_filter=False).cases["rank"].to_pylist()
    assert ranks == [60] * 200
    ranks = evaluate(model, dataset, split).cases["rank"].to_pylist()
    assert ranks == [60 - 7] * 200  # 7 distinct items are seen


def test_coverage_counts_the_items_that_are_listed(random_world):
    _, dataset, split = random_world
    table = torch.zeros(60, 60)
    table[:, :17] = 1.0 + torch.arange(17)
    found = evaluate(Fixed(table), dataset, split, seen_filter=False)
    assert found.metrics["coverage@10"] == 10 / 60


def test_chunks_change_nothing(random_world):
    whole = evaluate(*random_world)
    for batch, max_score_bytes in ((256, 1), (7, 7 * 4 * 11)):
        parts = evaluate(*random_world, batch=batch, max_score_bytes=max_score_bytes)
        assert parts.cases.equals(whole.cases)
        assert parts.metrics == whole.metrics
        assert parts.intervals == whole.intervals
        assert parts.slices == whole.slices


def test_a_user_counts_once_however_many_targets():
    dataset = dataset_of({"x": "abcd", "y": "bade"})
    test = Targets(np.array([0, 0, 1]), np.array([0, 0, 4]), np.array([1, 3, 7]))
    nothing = Targets(*[np.empty(0, np.int64)] * 3)
    split = Split("mine", dataset.interactions, np.array([1, 7]), nothing, test)
    table = torch.zeros(5, 5)
    table[0] = torch.tensor([0, 9, 8, 7, 6])  # after a comes b: rank 1
    table[2] = torch.tensor([0, 0, 0, 1, 4])  # after c comes d: e is above it, rank 2
    table[3] = torch.tensor([0, 0, 9, 0, 1])  # after d comes e: c is above it, rank 2
    found = evaluate(Fixed(table), dataset, split)
    assert found.cases["rank"].to_pylist() == [1, 2, 2]
    assert found.metrics["mrr"] == pytest.approx(((1 + 1 / 2) / 2 + 1 / 2) / 2)


def test_last_n_has_n_targets_per_user(random_world):
    model, dataset, _ = random_world
    found = evaluate(model, dataset, last_n(dataset.interactions, 2))
    assert found.cases.num_rows == 400
    assert found.protocol.split == "last_2"
    ranks = found.cases["rank"].to_numpy().reshape(200, 2)
    assert found.metrics["mrr"] == pytest.approx((1 / ranks).mean(1).mean())


def test_the_protocol_says_all_that_matters(random_world):
    model, dataset, split = random_world
    found = evaluate(model, dataset, split)
    assert found.to_dict()["protocol"] == {
        "dataset": "ring",
        "sequences_sha256": dataset.interactions.sequences_sha256,
        "time": "unix",
        "time_ties": 0,
        "split": "leave_one_out",
        "part": "test",
        "candidates": "interacted",
        "n_candidates": 60,
        "seen_filter": True,
        "history_length": 1,
        "score_ties": "against the model",
    }
    assert found.protocol.line() == (
        f"ring ({dataset.interactions.sequences_sha256[:12]}), leave_one_out test, "
        "60 candidates (interacted), seen items removed, history ≤ 1, "
        "time is unix, 0 time ties in table order"
    )


def test_an_evaluation_survives_json(world):
    found = evaluate(*world)
    again = Evaluation.from_dict(json.loads(json.dumps(found.to_dict())), found.cases)
    assert again == found


def test_the_order_of_users_in_the_table_changes_nothing():
    log, _ = ring_tables(60, 20, 6, seed=1)
    order = np.random.default_rng(2).permutation(60)
    rows = (order[:, None] * 6 + np.arange(6)).ravel()
    table = torch.randn(20, 20, generator=torch.Generator().manual_seed(0))
    found = []
    for given in (log, log.take(pa.array(rows))):
        dataset = Dataset.from_tables(given, name="ring")
        found.append(evaluate(Fixed(table), dataset, leave_one_out(dataset.interactions)))
    first, second = found
    assert first.protocol == second.protocol
    assert first.metrics == pytest.approx(second.metrics)
    assert first.intervals == second.intervals
    assert first.cases.sort_by("user_id").equals(second.cases.sort_by("user_id"))
    assert not first.cases.equals(second.cases)


def test_a_part_without_targets_is_refused(world):
    model, dataset, split = world
    nothing = Targets(*[np.empty(0, np.int64)] * 3)
    with pytest.raises(DataError, match="leave_one_out has no valid targets"):
        evaluate(model, dataset, replace(split, valid=nothing), "valid")


def test_leak_targets_in_training(world):
    model, dataset, split = world
    leaky = replace(split, train_ends=dataset.interactions.offsets[1:])
    assert evaluate(model, dataset, leaky).leaks == ["3 targets occur as training targets."]


def test_leak_times_out_of_order(world):
    model, dataset, _ = world
    log = replace(dataset.interactions, times=dataset.interactions.times[::-1].copy())
    assert evaluate(model, dataset, leave_one_out(log)).leaks == [
        "Histories are not in the order of time."
    ]


def test_leak_ranks_that_depend_on_numbers(random_world, monkeypatch):
    """Score ties broken by the item's number, as a list in catalogue order does."""
    _, dataset, split = random_world

    def optimistic(users, matrix, targets, seen, max_score_bytes):
        return targets + 1

    model = Fixed(torch.zeros(60, 60))
    assert evaluate(model, dataset, split).leaks == []
    monkeypatch.setattr("lite_llm4rec.evaluate.target_ranks", optimistic)
    (leak,) = evaluate(model, dataset, split).leaks
    assert leak.startswith("Renumbering the items changes ") and leak.endswith("of 200 ranks.")


def test_renumbering_moves_items_with_their_scores(random_world):
    model, dataset, split = random_world
    log = dataset.interactions
    shuffled = np.random.default_rng(1).permutation(60)
    ranks, lists = rank_cases(model, log.items, split.test)
    others, renumbered = rank_cases(model, log.items, split.test, renumbering=shuffled)
    assert (ranks == others).all()
    assert (shuffled[lists] == renumbered).all()
