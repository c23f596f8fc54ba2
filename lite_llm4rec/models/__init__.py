"""Models. Each is one readable file; a new one is added to `MODELS`."""

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
from lite_llm4rec.models.popularity import Popularity
from lite_llm4rec.models.sasrec import SASRec, SASRecConfig

Model = CausalLLM4Rec | GenerativeRec | LiteLLM4Rec | SASRec
ModelConfig = LiteConfig | CausalConfig | GenerativeConfig | SASRecConfig

MODELS: dict[str, type[Model]] = {
    "causal": CausalLLM4Rec,
    "generative": GenerativeRec,
    "lite": LiteLLM4Rec,
    "sasrec": SASRec,
}

TITLES = {
    "causal": "Lite-LLM4Rec, causal",
    "generative": "Generative (P5, POD, LightLM)",
    "lite": "Lite-LLM4Rec",
    "sasrec": "SASRec",
}

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
    "Popularity",
    "RankingModel",
    "ReadsCatalogue",
    "SASRec",
    "SASRecConfig",
    "SequenceModel",
]
