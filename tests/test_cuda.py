"""On a GPU: every model trains there and ranks as on the CPU. Skipped where there is none."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5EncoderModel

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.evaluate import rank_cases
from lite_llm4rec.losses import LossConfig
from lite_llm4rec.models import (
    BERT4RecConfig,
    CausalConfig,
    FDSAConfig,
    GenerativeConfig,
    PromptEncoderConfig,
    S3RecConfig,
    SASRecConfig,
)
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import machine
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.text.encoder import ItemLLM, encode_texts, load_tokenizer
from lite_llm4rec.top_n import evaluate_top_n
from tests.conftest import drawn_vectors, ring_tables, ring_with_kinds, tiny_preset, untrained

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

T5 = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}
FRESH: dict[str, Any] = {"backbone": "t5", "from_scratch": True, "shape": T5}
OWN = {"width": 32, "blocks": 1, "history_length": 6}
ROTARY = {"width": 32, "blocks": 1, "positions": "rotary"}
CONFIGS: dict[str, Any] = {
    "lite": None,
    "causal": CausalConfig(shape=ROTARY, history_length=6, pooling="mix"),
    "causal-sampled": CausalConfig(
        shape=ROTARY, history_length=6, loss=LossConfig("sampled", negatives=16)
    ),
    "causal-t5": CausalConfig(**FRESH, history_length=6),
    "sasrec": SASRecConfig(**OWN),
    "sasrec-gbce": SASRecConfig(**OWN, loss=LossConfig("gbce", negatives=16)),
    "bert4rec": BERT4RecConfig(**OWN),
    "fdsa": FDSAConfig(**OWN),
    "s3rec": S3RecConfig(**OWN),
    "p5": GenerativeConfig(**FRESH, style="p5"),
    "pod": GenerativeConfig(**FRESH, prompt_vectors=3, choose_share=0.5),
    "lightlm": GenerativeConfig(**FRESH, style="lightlm", constrained=True),
    "without-decoder": PromptEncoderConfig(**FRESH),
}
EVERY_POSITION = ("causal", "sasrec", "fdsa", "s3rec")
HISTORIES = [["i03", "i04"], ["i10"], ["i01", "i05", "i02", "i07", "i09", "i03", "i01"], []]


@pytest.fixture(scope="module")
def kinds() -> Dataset:
    return ring_with_kinds()


def preset(name: str, precision: str = "bf16") -> Any:
    strategy = "positions" if name.startswith(EVERY_POSITION) else "all"
    stage = StageConfig(
        strategy=strategy, epochs=3, batch=64, lr=1e-2, warmup=0.05, precision=precision
    )
    config = CONFIGS[name]
    pretrain = replace(stage, epochs=1) if name == "s3rec" else None
    return tiny_preset(vector=stage, pretrain=pretrain, **({"model": config} if config else {}))


@pytest.mark.parametrize("name", CONFIGS)
def test_it_trains_and_answers_there_as_on_the_cpu(kinds: Dataset, name: str):
    vectors = drawn_vectors(60) if name.startswith(("lite", "causal")) else None
    found = Recommender.fit(kinds, preset(name), vectors=vectors, device="cuda", progress=False)
    assert found.evaluate(kinds, part="test", device="cuda").leaks == []
    if name == "lightlm":
        return  # it knows no histories
    there = found.recommend(HISTORIES, k=5, device="cuda")
    here = found.recommend(HISTORIES, k=5, device="cpu")
    for row in range(3):
        assert there.scores[row] == pytest.approx(here.scores[row], abs=1e-3)


def test_it_learns_there_what_always_follows(ring: Dataset):
    stage = StageConfig(strategy="positions", epochs=40, batch=64, lr=1e-2, warmup=0.05)
    wanted = tiny_preset(model=replace(CONFIGS["causal"], items="id"), vector=stage)
    found = Recommender.fit(ring, wanted, device="cuda", progress=False)
    test = found.evaluate(ring, part="test", device="cuda")
    assert test.metrics["recall@10"] > 0.9


@pytest.mark.parametrize("name", ["lite", "causal", "causal-t5", "sasrec", "bert4rec", "fdsa"])
def test_ranks_are_the_cpus(kinds: Dataset, name: str):
    recommender = untrained(kinds, preset(name))
    items, cases = kinds.interactions.items, leave_one_out(kinds.interactions).test
    here = rank_cases(recommender.model, items, cases)[0]
    there = rank_cases(recommender.model, items, cases, device="cuda")[0]
    assert (np.abs(here - there) <= 1).all()


@pytest.mark.parametrize("name", ["pod", "lite"])
def test_top_n_runs_there(name: str):
    larger = Dataset.from_tables(*ring_tables(400, 200, 8, seed=0), name="larger")
    config = CONFIGS[name]
    if config:
        config = replace(config, constrained=True, choose_share=0.0)
    recommender = untrained(larger, tiny_preset(**({"model": config} if config else {})))
    split = leave_one_out(larger.interactions)
    found = evaluate_top_n(recommender.model, larger, split, history=True, device="cuda")
    assert 0 <= found.metrics["recall@10"] <= 1


def test_compiled_it_recommends_the_same(small_ring: Dataset):
    wanted = tiny_preset(model=CONFIGS["causal"])
    recommender = untrained(small_ring, wanted)
    before = recommender.recommend(HISTORIES, k=20, device="cuda")
    recommender.compile((1, 4))
    after = recommender.recommend(HISTORIES, k=20, device="cuda")
    again = recommender.recommend(HISTORIES[:1], k=20, device="cuda")
    assert after.ids == before.ids
    assert again.ids[0] == before.ids[0]
    assert after.scores[0] == pytest.approx(before.scores[0], abs=1e-4)


def test_texts_have_the_cpus_vectors(text_model: Path):
    llm = ItemLLM(T5EncoderModel.from_pretrained(text_model))
    tokenizer = load_tokenizer(str(text_model))
    texts = ["Thing i01", "Thing i02 i03", "i04"]
    here = encode_texts(llm, tokenizer, texts, progress=False)
    there = encode_texts(llm, tokenizer, texts, progress=False, device="cuda")
    np.testing.assert_allclose(here, there, atol=1e-5)


def test_a_record_names_it():
    assert json.dumps(machine()).count(torch.cuda.get_device_name()) == 1
