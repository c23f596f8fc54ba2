"""Model families as Recommendation LLMs."""

from typing import Any

import pytest
import torch

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.backbone import Backbone

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
