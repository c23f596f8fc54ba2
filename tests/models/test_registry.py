"""A ninth system is one file and one preset: the example, through contract, commands and table."""

from pathlib import Path

import pytest
import torch

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.losses import LossConfig
from lite_llm4rec.models import MODELS, CatalogueFacts, ModelConfig, SASRecConfig, register
from lite_llm4rec.models.registry import load_model_file
from lite_llm4rec.preset import load_preset
from tests.models.contract import N_ITEMS, EveryPositionContract

FILE = Path(__file__).parents[2] / "examples" / "own_model.py"


@pytest.fixture(autouse=True)
def own_model():
    load_model_file(FILE)


class TestContract(EveryPositionContract):
    def make_model(self):
        config = ModelConfig.kinds["gru4rec"](
            width=32, history_length=5, dropout=0.0, loss=LossConfig("full")
        )
        facts = CatalogueFacts(torch.empty(N_ITEMS, 0), torch.ones(N_ITEMS))
        return MODELS["gru4rec"].create(config, facts)


def test_its_preset_is_read_and_checked():
    preset = load_preset(str(FILE.with_suffix(".toml")), ["model.width=16"])
    assert preset.model.kind == "gru4rec" and preset.model.width == 16
    with pytest.raises(ConfigError, match="did you mean 'width'"):
        load_preset(str(FILE.with_suffix(".toml")), ["model.widht=16"])


def test_a_kind_that_is_taken():
    class SASRecConfig2(SASRecConfig):
        pass

    with pytest.raises(ConfigError, match="'sasrec' already"):
        register(MODELS["sasrec"], SASRecConfig2, "Mine")
    assert ModelConfig.kinds["sasrec"] is SASRecConfig


def test_an_unknown_kind_says_how_own_models_come_in(tmp_path: Path):
    preset = tmp_path / "mine.toml"
    preset.write_text('[model]\nkind = "gru5rec"\n[vector]\nstrategy = "positions"\n')
    with pytest.raises(ConfigError, match=r"did you mean 'gru4rec'.*--model-file"):
        load_preset(str(preset))


@pytest.mark.parametrize("text", ["import no_such_module", "def", "raise ValueError(3)", None])
def test_a_file_that_does_not_run(tmp_path: Path, text: str | None):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.py"):
        load_model_file(path)
