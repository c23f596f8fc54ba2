"""Models. Each is one readable file; a new one is registered here, or in a file of its own."""

from collections.abc import Mapping
from typing import Any

from lite_llm4rec.models.base import (
    CatalogueFacts,
    EncoderModel,
    EveryPositionModel,
    GenerativeModel,
    ModelConfig,
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
from lite_llm4rec.models.registry import MODELS, TITLES, register
from lite_llm4rec.models.s3rec import S3Rec, S3RecConfig
from lite_llm4rec.models.sasrec import SASRec, SASRecConfig

register(LiteLLM4Rec, LiteConfig, "Lite-LLM4Rec")
register(BERT4Rec, BERT4RecConfig, "BERT4Rec")
register(CausalLLM4Rec, CausalConfig, "Lite-LLM4Rec, causal")
register(FDSA, FDSAConfig, "FDSA")
register(GenerativeRec, GenerativeConfig, "Generative")
register(PromptEncoder, PromptEncoderConfig, "POD without a decoder")
register(S3Rec, S3RecConfig, "S3-Rec")
register(SASRec, SASRecConfig, "SASRec")

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
    "register",
    "title",
]
