"""Which models there are: those of the library, and a caller's own from one file."""

import importlib.util
import traceback
from pathlib import Path

from lite_llm4rec.errors import ConfigError, LiteLLM4RecError
from lite_llm4rec.models.base import ModelConfig, RankingModel

MODELS: dict[str, type[RankingModel]] = {}
TITLES: dict[str, str] = {}


def register(model: type[RankingModel], config: type[ModelConfig], title: str) -> None:
    """Add a model: presets, run folders and the command line then know it by its config's `kind`.

    Parameters
    ----------
    model : type
        A `SequenceModel` or `GenerativeModel` with `create`, `skeleton` and `describe`; `SASRec`
        is a short example.
    config : type
        A frozen dataclass that inherits `ModelConfig`.
    title : str
        Its name in tables.

    Raises
    ------
    ConfigError
        When another model has this kind.
    """
    known = ModelConfig.kinds.get(config.kind)
    if known is not None and known.__qualname__ != config.__qualname__:
        raise ConfigError(
            f"There is a model of the kind '{config.kind}' already.", "Choose another kind."
        )
    ModelConfig.kinds[config.kind] = config
    MODELS[config.kind] = model
    TITLES[config.kind] = title


def load_model_file(path: Path) -> None:
    """Run a Python file that registers models.

    Raises
    ------
    ConfigError
        When there is no such file, or it does not run.
    """
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ConfigError(f"No Python file: {path}", "Check the path.")
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except LiteLLM4RecError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(
            f"{path} cannot be run: {type(error).__name__}: {error} ({where.filename}, line"
            f" {where.lineno}).",
            "Mend it.",
        ) from error
