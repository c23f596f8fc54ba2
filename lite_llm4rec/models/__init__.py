"""Models. Each is one readable file; a new one is added to `MODELS`."""

from collections.abc import Mapping
from typing import Any

from lite_llm4rec.models.base import (
    EveryPositionModel,
    GenerativeModel,
    RankingModel,
    ReadsCatalogue,
    SequenceModel,
)
from lite_llm4rec.models.causal import CausalConfig, CausalLLM4Rec
from lite_llm4rec.models.generative import GenerativeConfig, GenerativeRec
from lite_llm4rec.models.lite import LiteConfig, LiteLLM4Rec
from lite_llm4rec.models.nearest_text import NearestText
from lite_llm4rec.models.next_number import NextNumber
from lite_llm4rec.models.popularity import Popularity
from lite_llm4rec.models.prompt_encoder import PromptEncoder, PromptEncoderConfig
from lite_llm4rec.models.sasrec import SASRec, SASRecConfig

Model = CausalLLM4Rec | GenerativeRec | LiteLLM4Rec | PromptEncoder | SASRec
ModelConfig = LiteConfig | CausalConfig | GenerativeConfig | PromptEncoderConfig | SASRecConfig

MODELS: dict[str, type[Model]] = {
    "causal": CausalLLM4Rec,
    "generative": GenerativeRec,
    "lite": LiteLLM4Rec,
    "prompt-encoder": PromptEncoder,
    "sasrec": SASRec,
}

TITLES = {
    "causal": "Lite-LLM4Rec, causal",
    "generative": "Generative",
    "lite": "Lite-LLM4Rec",
    "prompt-encoder": "POD without a decoder",
    "sasrec": "SASRec",
}
STYLE_TITLES = {"p5": "P5", "pod": "POD", "lightlm": "LightLM"}


def title(settings: Mapping[str, Any]) -> str:
    """Name a model by its settings, as `config.to_dict` gives them.

    >>> title({"kind": "generative", "style": "pod"}), title({"kind": "sasrec"})
    ('POD', 'SASRec')
    """
    return STYLE_TITLES.get(settings.get("style", ""), TITLES[settings.get("kind", "lite")])


__all__ = [
    "MODELS",
    "TITLES",
    "CausalConfig",
    "CausalLLM4Rec",
    "EveryPositionModel",
    "GenerativeConfig",
    "GenerativeModel",
    "GenerativeRec",
    "LiteConfig",
    "LiteLLM4Rec",
    "Model",
    "ModelConfig",
    "NearestText",
    "NextNumber",
    "Popularity",
    "PromptEncoder",
    "PromptEncoderConfig",
    "RankingModel",
    "ReadsCatalogue",
    "SASRec",
    "SASRecConfig",
    "SequenceModel",
    "title",
]
