"""Where things are kept between runs, and how they get to the disk."""

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder for downloads and item vectors: LITE_LLM4REC_CACHE or the user's cache."""
    given = os.environ.get("LITE_LLM4REC_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "lite-llm4rec"


def is_main_process() -> bool:
    """Tell whether this process is the one that writes, where several train together."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def flush(path: Path) -> None:
    """See that a file's content, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
