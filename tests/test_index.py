"""Approximate top-k against exact."""

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from lite_llm4rec import index as index_module
from lite_llm4rec import recommender as recommender_module
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import ConfigError, StoreError
from lite_llm4rec.index import Index
from lite_llm4rec.models import CausalConfig
from lite_llm4rec.rank import Seen, top_k
from lite_llm4rec.recommender import Recommender
from tests.conftest import drawn_vectors, tiny_preset, untrained

N_ITEMS, WIDTH = 3000, 12


@pytest.fixture(scope="module")
def world() -> tuple[torch.Tensor, torch.Tensor]:
    """An item matrix and user vectors near to items."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(N_ITEMS, WIDTH, generator=generator)
    noise = torch.randn(100, WIDTH, generator=generator)
    return matrix, matrix[torch.randperm(N_ITEMS, generator=generator)[:100]] + 0.3 * noise


@pytest.fixture(scope="module")
def index(world: tuple[torch.Tensor, torch.Tensor]) -> Index:
    return Index.build(*world)


def shared(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first[:, :, None] == second[:, None, :]).any(2).float().mean())


def test_it_finds_what_it_says_that_it_finds(world, index):
    matrix, users = world
    exact, found = top_k(users, matrix, 10)[0], index.top_k(users, 10)[0]
    assert 0.99 <= shared(exact, found) == pytest.approx(index.facts.recall)
    assert index.facts.probes < index.facts.cells == 219
    worse = Index.build(matrix, users, recall=0.5)
    assert worse.facts.probes < index.facts.probes
    assert 0.5 <= worse.facts.recall < index.facts.recall


def test_scores_are_exact(world, index):
    matrix, users = world
    found, scores = index.top_k(users, 10)
    own = (matrix[found] * users[:, None]).sum(2)
    torch.testing.assert_close(scores, own)
    assert (scores.diff(dim=1) <= 0).all()


def test_where_all_are_looked_through_ranking_is_exact(world):
    matrix, users = world
    whole = Index.build(matrix, users, recall=1.0)
    assert whole.facts.recall == 1.0
    whole.cells.nprobe = whole.facts.cells
    exact, best = top_k(users, matrix, 10)
    found, scores = whole.top_k(users, 10)
    assert torch.equal(found, exact)
    torch.testing.assert_close(scores, best)


def test_hidden_items_are_passed_over(world, index):
    matrix, users = world
    best = top_k(users, matrix, 40)[0]
    seen = Seen(torch.arange(100).repeat_interleave(20), best[:, :20].flatten())
    allowed = torch.ones(N_ITEMS, dtype=torch.bool)
    allowed[best[:, 21]] = False
    exact = top_k(users, matrix, 10, seen, allowed)[0]
    found = index.top_k(users, 10, seen, allowed)[0]
    assert shared(exact, found) > 0.97
    assert allowed[found].all()
    assert not (found[:, :, None] == best[:, None, :20]).any()


def test_few_allowed_items_are_ranked_exactly(world, index):
    matrix, users = world
    allowed = torch.zeros(N_ITEMS, dtype=torch.bool)
    allowed[::500] = True
    exact, found = top_k(users, matrix, 10, None, allowed), index.top_k(users, 10, None, allowed)
    assert torch.equal(found[0], exact[0]) and torch.equal(found[1], exact[1])
    assert (found[0][:, 6:] == -1).all()


def test_rows_that_the_candidates_do_not_fill_are_ranked_exactly(world, index, monkeypatch):
    """Here nearly all that is near to two users is denied, and one has seen what is left."""
    matrix, users = world
    monkeypatch.setattr(index.cells, "nprobe", 1)
    order = (users[:2] @ matrix.T).argsort(1, descending=True)
    allowed = torch.ones(N_ITEMS, dtype=torch.bool)
    allowed[order[:, :600].flatten()] = False
    seen = Seen(torch.ones(5, dtype=torch.int64), order[1, 600:605])
    exact = top_k(users[:2], matrix, 10, seen, allowed)[0]
    assert torch.equal(index.top_k(users[:2], 10, seen, allowed)[0], exact)


def test_many_rows_are_searched_in_parts(world, index, monkeypatch):
    _, users = world
    seen = Seen(torch.arange(100), index.top_k(users, 1)[0][:, 0])
    whole = index.top_k(users, 10, seen)
    monkeypatch.setattr(index_module, "MAX_SCORE_BYTES", 7 * 4 * 31 * WIDTH)
    parts = index.top_k(users, 10, seen)
    assert torch.equal(whole[0], parts[0])
    torch.testing.assert_close(whole[1], parts[1])


def test_new_items_are_found(world, tmp_path: Path):
    matrix, users = world
    index = Index.build(matrix, users)
    grown = torch.cat([matrix, 3 * users[:4]])
    index.grow(grown)
    found = index.top_k(users[:4], 3)[0]
    assert found[:, 0].tolist() == [N_ITEMS, N_ITEMS + 1, N_ITEMS + 2, N_ITEMS + 3]
    seen = Seen(torch.arange(4), found[:, 0])
    allowed = torch.ones(len(grown), dtype=torch.bool)
    allowed[N_ITEMS + 1] = False
    exact = top_k(users, grown, 10, seen, allowed)[0]
    index.save(tmp_path / "i")
    for one in (index, Index.load(tmp_path / "i", grown)):
        assert shared(exact, one.top_k(users, 10, seen, allowed)[0]) > 0.98


@pytest.mark.parametrize("change", ["longer vectors", "a lifted column"])
def test_new_items_unlike_the_old_are_found(world, change: str):
    """What the cells were fitted to has no such numbers."""
    matrix, users = world
    matrix = torch.cat([matrix, torch.zeros(N_ITEMS, 1)], 1)
    users = torch.cat([users, torch.ones(len(users), 1)], 1)
    new = matrix[:300] + 0.1
    if change == "longer vectors":
        new = 2 * new
    else:
        new[:, -1] = 2.0
    index = Index.build(matrix, users)
    grown = torch.cat([matrix, new])
    index.grow(grown)
    assert shared(top_k(users, grown, 10)[0], index.top_k(users, 10)[0]) > 0.98


def test_what_one_row_has_outside_the_catalogue_hides_nothing_from_the_next(world, index):
    matrix, users = world
    both = torch.stack([users[0], matrix[0]])
    assert 0 in index.top_k(both, 10)[0][1]
    seen = Seen(torch.tensor([0, 1]), torch.tensor([N_ITEMS, 5]))
    assert 0 in index.top_k(both, 10, seen)[0][1]


def test_save_and_load(world, index, tmp_path: Path):
    matrix, users = world
    index.save(tmp_path / "i")
    again = Index.load(tmp_path / "i", matrix)
    assert again.facts == index.facts
    assert torch.equal(again.top_k(users, 10)[0], index.top_k(users, 10)[0])
    with pytest.raises(StoreError, match="3,000 items, the model only 2,999"):
        Index.load(tmp_path / "i", matrix[1:])
    (tmp_path / "i" / "cells.faiss").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="damaged"):
        Index.load(tmp_path / "i", matrix)
    with pytest.raises(ConfigError, match="no share"):
        Index.build(matrix, users, recall=99)


def test_a_recommender_with_an_index(ring: Dataset, tmp_path: Path, monkeypatch):
    config = CausalConfig(shape={"width": 16, "blocks": 1}, history_length=6)
    recommender = untrained(ring, tiny_preset(model=config))
    recommender.brought = True
    with pytest.raises(ConfigError, match="20,000 items or more"):
        recommender.build_index()
    monkeypatch.setattr(recommender_module, "EXACT_BELOW", 10)
    exact = recommender.recommend([["i03", "i04"]], k=3)
    facts = recommender.build_index(ring, recall=1.0)
    assert facts.recall == 1.0 and facts.users == 200
    found = recommender.recommend([["i03", "i04"]], k=3)
    assert found.ids == exact.ids
    recommender.add_items(
        pa.table({"item_id": ["new"], "title": ["New"]}), vectors=drawn_vectors(1)
    )
    again = Recommender.load(recommender.save(tmp_path / "run"))
    assert again.index is not None and again.index.cells.ntotal == 60
    among = again.recommend([["i03"]], k=60).ids[0]
    assert "new" in among and "i03" not in among
    again.cold_offset = 1.0
    assert again.index is None
