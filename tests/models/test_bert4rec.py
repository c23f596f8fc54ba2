"""BERT4Rec: the contract, which positions are masked, and that only those teach."""

import json
from typing import Any

import pytest
import torch

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.losses import LossConfig
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.models.bert4rec import BERT4Rec, BERT4RecConfig
from lite_llm4rec.stage_config import StageConfig
from tests.models.contract import N_ITEMS, SequenceModelContract


def make(**settings: Any) -> BERT4Rec:
    values: dict[str, Any] = {
        "width": 32, "blocks": 1, "inner": 64, "history_length": 5, "dropout": 0.0,
        "attention_dropout": 0.0,
    }  # fmt: skip
    facts = CatalogueFacts(torch.empty(N_ITEMS, 0), torch.ones(N_ITEMS))
    return BERT4Rec.create(BERT4RecConfig(**{**values, **settings}), facts)


def batch() -> Batch:
    """Three histories: 3 1 4 1 then 5, 9 2 then 6, 7 then 8."""
    items = torch.tensor([[3, 1, 4, 1], [9, 2, 0, 0], [7, 0, 0, 0]])
    mask = torch.tensor([[True] * 4, [True] * 2 + [False] * 2, [True] + [False] * 3])
    following = torch.tensor([[1, 4, 1, 5], [2, 6, 0, 0], [8, 0, 0, 0]])
    return Batch(items, mask, following)


class TestOriginal(SequenceModelContract):
    stage = StageConfig(strategy="positions", epochs=60, batch=64, lr=1e-2, warmup=0.05)

    def make_model(self) -> BERT4Rec:
        return make()


class TestSampled(SequenceModelContract):
    stage = StageConfig(strategy="all", epochs=30, batch=64, lr=1e-2, warmup=0.05)

    def make_model(self) -> BERT4Rec:
        return make(loss=LossConfig("sampled", negatives=20, shared=True))


def test_the_target_stands_behind_its_history():
    items, mask = batch().whole()
    assert items[0].tolist() == [3, 1, 4, 1, 5]
    assert items[1, :3].tolist() == [9, 2, 6]
    assert items[2, :2].tolist() == [7, 8]
    assert mask.sum(1).tolist() == [5, 3, 2]


@pytest.mark.parametrize(("rate", "counts"), [(0.2, [1, 2, 4]), (0.6, [1, 7, 12])])
def test_the_share_of_each_history_that_is_masked(rate: float, counts: list[int]):
    torch.manual_seed(0)
    mask = torch.arange(20) < torch.tensor([1, 12, 20])[:, None]
    model = make(mask_rate=rate, last_share=0.0)
    drawn = torch.stack([model.draw_masked(mask) for _ in range(300)])
    assert (drawn.sum(2) == torch.tensor(counts)).all()
    assert not (drawn & ~mask).any()
    often = drawn[:, 2].float().mean(0)
    assert (often - rate).abs().max() < 0.1


def test_the_last_item_alone_is_masked_in_a_share_of_the_windows():
    torch.manual_seed(0)
    mask = torch.arange(20) < torch.tensor([10, 20]).repeat(500)[:, None]
    drawn = make(last_share=0.3).draw_masked(mask)
    alone = drawn.sum(1) == 1
    assert 0.25 < alone.float().mean() < 0.35
    last = torch.arange(20) == mask.sum(1, keepdim=True) - 1
    assert torch.equal(drawn[alone], last[alone])


def test_loss_is_cross_entropy_of_the_masked_items(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        model.item_bias.normal_()
    masked = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [1, 0, 0, 0, 0]]).bool()
    monkeypatch.setattr(model, "draw_masked", lambda mask: masked)
    logits = model._fillings(*batch().whole(), masked) @ model.item_matrix().T
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 5, 6, 7]))
    torch.testing.assert_close(model.training_loss(batch()), expected)


def test_what_is_masked_comes_from_torchs_generator():
    model, losses = make(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(model.training_loss(batch()).item())
    assert losses[0] == losses[1] != losses[2]


def test_what_is_not_masked_is_no_target(monkeypatch: pytest.MonkeyPatch):
    """An item that is not masked is seen and learns from that; one masked is seen nowhere."""
    torch.manual_seed(0)
    model = make(loss=LossConfig("bce", negatives=1)).eval()
    masked = torch.tensor([[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 1, 0, 0, 0]]).bool()
    monkeypatch.setattr(model, "draw_masked", lambda mask: masked)
    monkeypatch.setattr(torch, "multinomial", lambda *_, **__: torch.tensor([50, 50, 50]))
    model.training_loss(batch()).backward()
    touched = model.items.grad.abs().sum(1).nonzero()[:, 0].tolist()
    assert touched == [1, 2, 3, 4, 5, 6, 7, 8, 9, 50]
    scored = model.item_bias.grad.nonzero()[:, 0].tolist()
    assert scored == [2, 4, 8, 50]  # the masked items and the negative

    changed, places = batch().whole()[0], torch.tensor([[2], [1], [1]])
    changed.scatter_(1, places, 33)
    first = model._fillings(*batch().whole(), masked)
    torch.testing.assert_close(model._fillings(changed, batch().whole()[1], masked), first)


def test_a_history_looks_both_ways():
    model = make().eval()
    items, mask = batch().whole()
    first = torch.zeros_like(mask)
    first[:, 0] = True
    before = model._fillings(items, mask, first)
    items[0, 4] = 20
    after = model._fillings(items, mask, first)
    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[1:], after[1:])


def test_the_bias_is_a_column_of_the_item_matrix():
    model = make().eval()
    with torch.no_grad():
        model.item_bias[7] = 3.0
    items, mask = batch().items, batch().mask
    with_bias = model.scores(items, mask)
    with torch.no_grad():
        model.item_bias[7] = 0.0
    lifted = with_bias - model.scores(items, mask)
    torch.testing.assert_close(lifted[:, 7], torch.full((3,), 3.0))
    assert lifted[:, :7].abs().max() < 1e-6
    assert model.item_matrix().shape == (N_ITEMS, 32 + model.bias_columns)


def test_it_counts_what_it_teaches():
    assert make(mask_rate=0.4).taught(batch()) == 2 + 1 + 1


def test_describe_builds_the_same_model_again():
    model = make().eval()
    again = BERT4Rec.skeleton(model.config, json.loads(json.dumps(model.describe())))
    again.load_state_dict(model.state_dict())
    items, mask = batch().items, batch().mask
    torch.testing.assert_close(again.eval().scores(items, mask), model.scores(items, mask))
