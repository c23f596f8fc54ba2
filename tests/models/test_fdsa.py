"""FDSA: the contract, and how attributes are pooled."""

import json
from typing import Any

import pytest
import torch

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.losses import LossConfig
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.models.fdsa import FDSA, FDSAConfig
from lite_llm4rec.stage_config import StageConfig
from tests.models.attributes import made_up
from tests.models.contract import N_ITEMS, EveryPositionContract


def make(facts: CatalogueFacts | None = None, **settings: Any) -> FDSA:
    values: dict[str, Any] = {
        "width": 32, "blocks": 1, "inner": 64, "history_length": 5, "dropout": 0.0,
    }  # fmt: skip
    return FDSA.create(FDSAConfig(**{**values, **settings}), facts or made_up())


class TestFull(EveryPositionContract):
    def make_model(self) -> FDSA:
        return make()


class TestOriginalLoss(EveryPositionContract):
    stage = StageConfig(strategy="positions", epochs=80, batch=64, lr=1e-2, patience=80)

    def make_model(self) -> FDSA:
        return make(loss=LossConfig("bce", negatives=1))


def test_attributes_are_pooled_by_a_softmax_over_the_items_own():
    torch.manual_seed(0)
    model = make(made_up([[0, 1], [], [2], [1, 2, 0]]))
    with torch.no_grad():
        for parameter in model.weigh.parameters():
            parameter.normal_()
    vectors = model.attributes.vectors
    scores = model.weigh(vectors)[:, 0]
    pooled = model.pool_attributes(torch.tensor([3, 0, 1, 2]))
    for row, own in enumerate([[0, 1, 2], [0, 1], [], [2]]):
        expected = torch.softmax(scores[own], 0) @ vectors[own]
        torch.testing.assert_close(pooled[row], expected)
    assert len({round(float(score), 3) for score in scores.detach()}) == 3


def test_an_attribute_that_weighs_far_less_than_other_items_still_counts():
    model = make(made_up([[0], [1]]))
    vectors = model.attributes.vectors
    with torch.no_grad():
        for layer in (model.weigh[0], model.weigh[2]):
            layer.weight.zero_()[0, 0] = 1.0
            layer.bias.zero_()
        vectors[0, 0], vectors[1, 0] = 200.0, 0.0
    torch.testing.assert_close(model.pool_attributes(torch.tensor([0, 1])), vectors)


def test_an_item_without_attributes_is_known_by_its_id_alone():
    model = make().eval()
    vectors = model.input_vectors(torch.tensor([[10, 11]]))
    assert vectors.shape == (1, 2, 64)
    assert (vectors[0, 0, 32:] == 0).all() and (vectors[0, 1, 32:] != 0).any()
    torch.testing.assert_close(vectors[0, :, :32], model.items[[10, 11]])
    scores = model.scores(torch.tensor([[10]]), torch.ones(1, 1, dtype=torch.bool))
    assert torch.isfinite(scores).all()


def test_what_an_item_is_like_changes_the_lists():
    one = make(made_up([[i % 5] for i in range(N_ITEMS)])).eval()
    other = make(made_up([[(i + 1) % 5] for i in range(N_ITEMS)])).eval()
    owned = other.attributes.numbers.clone()
    other.load_state_dict(one.state_dict())
    other.attributes.numbers.copy_(owned)
    items, mask = torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool)
    assert not torch.allclose(one.scores(items, mask), other.scores(items, mask))


def test_one_norm_stands_at_three_places():
    names = [name for name, _ in make().named_parameters() if name.startswith("norm")]
    assert names == ["norm.weight", "norm.bias"]


def test_without_attributes_it_cannot_be_made():
    with pytest.raises(ConfigError, match="FDSA learns from the items' attributes"):
        make(CatalogueFacts(torch.empty(N_ITEMS, 0), torch.ones(N_ITEMS)))


def test_describe_builds_the_same_model_again():
    model = make().eval()
    again = FDSA.skeleton(model.config, json.loads(json.dumps(model.describe())))
    again.load_state_dict(model.state_dict())
    items, mask = torch.tensor([[1, 2, 10]]), torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(again.eval().scores(items, mask), model.scores(items, mask))
