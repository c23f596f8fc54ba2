"""Where things are kept between runs."""

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder for downloads and item vectors: LITE_LLM4REC_CACHE or the user's cache."""
    given = os.environ.get("LITE_LLM4REC_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "lite-llm4rec"


def is_main_process() -> bool:
    """Tell whether this process is the one that writes, where several train together."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"
