"""Where things are kept between runs, and how they get to the disk."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lite_llm4rec.errors import StoreError


def cache_root() -> Path:
    """Return the folder for downloads and item vectors: LITE_LLM4REC_CACHE or the user's cache."""
    given = os.environ.get("LITE_LLM4REC_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "lite-llm4rec"


def is_main_process() -> bool:
    """Tell whether this process is the one that writes, where several train together."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


@contextmanager
def alone(lock: Path, seconds: float = -1) -> Iterator[None]:
    """Let one process at a time do what a lock file stands for.

    Parameters
    ----------
    lock : Path
        The file; it is made, and stays.
    seconds : float
        How long to wait for another process; by default, as long as it takes.

    Raises
    ------
    StoreError
        When another process is not done by then.
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=seconds)
    except Timeout as error:
        raise StoreError(
            f"Another process is at work there: it holds {lock}.", "Run it again when that is done."
        ) from error
    try:
        yield
    finally:
        held.release()


def flush(path: Path) -> None:
    """See that a file's content, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
