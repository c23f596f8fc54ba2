"""Encoders at fixed shapes against the models that they were made of."""

import shutil
from typing import Any

import pytest
import torch

from lite_llm4rec.compiled import FixedShapes
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models import BERT4RecConfig, CausalConfig, GenerativeConfig, SASRecConfig
from lite_llm4rec.recommender import Recommender
from tests.conftest import tiny_preset, untrained

T5 = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}
OWN = {"width": 16, "blocks": 1}
CONFIGS: dict[str, Any] = {
    "lite-t5": None,
    "causal": CausalConfig(shape={**OWN, "positions": "rotary"}, history_length=6, pooling="mix"),
    "bert4rec": BERT4RecConfig(**OWN, history_length=6),
    "sasrec": SASRecConfig(**OWN, history_length=6),
}
HISTORIES = [["i03", "i04"], ["i10"], ["i01", "i05", "i02", "i07", "i09", "i03", "i01"], []]


def made(dataset: Dataset, name: str) -> Recommender:
    config = CONFIGS[name]
    return untrained(dataset, tiny_preset(model=config) if config else None)


@pytest.mark.parametrize("name", CONFIGS)
def test_padded_to_a_few_shapes_it_encodes_the_same(small_ring: Dataset, name: str):
    recommender = made(small_ring, name)
    model: Any = recommender.model
    seen: list[tuple[int, ...]] = []

    def noted(vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(mask.shape))
        return vectors

    # "eager" traces the encoder as other backends do, but compiles nothing.
    fixed = FixedShapes(model.encode, model.history_length, (1, 4), backend="eager", mode=None)
    spy = FixedShapes(model.encode, model.history_length, (1, 4), backend="eager", mode=None)
    spy.encode = noted
    torch.manual_seed(0)
    for rows, length in ((1, 1), (1, 3), (3, 2), (4, model.history_length), (9, 3)):
        vectors = model.input_vectors(torch.randint(0, 20, (rows, length)))
        mask = torch.arange(length) < torch.randint(1, length + 1, (rows, 1))
        with torch.no_grad():
            expected, found = model.encode(vectors, mask), fixed(vectors, mask)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        spy(vectors, mask)
    longest = model.history_length
    assert seen == [(size, longest) for size in (1, 1, 4, 4, 4, 4, 1)]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler for C++")
def test_compiled_it_recommends_the_same(small_ring: Dataset):
    recommender = made(small_ring, "causal")
    before = recommender.recommend(HISTORIES, k=20)
    recommender.compile((1, 4))
    after = recommender.recommend(HISTORIES, k=20)
    assert after.ids == before.ids and after.notes == before.notes
    assert after.scores[0] == pytest.approx(before.scores[0], abs=1e-4)


def test_what_writes_ids_has_nothing_to_compile(small_ring: Dataset):
    writes = untrained(
        small_ring, tiny_preset(model=GenerativeConfig(backbone="t5", from_scratch=True, shape=T5))
    )
    with pytest.raises(ConfigError, match="no encoder of item vectors to compile"):
        writes.compile()
