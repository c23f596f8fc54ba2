import numpy as np
import pytest
import torch
from torchmetrics.retrieval import RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

from lite_llm4rec.metrics import bootstrap_interval, coverage, ndcg, recall, reciprocal_rank


def test_by_hand():
    ranks = np.array([1, 2, 10, 11, 20, 21])
    assert recall(ranks, 10).tolist() == [1, 1, 1, 0, 0, 0]
    assert recall(ranks, 20).mean() == pytest.approx(5 / 6)
    expected = [1, 1 / np.log2(3), 1 / np.log2(11), 0, 0, 0]
    assert ndcg(ranks, 10) == pytest.approx(expected)
    assert reciprocal_rank(ranks)[3] == pytest.approx(1 / 11)


def test_a_perfect_and_a_random_ranking():
    assert ndcg(np.ones(5, int), 10).mean() == recall(np.ones(5, int), 10).mean() == 1
    uniform = np.arange(1, 1001)
    assert recall(uniform, 10).mean() == pytest.approx(10 / 1000)


def test_agrees_with_torchmetrics():
    """An independent library gets scores, ours the ranks counted from them."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(60, 50, generator=generator)
    targets = torch.randint(0, 50, (60,), generator=generator)
    relevant = torch.nn.functional.one_hot(targets, 50)
    query = torch.arange(60)[:, None].expand(60, 50)
    own = scores.gather(1, targets[:, None])
    ranks = ((scores >= own).sum(1)).numpy()
    for theirs, ours in (
        (RetrievalRecall(top_k=10), recall(ranks, 10)),
        (RetrievalNormalizedDCG(top_k=10), ndcg(ranks, 10)),
        (RetrievalMRR(), reciprocal_rank(ranks)),
    ):
        value = theirs(scores.flatten(), relevant.flatten(), indexes=query.flatten())
        assert float(value) == pytest.approx(ours.mean(), abs=1e-6)


def test_coverage_ignores_empty_places():
    assert coverage(np.array([[0, 1, -1], [1, 2, -1]]), 6) == 0.5


def test_bootstrap_interval_covers_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        low, high = bootstrap_interval((rng.random(400) < 0.3).astype(float), seed=seed)
        inside += low <= 0.3 <= high
    assert 180 <= inside <= 199


def test_bootstrap_of_a_constant_is_the_constant():
    assert bootstrap_interval(np.full(10, 0.25)) == (0.25, 0.25)
