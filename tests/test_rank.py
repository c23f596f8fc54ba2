import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lite_llm4rec.rank import Seen, seen_items, target_ranks, top_k

USERS = torch.tensor([[1.0]])


def test_rank_by_hand():
    matrix = torch.tensor([[0.5], [0.9], [0.5], [0.1], [0.5]])
    assert target_ranks(USERS, matrix, torch.tensor([1])).tolist() == [1]
    # One item is above, two others are equal: score ties count against the model.
    assert target_ranks(USERS, matrix, torch.tensor([2])).tolist() == [4]
    assert target_ranks(USERS, matrix, torch.tensor([3])).tolist() == [5]


def test_seen_items_leave_the_ranking():
    matrix = torch.tensor([[0.5], [0.9], [0.4], [0.1]])
    seen = Seen(torch.tensor([0, 0]), torch.tensor([0, 1]))
    assert target_ranks(USERS, matrix, torch.tensor([2]), seen).tolist() == [1]


def test_constant_scores_give_the_last_rank():
    assert target_ranks(USERS, torch.zeros(7, 1), torch.tensor([3])).tolist() == [7]


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 10**6), st.integers(4, 400))
def test_chunks_change_nothing(n_items: int, rows: int, seed: int, max_bytes: int):
    generator = torch.Generator().manual_seed(seed)
    users = torch.randint(-3, 4, (rows, 2), generator=generator).float()
    matrix = torch.randint(-3, 4, (n_items, 2), generator=generator).float()
    targets = torch.randint(0, n_items, (rows,), generator=generator)
    scores = users @ matrix.T
    own = scores.gather(1, targets[:, None])
    expected = (scores > own).sum(1) + (scores == own).sum(1)
    assert torch.equal(target_ranks(users, matrix, targets, None, max_bytes), expected)
    best, _ = scores.topk(min(5, n_items))
    items, values = top_k(users, matrix, min(5, n_items), None, None, max_bytes)
    assert torch.equal(values, best)
    assert torch.equal(scores.gather(1, items), best)


def test_top_k_never_returns_what_it_must_not():
    matrix = torch.arange(6.0)[:, None]
    seen = Seen(torch.tensor([0, 0]), torch.tensor([5, 3]))
    allowed = torch.tensor([True, True, False, True, False, True])
    items, scores = top_k(USERS, matrix, 4, seen, allowed)
    assert items.tolist() == [[1, 0, -1, -1]]
    assert scores[0, 2:].isneginf().all()


def test_seen_items_spare_the_target():
    log = np.array([7, 8, 7, 9])
    seen = seen_items(log, np.array([0, 2]), np.array([2, 4]), np.array([7, 1]))
    assert seen.rows.tolist() == [0, 1, 1]
    assert seen.items.tolist() == [8, 7, 9]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_vectors_are_ranked_in_fp32(dtype: torch.dtype):
    matrix = torch.tensor([[256.0, 1.0], [256.0, 0.0]], dtype=dtype)  # bf16 has no 257
    users = torch.ones(1, 2, dtype=dtype)
    assert target_ranks(users, matrix, torch.tensor([0])).tolist() == [1]


def test_scores_that_are_no_numbers_rank_last() -> None:
    users, matrix = torch.ones(2, 3), torch.ones(5, 3)
    matrix[1] = float("nan")
    ranks = target_ranks(users, matrix, torch.tensor([0, 1]))
    assert ranks.tolist() == [5, 5]
