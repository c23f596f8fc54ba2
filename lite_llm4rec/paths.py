"""Where things are kept between runs, and how they get to the disk."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lite_llm4rec.errors import BusyError


def cache_root() -> Path:
    """Return the folder for downloads and item vectors: LITE_LLM4REC_CACHE or the user's cache."""
    given = os.environ.get("LITE_LLM4REC_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "lite-llm4rec"


def is_main_process() -> bool:
    """Tell whether this process is the one that writes, where several train together."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


@contextmanager
def alone(path: Path, seconds: float = -1, lock: Path | None = None) -> Iterator[None]:
    """Let one process of this user at a time work on a path; its holder may take it again.

    Parameters
    ----------
    path : Path
        What is worked on.
    seconds : float
        How long to wait for another process; by default, as long as it takes.
    lock : Path, optional
        The file that stands for it, where other machines are to see it; else one among the
        temporary files, so that nothing is left beside `path`.

    Raises
    ------
    BusyError
        When another process is not done by then.
    """
    held = FileLock(lock or _lock_of(path), is_singleton=True)
    try:
        held.acquire(timeout=seconds)
    except Timeout as error:
        raise BusyError(
            f"Another process is at work on {path}.", "Run it again when that is done."
        ) from error
    try:
        yield
    finally:
        held.release()


def _lock_of(path: Path) -> Path:
    user = os.getuid() if hasattr(os, "getuid") else ""
    name = hashlib.sha256(os.path.realpath(path).encode()).hexdigest()
    return Path(tempfile.gettempdir()) / f"lite-llm4rec-locks-{user}" / f"{name[:32]}.lock"


def flush(path: Path) -> None:
    """See that a file's content, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
