"""The models, one readable file each; each passes `tests/models/contract.py`."""

from lite_llm4rec.models.base import SequenceModel
from lite_llm4rec.models.lite import LiteConfig, LiteLLM4Rec
from lite_llm4rec.models.popularity import Popularity

__all__ = ["LiteConfig", "LiteLLM4Rec", "Popularity", "SequenceModel"]
