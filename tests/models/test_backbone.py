"""Model families as Recommendation LLMs."""

from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models import CausalConfig, LiteConfig
from lite_llm4rec.models.backbone import Backbone
from tests.conftest import tiny_preset, untrained

BERT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "vocab_size": 50,
}  # fmt: skip
OPT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 64,
    "word_embed_proj_dim": 32, "vocab_size": 50,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": BERT,
    "electra": {**BERT, "embedding_size": 32},
    "modernbert": {**BERT, "pad_token_id": 0},
    "opt": OPT,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50},
}
ELSEWHERE = ("classifier_dropout", "summary_last_dropout", "layerdrop")  # of what is not used here


@pytest.mark.parametrize("kind", FAMILIES)
def test_looking_back_each_position_is_what_its_prefix_gives(kind: str):
    torch.manual_seed(0)
    backbone = Backbone.load(
        kind, from_scratch=True, shape=FAMILIES[kind], dropout=0.3, causal=True
    ).eval()
    vectors, mask = torch.randn(2, 6, 32), torch.ones(2, 6, dtype=torch.bool)
    with torch.no_grad():
        whole = backbone(vectors, mask)
        for end in range(1, 7):
            alone = backbone(vectors[:, :end], mask[:, :end])[:, -1]
            torch.testing.assert_close(whole[:, end - 1], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_rate_of_dropout_is_set_wherever_there_is_one(kind: str):
    backbone = Backbone.load(kind, from_scratch=True, shape=FAMILIES[kind], dropout=0.3)
    config = backbone.model.config.to_dict()
    rates = {name: rate for name, rate in config.items() if "drop" in name}
    assert {rate for name, rate in rates.items() if name not in ELSEWHERE} <= {0.3, None}
    assert 0.3 in rates.values()


def test_what_cannot_be_one_is_refused():
    with pytest.raises(ConfigError, match="its input is 16 wide, its output 32"):
        narrow = {**BERT, "embedding_size": 16}
        Backbone.load("electra", from_scratch=True, shape=narrow, dropout=0.1)
    with pytest.raises(ConfigError, match="takes no causal mask"):
        Backbone.load("deberta-v2", from_scratch=True, shape=BERT, dropout=0.1, causal=True)


GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50}
ROBERTA = {**BERT, "pad_token_id": 1}


@pytest.mark.parametrize(
    ("kind", "shape", "longest"),
    [("bert", BERT, 12), ("gpt2", GPT2, 12), ("opt", OPT, 12), ("roberta", ROBERTA, 10)],
)
def test_a_history_longer_than_the_positions_is_refused(
    kind: str, shape: dict[str, Any], longest: int
):
    shape = {**shape, "max_position_embeddings": 12}
    how: dict[str, Any] = {"from_scratch": True, "dropout": 0.0, "causal": True}
    backbone = Backbone.load(kind, shape=shape, length=longest, **how)
    vectors, mask = torch.randn(1, longest, 32), torch.ones(1, longest, dtype=torch.bool)
    assert backbone(vectors, mask).shape == (1, longest, 32)
    with pytest.raises(ConfigError, match=f"{kind} has {longest} positions") as caught:
        Backbone.load(kind, shape=shape, length=longest + 1, **how)
    assert "max_position_embeddings=13." in caught.value.remedy


@pytest.mark.parametrize("config", [LiteConfig, CausalConfig])
def test_models_tell_the_backbone_how_long_histories_are(config: Any, small_ring: Dataset):
    shape = {**BERT, "max_position_embeddings": 12}
    model = config(backbone="bert", from_scratch=True, shape=shape, history_length=13)
    with pytest.raises(ConfigError, match="history_length is 13, and bert has 12 positions"):
        untrained(small_ring, tiny_preset(model=model))


@pytest.mark.parametrize("kind", ["t5", "bloom", "xlnet"])
def test_relative_positions_have_no_end(kind: str):
    shape: dict[str, dict[str, int]] = {
        "t5": {"d_model": 32, "num_layers": 1, "num_heads": 4},
        "bloom": FAMILIES["bloom"],
        "xlnet": {"d_model": 32, "n_layer": 1, "n_head": 4, "vocab_size": 50},
    }
    Backbone.load(kind, from_scratch=True, shape=shape[kind], dropout=0.0, length=5000)


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_what_was_saved_in_bf16_is_in_fp32(kind: str):
    small = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "vocab_size": 50}
    config = CONFIG_MAPPING[kind](**(BERT if kind == "bert" else small), dtype="bfloat16")
    backbone = Backbone.build(config, dropout=0.0)
    assert {weight.dtype for weight in backbone.parameters()} == {torch.float32}


def test_a_whole_encoder_decoder_is_refused():
    shape = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 50}
    with pytest.raises(ConfigError, match="bart models have an encoder and a decoder"):
        Backbone.load("bart", from_scratch=True, shape=shape, dropout=0.0)


def test_a_size_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match=r"model\.shape\.num_layers is 'two'"):
        Backbone.load("t5", from_scratch=True, shape={"num_layers": "two"}, dropout=0.0)
