import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.base import CatalogueFacts, SequenceModel
from lite_llm4rec.models.id_text import digit_tokenizer
from lite_llm4rec.models.prompt_encoder import PromptEncoder, PromptEncoderConfig
from lite_llm4rec.preset import Preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.text.encoder import load_tokenizer
from tests.models.contract import N_ITEMS, SequenceModelContract

SHAPE = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}
TITLES = [f"Thing i{number:02}" for number in range(N_ITEMS)]


def make(**settings: Any) -> PromptEncoder:
    given = {"backbone": "t5", "from_scratch": True, "shape": SHAPE, "dropout": 0.0, **settings}
    config = PromptEncoderConfig(**given)
    times = list(range(N_ITEMS))  # one user takes the items in their order
    table = pa.table({"user_id": [0] * N_ITEMS, "item_id": times, "timestamp": times})
    log = Dataset.from_tables(table).interactions
    facts = CatalogueFacts(
        torch.empty(N_ITEMS, 0), torch.ones(N_ITEMS), split=leave_one_out(log), titles=TITLES
    )
    return PromptEncoder.create(config, facts)


# Longer histories than those of the training would meet whole-word vectors that never learnt.
SHORT = {"history_length": 5, "numbering": "original"}
STAGE = StageConfig(strategy="all", epochs=40, batch=64, lr=1e-2, warmup=0.05, validate_every=8)


class TestIds(SequenceModelContract):
    stage = STAGE

    def make_model(self) -> SequenceModel:
        return make(**SHORT)


class TestTitles(SequenceModelContract):
    stage = STAGE

    @pytest.fixture(autouse=True)
    def folder(self, text_model: Path) -> None:
        self.backbone = str(text_model)

    def make_model(self) -> SequenceModel:
        return make(written="title", backbone=self.backbone, **SHORT)


def read(model: PromptEncoder, tokens: torch.Tensor) -> list[str]:
    name = model.config.backbone
    tokenizer = digit_tokenizer() if name == "t5" else load_tokenizer(name)
    return ["".join(tokenizer.convert_ids_to_tokens(row[row >= 0].tolist())) for row in tokens]


def test_a_prompt_is_the_items_in_a_row():
    model = make(numbering="original")
    items = torch.tensor([[0, 11, 8], [9, 0, 0]])
    tokens, words = model.prompts(items, torch.tensor([[True] * 3, [True, False, False]]))
    assert read(model, tokens) == ["item_1item_12item_9</s>", "item_10</s>"]
    assert words[0].tolist() == [1, 1, 2, 2, 2, 3, 3, 0]
    assert words[1, :4].tolist() == [1, 1, 1, 0]


def test_p5_has_words_around_and_between():
    model = make(style="p5", numbering="original")
    tokens, words = model.prompts(torch.tensor([[0, 11]]), torch.ones(1, 2, dtype=torch.bool))
    (text,) = read(model, tokens)
    assert text == "Sofarwentthrough1,12,.Thefollowingnumberwouldbe</s>"
    assert words[0].tolist() == [0] * 4 + [1] * 2 + [2] * 3 + [0] * 7


def test_the_original_numbering_is_told():
    for settings, told in (
        ({"numbering": "original"}, 1),
        ({}, 0),
    ):
        assert len(make(**settings).leaks()) == told


def test_titles_are_cut(text_model: Path):
    model = make(written="title", backbone=str(text_model), max_title_tokens=1)
    tokens, _ = model.prompts(torch.tensor([[0, 5]]), torch.ones(1, 2, dtype=torch.bool))
    assert read(model, tokens) == ["Thing[UNK]Thing[UNK]</s>"]  # this tokenizer knows no comma


def test_titles_need_a_tokenizer():
    with pytest.raises(ConfigError, match="no tokenizer"):
        PromptEncoderConfig(written="title", backbone="t5")


@pytest.mark.parametrize("style", ["p5", "pod"])
def test_describe_builds_the_same_model_again(style: str):
    model = make(style=style).eval()
    again = PromptEncoder.skeleton(model.config, json.loads(json.dumps(model.describe())))
    again.load_state_dict(model.state_dict())
    items, mask = torch.tensor([[1, 2, 3]]), torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(again.eval().scores(items, mask), model.scores(items, mask))


def test_a_run_comes_back(small_ring: Dataset, tmp_path: Path):
    config = PromptEncoderConfig(backbone="t5", from_scratch=True, shape=SHAPE)
    stage = StageConfig(strategy="sampling", epochs=1)
    recommender = Recommender.fit(
        small_ring, Preset("tiny", model=config, vector=stage), device="cpu", progress=False
    )
    loaded = Recommender.load(recommender.save(tmp_path / "run"))
    histories = [["i03", "i04"], ["i10"]]
    assert loaded.recommend(histories).ids == recommender.recommend(histories).ids
