"""Lite-LLM4Rec: sequential recommendation with language models, without decoding.

>>> import lite_llm4rec
>>> lite_llm4rec.__version__ == lite_llm4rec.version.VERSION
True
"""

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.sources import load as load_dataset
from lite_llm4rec.data.split import by_time, last_n, leave_one_out
from lite_llm4rec.errors import LiteLLM4RecError
from lite_llm4rec.evaluate import compare, evaluate
from lite_llm4rec.preset import Preset, load_preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.version import VERSION as __version__  # noqa: N811

__all__ = [
    "Dataset",
    "LiteLLM4RecError",
    "Preset",
    "Recommender",
    "__version__",
    "by_time",
    "compare",
    "evaluate",
    "last_n",
    "leave_one_out",
    "load_dataset",
    "load_preset",
]
