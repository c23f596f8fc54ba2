"""S3-Rec: the contract, the four pretext losses by hand, and what is drawn for them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.losses import LossConfig
from lite_llm4rec.machine import Machine
from lite_llm4rec.models import s3rec
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.models.s3rec import S3Rec, S3RecConfig
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.train import fit
from tests.models.attributes import made_up
from tests.models.contract import N_ITEMS, EveryPositionContract


def make(facts: CatalogueFacts | None = None, **settings: Any) -> S3Rec:
    values: dict[str, Any] = {
        "width": 32, "blocks": 1, "inner": 64, "history_length": 5, "dropout": 0.0,
    }  # fmt: skip
    return S3Rec.create(S3RecConfig(**{**values, **settings}), facts or made_up())


class TestOriginal(EveryPositionContract):
    stage = StageConfig(strategy="positions", epochs=80, batch=64, lr=1e-2, patience=80)

    def make_model(self) -> S3Rec:
        return make()


class TestFull(EveryPositionContract):
    def make_model(self) -> S3Rec:
        return make(loss=LossConfig("full"))


# σ(1), σ(2) and so on by hand: −log σ(x) = log(1 + exp(−x)).
LOST = {-2: 2.126928, -1: 1.313262, 0: 0.693147, 1: 0.313262, 2: 0.126928}


def lost(own: float, other: float) -> float:
    """−log σ(σ(own) − σ(other)), as the authors compare two items."""
    first, second = (1 / (1 + math.exp(-score)) for score in (own, other))
    return math.log(1 + math.exp(second - first))


def by_hand(monkeypatch: pytest.MonkeyPatch, **weights: float) -> S3Rec:
    """Three items of width 2, of which 0 has attribute 0, 1 has both and 2 has none.

    Heads change nothing, and a sequence's states are given, whatever is masked.
    """
    model = make(made_up([[0], [0, 1], []]), width=2, heads=1, **weights)
    with torch.no_grad():
        model.items.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        model.attributes.vectors.copy_(torch.tensor([[1.0, 0.0], [0.0, -1.0]]))
        for head in (model.pretext.aap, model.pretext.mip, model.pretext.map, model.pretext.sp):
            head.weight.copy_(torch.eye(2))
    states = torch.tensor([[[1.0, 0.0], [2.0, 1.0], [0.0, 2.0]]])
    monkeypatch.setattr(model, "_two_way", lambda items, mask, masked: states)
    monkeypatch.setattr(model, "draw_masked", lambda mask: torch.tensor([[False, True, True]]))
    others = torch.tensor([1, 2])
    monkeypatch.setattr(torch, "randint", lambda *_, **__: others)
    return model


SEQUENCE = Batch(  # 0 1 then 2
    torch.tensor([[0, 1]]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([[1, 2]])
)
NONE = {"aap": 0.0, "mip": 0.0, "map": 0.0, "sp": 0.0}


def test_associated_attributes_by_hand(monkeypatch: pytest.MonkeyPatch):
    """The shown item 0 has attribute 0 and not 1; its state (1, 0) gives the logits 1 and 0."""
    loss = by_hand(monkeypatch, **{**NONE, "aap": 0.2}).pretraining_loss(SEQUENCE)
    assert loss.item() == pytest.approx(0.2 * (LOST[1] + LOST[0]), abs=1e-5)


def test_masked_items_by_hand(monkeypatch: pytest.MonkeyPatch):
    """Hidden are 1 (state (2, 1), against 1: no difference) and 2 ((0, 2), against 2)."""
    model = by_hand(monkeypatch, **{**NONE, "mip": 1.0})
    assert model.pretraining_loss(SEQUENCE).item() == pytest.approx(2 * LOST[0], abs=1e-5)
    monkeypatch.setattr(torch, "randint", lambda *_, **__: torch.tensor([0, 0]))
    # 1 and 2 against item 0 in the first place, 2 and 0 in the second.
    expected = lost(1, 2) + lost(2, 0)
    assert model.pretraining_loss(SEQUENCE).item() == pytest.approx(expected, abs=1e-5)


def test_masked_attributes_by_hand(monkeypatch: pytest.MonkeyPatch):
    """Logits 2, −1 where both are true, and 0, −2 where neither is."""
    loss = by_hand(monkeypatch, **{**NONE, "map": 1.0}).pretraining_loss(SEQUENCE)
    expected = LOST[2] + LOST[-1] + LOST[0] + LOST[2]
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_segments_by_hand(monkeypatch: pytest.MonkeyPatch):
    """The last state of the context with that of the segment, 2, and of the other one, −1."""
    model = by_hand(monkeypatch, **{**NONE, "sp": 0.5})
    last = iter([[2.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
    monkeypatch.setattr(
        model, "_two_way", lambda *_: torch.tensor([[[9.0, 9.0], [9.0, 9.0], next(last)]])
    )
    monkeypatch.setattr(model, "_items_and_attributes", lambda *_: torch.zeros(()))
    loss = model.pretraining_loss(SEQUENCE)
    assert loss.item() == pytest.approx(0.5 * lost(2, -1), abs=1e-5)


def test_the_weights_are_the_authors_and_losses_add_up(monkeypatch: pytest.MonkeyPatch):
    config = S3RecConfig()
    assert (config.aap, config.mip, config.map, config.sp) == (0.2, 1.0, 1.0, 0.5)
    parts = []
    for name in NONE:
        model = by_hand(monkeypatch, **{**NONE, name: getattr(config, name)})
        parts.append(model.pretraining_loss(SEQUENCE).item())
    whole = by_hand(monkeypatch).pretraining_loss(SEQUENCE).item()
    assert whole == pytest.approx(sum(parts), abs=1e-5)


MASK = torch.arange(9) < torch.tensor([2, 3, 6, 9]).repeat(200)[:, None]


def test_the_last_item_is_always_masked_and_others_at_their_rate():
    torch.manual_seed(0)
    masked = make(mask_rate=0.3).draw_masked(MASK)
    last = torch.arange(9) == MASK.sum(1, keepdim=True) - 1
    assert masked[last].all() and not masked[~MASK].any()
    assert 0.25 < masked[MASK & ~last].float().mean() < 0.35


def test_segments_are_contiguous_and_at_most_half_as_long():
    torch.manual_seed(0)
    inside = s3rec.draw_segments(MASK)
    assert not (inside & ~MASK).any()
    sizes, lengths = inside.sum(1), MASK.sum(1)
    assert (sizes >= 1).all() and (sizes <= lengths // 2).all()
    places = torch.arange(9)
    first = torch.where(inside, places, 9).amin(1)
    final = torch.where(inside, places, -1).amax(1)
    assert (final - first + 1 == sizes).all()
    for length in (2, 3, 6, 9):
        rows = lengths == length
        assert set(sizes[rows].tolist()) == set(range(1, length // 2 + 1))
        assert inside[rows].any(0)[:length].all()


def test_other_segments_come_from_the_sequences_one_behind_the_other():
    torch.manual_seed(0)
    items = torch.arange(MASK.numel()).view(MASK.shape)
    inside = s3rec.draw_segments(MASK)
    others = s3rec.draw_other_segments(items, MASK, inside)
    assert torch.equal(others[~inside], items[~inside])
    flat = items[MASK]
    for row in range(len(items)):
        drawn = others[row, inside[row]]
        place = int((flat == drawn[0]).nonzero())
        assert torch.equal(flat[place : place + len(drawn)], drawn)
    assert (others != items)[inside].float().mean() > 0.9


def test_a_masked_item_is_not_looked_at_and_all_others_are():
    model = make().eval()
    items, mask = torch.tensor([[3, 1, 4, 1, 5]]), torch.ones(1, 5, dtype=torch.bool)
    masked = torch.tensor([[False, False, True, False, False]])
    states = model._two_way(items, mask, masked)
    for place in range(5):
        changed = items.clone()
        changed[0, place] = 20
        same = torch.allclose(model._two_way(changed, mask, masked), states, atol=1e-6)
        assert same == (place == 2)


def test_pretraining_runs_to_its_end_without_validation(ring: Dataset, tmp_path: Path):
    torch.manual_seed(0)
    model, split = make(), leave_one_out(ring.interactions)
    before = {name: value.clone() for name, value in model.named_parameters()}
    stage = StageConfig(strategy="positions", epochs=3, batch=64, lr=1e-3, patience=1)
    fitted = fit(
        model, split, stage, tmp_path, machine=Machine("cpu"), progress=False, pretraining=True
    )
    assert (fitted.epochs, fitted.best) == (3, None)
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["last.ckpt"]
    for name, value in model.named_parameters():
        assert not torch.equal(value, before[name]), name


def test_without_attributes_it_cannot_be_made():
    with pytest.raises(ConfigError, match="S3-Rec learns from the items' attributes"):
        make(CatalogueFacts(torch.empty(N_ITEMS, 0), torch.ones(N_ITEMS)))


def test_describe_builds_the_same_model_again():
    model = make().eval()
    again = S3Rec.skeleton(model.config, json.loads(json.dumps(model.describe())))
    again.load_state_dict(model.state_dict())
    items, mask = torch.tensor([[1, 2, 10]]), torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(again.eval().scores(items, mask), model.scores(items, mask))
    torch.manual_seed(0)
    loss = model.pretraining_loss(SEQUENCE)
    torch.manual_seed(0)
    torch.testing.assert_close(again.pretraining_loss(SEQUENCE), loss)
