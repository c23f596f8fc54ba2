"""The causal model: the contract over its backbones, tables and poolings, and cold items."""

import json

import pytest
import torch
from torch.nn import functional

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.models.causal import CausalConfig, CausalLLM4Rec
from lite_llm4rec.models.item_table import Whitening
from tests.models.contract import N_ITEMS, EveryPositionContract

OWN = {"width": 32, "blocks": 1, "heads": 2, "inner": 64}
SHAPES = {
    "t5": {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1},
    "bert": {
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
    },
    "gpt2": {"n_embd": 32, "n_head": 4, "n_layer": 1},
    "qwen3": {
        "hidden_size": 32,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
    },
}


def vectors() -> torch.Tensor:
    return torch.randn(N_ITEMS, 40, generator=torch.Generator().manual_seed(3))


def make(counts: torch.Tensor | None = None, **settings: object) -> CausalLLM4Rec:
    values: dict = {"shape": OWN, "history_length": 5, "dropout": 0.0, **settings}
    counts = torch.ones(N_ITEMS) if counts is None else counts
    return CausalLLM4Rec.create(CausalConfig(**values), CatalogueFacts(vectors(), counts))


class TestOwn(EveryPositionContract):
    def make_model(self) -> CausalLLM4Rec:
        return make()


class TestRotary(EveryPositionContract):
    def make_model(self) -> CausalLLM4Rec:
        return make(shape={**OWN, "positions": "rotary"})


class TestCosine(EveryPositionContract):
    def make_model(self) -> CausalLLM4Rec:
        return make(temperature=0.1, pooling="mix")


class TestTextAlone(EveryPositionContract):
    def make_model(self) -> CausalLLM4Rec:
        return make(items="text", text_dim=24, pooling="mean")


class TestFreeHead(EveryPositionContract):
    def make_model(self) -> CausalLLM4Rec:
        return make(items="init", head="free")


class TestT5(EveryPositionContract):
    def make_model(self) -> CausalLLM4Rec:
        return make(backbone="t5", shape=SHAPES["t5"])


class TestBert(EveryPositionContract):
    def make_model(self) -> CausalLLM4Rec:
        return make(backbone="bert", shape=SHAPES["bert"])


class TestDecoder(EveryPositionContract):
    def make_model(self) -> CausalLLM4Rec:
        return make(backbone="qwen3", shape=SHAPES["qwen3"])


@pytest.mark.parametrize("backbone", SHAPES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_no_backbone_looks_ahead(backbone: str, attention: str):
    torch.manual_seed(0)
    model = make(backbone=backbone, shape=SHAPES[backbone]).eval()
    model.backbone.model.set_attn_implementation(attention)
    items, mask = torch.arange(10).view(2, 5), torch.ones(2, 5, dtype=torch.bool)
    whole = model.position_vectors(model.input_vectors(items), mask)
    for end in range(1, 6):
        alone = model.user_vectors(items[:, :end], mask[:, :end])[:, :-1]
        torch.testing.assert_close(whole[:, end - 1], alone, atol=2e-5, rtol=1e-4)


def test_a_cold_item_has_no_id_part_and_does_not_compete_in_the_loss():
    torch.manual_seed(0)
    counts = torch.ones(N_ITEMS)
    counts[50:] = 0
    model = make(counts)
    assert (model.items.ids[50:] == 0).all() and (model.items.ids[:50] != 0).any()
    batch = Batch(
        torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([[2, 7]])
    )
    loss = model.eval().training_loss(batch)
    table = model.items.matrix()
    users = model.position_vectors(table[batch.items], batch.mask)[0]
    expected = torch.nn.functional.cross_entropy(users @ table[:50].T, torch.tensor([2, 7]))
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert (model.items.ids.grad[50:] == 0).all()


def test_id_dropout_takes_whole_items_in_training_only():
    torch.manual_seed(0)
    model = make(id_dropout=0.5)
    text = model.items.project(model.items.vectors)
    lost = ((model.items.matrix() - text).abs().sum(1) < 1e-6).sum()
    assert 15 < lost < 45
    model.eval()
    torch.testing.assert_close(model.items.matrix(), text + model.items.ids)


@pytest.mark.parametrize("settings", [{}, {"items": "init"}, {"text_dim": 8}, {"items": "id"}])
def test_describe_builds_the_same_model_again(settings: dict):
    model = make(**settings).eval()
    described = json.loads(json.dumps(model.describe()))
    again = CausalLLM4Rec.skeleton(model.config, described)
    again.load_state_dict(model.state_dict())
    items, mask = torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(again.eval().scores(items, mask), model.scores(items, mask))


def test_whitened_text_is_uncorrelated_and_equally_spread():
    table = make(items="text", text_dim=8).items
    covariance = table.vectors.T @ table.vectors / N_ITEMS
    torch.testing.assert_close(covariance, torch.eye(8) / 8, atol=1e-5, rtol=1e-4)


def test_whitening_ignores_what_does_not_vary_among_few_texts():
    known = functional.normalize(torch.randn(6, 32), dim=1)
    whiten = Whitening(known, 16)  # five directions are all that six texts have
    assert whiten(known).norm(dim=1).max() < 2
    assert whiten(functional.normalize(torch.randn(20, 32), dim=1)).norm(dim=1).max() < 2


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"widht": 32}, "did you mean 'width'"),
        ({"width": 30, "heads": 4}, "4 heads do not divide"),
        ({"positions": "rotery"}, "did you mean 'rotary'"),
        ({"width": 30, "heads": 2, "positions": "rotary"}, "even width per head"),
    ],
)
def test_a_shape_that_cannot_be_is_told(shape: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        make(shape=shape)
