import json

import pytest
import torch
from transformers import BertConfig, BertModel, T5Config, T5EncoderModel

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.models.backbone import Backbone
from lite_llm4rec.models.base import CatalogueFacts, SequenceModel
from lite_llm4rec.models.lite import LiteConfig, LiteLLM4Rec
from tests.models.contract import N_ITEMS, SequenceModelContract

SHAPES = {
    "t5": {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1},
    "bert": {
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
    },
    "gpt2": {"n_embd": 32, "n_head": 4, "n_layer": 1},
}


def facts(vectors: torch.Tensor) -> CatalogueFacts:
    return CatalogueFacts(vectors, torch.ones(N_ITEMS))


def make(backbone: str = "t5", vector_width: int = 16, **settings: object) -> LiteLLM4Rec:
    config = LiteConfig(
        backbone=backbone,
        from_scratch=True,
        shape=SHAPES[backbone],
        dropout=0.0,
        **settings,  # type: ignore[arg-type]
    )
    vectors = torch.randn(N_ITEMS, vector_width, generator=torch.Generator().manual_seed(3))
    return LiteLLM4Rec.create(config, facts(vectors))


class TestT5(SequenceModelContract):
    def make_model(self) -> SequenceModel:
        return make("t5")


class TestBert(SequenceModelContract):
    def make_model(self) -> SequenceModel:
        return make("bert")


class TestDecoderOnly(SequenceModelContract):
    def make_model(self) -> SequenceModel:
        return make("gpt2")


def test_forward_equals_plain_transformers():
    """The same weights in transformers' own T5EncoderModel give the same user vectors."""
    model = make("t5", vector_width=32).eval()
    plain = T5EncoderModel(T5Config(**SHAPES["t5"], dropout_rate=0.0)).eval()
    missing, unexpected = plain.load_state_dict(model.backbone.model.state_dict(), strict=False)
    assert not unexpected
    assert all("shared" in name or "embed_tokens" in name for name in missing)
    items = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    states = plain(inputs_embeds=model.items(items), attention_mask=mask.long()).last_hidden_state
    expected = torch.stack([states[0].mean(0), states[1, :2].mean(0)])
    torch.testing.assert_close(model.user_vectors(items, mask), expected, atol=1e-6, rtol=1e-5)


def test_the_vocabulary_is_dropped_and_positions_are_kept():
    names = [name for name, _ in make("t5").named_parameters()]
    assert not any("shared" in name or "embed_tokens" in name for name in names)
    assert any("relative_attention_bias" in name for name in names)


def test_the_head_has_no_bias_and_a_row_per_item():
    model = make()
    assert model.head.bias is None
    assert model.item_matrix().shape == (N_ITEMS, 32)


def test_one_linear_layer_only_when_widths_differ():
    assert isinstance(make(vector_width=16).items.project, torch.nn.Linear)
    assert isinstance(make(vector_width=32).items.project, torch.nn.Identity)


def test_loss_is_cross_entropy_over_the_catalogue():
    model = make().eval()
    batch = Batch(
        torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([[3, 7]])
    )
    scores = model.scores(batch.items, batch.mask)[0]
    expected = torch.logsumexp(scores, 0) - scores[7]
    torch.testing.assert_close(model.training_loss(batch), expected)


@pytest.mark.parametrize(("setting", "part"), [("fix_backbone", "backbone"), ("fix_head", "head")])
def test_fixed_parts_get_no_gradient(setting: str, part: str):
    model = make(**{setting: True})
    batch = Batch(
        torch.tensor([[1, 2]]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([[3, 7]])
    )
    model.training_loss(batch).backward()
    assert all(parameter.grad is None for parameter in getattr(model, part).parameters())
    assert any(parameter.grad is not None for parameter in model.parameters())


def test_dropout_is_set_at_every_place_of_the_backbone():
    config = LiteConfig(backbone="t5", from_scratch=True, shape=SHAPES["t5"], dropout=0.7)
    model = LiteLLM4Rec.create(config, facts(torch.zeros(N_ITEMS, 32)))
    rates = {
        module.p for module in model.backbone.modules() if isinstance(module, torch.nn.Dropout)
    }
    assert rates == {0.7}


def test_pretrained_weights_are_loaded_from_a_folder(tmp_path):
    plain = T5EncoderModel(T5Config(**SHAPES["t5"], vocab_size=50))
    plain.save_pretrained(tmp_path)
    model = LiteLLM4Rec.create(LiteConfig(backbone=str(tmp_path)), facts(torch.zeros(N_ITEMS, 32)))
    expected = plain.encoder.block[0].layer[0].SelfAttention.q.weight
    found = model.backbone.model.encoder.block[0].layer[0].SelfAttention.q.weight
    assert torch.equal(found, expected)


def test_pretrained_bert_keeps_its_first_layers(tmp_path):
    BertModel(
        BertConfig(**{**SHAPES["bert"], "num_hidden_layers": 3}, vocab_size=50)
    ).save_pretrained(tmp_path)
    config = LiteConfig(backbone=str(tmp_path), shape={"num_hidden_layers": 2})
    model = LiteLLM4Rec.create(config, facts(torch.zeros(N_ITEMS, 32)))
    assert len(model.backbone.model.encoder.layer) == 2


def test_a_shape_that_weights_do_not_fit_is_refused(tmp_path):
    from lite_llm4rec.errors import ConfigError

    T5EncoderModel(T5Config(**SHAPES["t5"], vocab_size=50)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="would not fit"):
        Backbone.load(str(tmp_path), from_scratch=False, shape={"d_ff": 8}, dropout=0.1)
    with pytest.raises(ConfigError, match="no such"):
        Backbone.load("t5", from_scratch=True, shape={"n_layer": 8}, dropout=0.1)
    with pytest.raises(ConfigError, match="model type"):
        Backbone.load("t5", from_scratch=False, shape={}, dropout=0.1)


def test_describe_builds_the_same_model_again():
    model = make("bert").eval()
    again = LiteLLM4Rec.skeleton(model.config, json.loads(json.dumps(model.describe())))
    again.load_state_dict(model.state_dict())
    items, mask = torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(again.eval().scores(items, mask), model.scores(items, mask))
