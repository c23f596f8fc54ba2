"""Models. Each is one readable file; a new one is added to `MODELS`."""

from collections.abc import Mapping
from typing import Any

from lite_llm4rec.models.base import (
    CatalogueFacts,
    EncoderModel,
    EveryPositionModel,
    GenerativeModel,
    PretrainedModel,
    RankingModel,
    SequenceModel,
)
from lite_llm4rec.models.bert4rec import BERT4Rec, BERT4RecConfig
from lite_llm4rec.models.causal import CausalConfig, CausalLLM4Rec
from lite_llm4rec.models.exported import ExportedConfig, ExportedModel
from lite_llm4rec.models.fdsa import FDSA, FDSAConfig
from lite_llm4rec.models.generative import GenerativeConfig, GenerativeRec
from lite_llm4rec.models.lite import LiteConfig, LiteLLM4Rec
from lite_llm4rec.models.nearest_text import NearestText
from lite_llm4rec.models.next_number import NextNumber
from lite_llm4rec.models.popularity import Popularity
from lite_llm4rec.models.prompt_encoder import PromptEncoder, PromptEncoderConfig
from lite_llm4rec.models.s3rec import S3Rec, S3RecConfig
from lite_llm4rec.models.sasrec import SASRec, SASRecConfig

Model = (
    BERT4Rec | CausalLLM4Rec | FDSA | GenerativeRec | LiteLLM4Rec | PromptEncoder | S3Rec | SASRec
)
ModelConfig = (
    LiteConfig
    | BERT4RecConfig
    | CausalConfig
    | FDSAConfig
    | GenerativeConfig
    | PromptEncoderConfig
    | S3RecConfig
    | SASRecConfig
)

MODELS: dict[str, type[Model]] = {
    "bert4rec": BERT4Rec,
    "causal": CausalLLM4Rec,
    "fdsa": FDSA,
    "generative": GenerativeRec,
    "lite": LiteLLM4Rec,
    "prompt-encoder": PromptEncoder,
    "s3rec": S3Rec,
    "sasrec": SASRec,
}

TITLES = {
    "bert4rec": "BERT4Rec",
    "causal": "Lite-LLM4Rec, causal",
    "fdsa": "FDSA",
    "generative": "Generative",
    "lite": "Lite-LLM4Rec",
    "prompt-encoder": "POD without a decoder",
    "s3rec": "S3-Rec",
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
    "FDSA",
    "MODELS",
    "TITLES",
    "BERT4Rec",
    "BERT4RecConfig",
    "CatalogueFacts",
    "CausalConfig",
    "CausalLLM4Rec",
    "EncoderModel",
    "EveryPositionModel",
    "ExportedConfig",
    "ExportedModel",
    "FDSAConfig",
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
    "PretrainedModel",
    "PromptEncoder",
    "PromptEncoderConfig",
    "RankingModel",
    "S3Rec",
    "S3RecConfig",
    "SASRec",
    "SASRecConfig",
    "SequenceModel",
    "title",
]
