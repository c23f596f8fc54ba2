"""Lite-LLM4Rec: sequential recommendation with language models, without decoding.

The public names are imported when first used, so that the command line's `--help` and `doctor`
need not wait for torch.

>>> import lite_llm4rec
>>> lite_llm4rec.__version__ == lite_llm4rec.version.VERSION
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lite_llm4rec.version import VERSION as __version__  # noqa: N811

if TYPE_CHECKING:
    from lite_llm4rec.data.dataset import Dataset
    from lite_llm4rec.data.interactions import Interactions
    from lite_llm4rec.data.sources import load as load_dataset
    from lite_llm4rec.data.split import by_time, last_n, leave_one_out
    from lite_llm4rec.errors import LiteLLM4RecError
    from lite_llm4rec.paired import compare
    from lite_llm4rec.preset import Preset, load_preset
    from lite_llm4rec.recommender import Recommender

__all__ = [
    "Dataset",
    "Interactions",
    "LiteLLM4RecError",
    "Preset",
    "Recommender",
    "__version__",
    "by_time",
    "compare",
    "last_n",
    "leave_one_out",
    "load_dataset",
    "load_preset",
]

_HOMES = {
    "Dataset": "data.dataset",
    "Interactions": "data.interactions",
    "LiteLLM4RecError": "errors",
    "Preset": "preset",
    "Recommender": "recommender",
    "by_time": "data.split",
    "compare": "paired",
    "last_n": "data.split",
    "leave_one_out": "data.split",
    "load_dataset": "data.sources",
    "load_preset": "preset",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lite_llm4rec' has no attribute '{name}'")
    module = import_module(f"lite_llm4rec.{_HOMES[name]}")
    return getattr(module, "load" if name == "load_dataset" else name)
