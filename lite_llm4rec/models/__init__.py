"""Models. Each is one readable file; a new one is added to `MODELS`."""

from lite_llm4rec.models.base import EveryPositionModel, PretrainedModel, SequenceModel
from lite_llm4rec.models.bert4rec import BERT4Rec, BERT4RecConfig
from lite_llm4rec.models.causal import CausalConfig, CausalLLM4Rec
from lite_llm4rec.models.fdsa import FDSA, FDSAConfig
from lite_llm4rec.models.lite import LiteConfig, LiteLLM4Rec
from lite_llm4rec.models.nearest_text import NearestText
from lite_llm4rec.models.popularity import Popularity
from lite_llm4rec.models.s3rec import S3Rec, S3RecConfig
from lite_llm4rec.models.sasrec import SASRec, SASRecConfig

Model = CausalLLM4Rec | LiteLLM4Rec | SASRec | BERT4Rec | FDSA | S3Rec
ModelConfig = LiteConfig | CausalConfig | SASRecConfig | BERT4RecConfig | FDSAConfig | S3RecConfig

MODELS: dict[str, type[Model]] = {
    "bert4rec": BERT4Rec,
    "causal": CausalLLM4Rec,
    "fdsa": FDSA,
    "lite": LiteLLM4Rec,
    "s3rec": S3Rec,
    "sasrec": SASRec,
}

TITLES = {
    "bert4rec": "BERT4Rec",
    "causal": "Lite-LLM4Rec, causal",
    "fdsa": "FDSA",
    "lite": "Lite-LLM4Rec",
    "s3rec": "S3-Rec",
    "sasrec": "SASRec",
}

__all__ = [
    "FDSA",
    "MODELS",
    "TITLES",
    "BERT4Rec",
    "BERT4RecConfig",
    "CausalConfig",
    "CausalLLM4Rec",
    "EveryPositionModel",
    "FDSAConfig",
    "LiteConfig",
    "LiteLLM4Rec",
    "Model",
    "ModelConfig",
    "NearestText",
    "Popularity",
    "PretrainedModel",
    "S3Rec",
    "S3RecConfig",
    "SASRec",
    "SASRecConfig",
    "SequenceModel",
]
