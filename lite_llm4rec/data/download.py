"""Files from the network: resumed where they broke off, checked, remembered by their hash."""

import errno
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from threading import get_ident
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tqdm import tqdm

from lite_llm4rec.errors import DownloadError
from lite_llm4rec.paths import alone

TRIES = 3  # without a byte gained; a try that gains some starts the count anew
PAUSE = 1.0  # seconds after the first failure, doubled after each further one
TIMEOUT = 30.0  # seconds of silence after which a connection counts as dropped
BLOCK = 1 << 16


class _DroppedError(Exception):
    """A connection that failed in a way that another try may mend."""


def fetch(url: str, path: Path) -> Path:
    """Bring a file here, once; what is here already is only checked.

    The bytes go to `path + ".part"`, which a later call goes on from as long as the server still
    has the same version of the file. Of several processes one fetches and the others wait.

    Parameters
    ----------
    url : str
        Where the file is to be had.
    path : Path
        Where to put it. A file put there by hand serves as well.

    Returns
    -------
    Path
        `path`, complete and unchanged since it was first seen (see `verify`).

    Raises
    ------
    DownloadError
        Without a network, on a refusal of the server, a full disk, or a changed file.
    """
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with alone(path, lock=_beside(path, ".lock")):
                if not path.is_file():
                    _download(url, path)
        verify(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    return path


def verify(path: Path) -> None:
    """Check that a file is what it was when first seen.

    Its SHA-256, size and time of change are recorded in `path + ".sha256"` the first time; later
    the file is hashed again only when its size or time of change is another.

    Raises
    ------
    DownloadError
        When the hash is another, or the record cannot be read.
    """
    record_path = _beside(path, ".sha256")
    state = {"size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
    record = _read_record(record_path) if record_path.is_file() else None
    if record is not None and {key: record[key] for key in state} == state:
        return
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if record is not None and record["sha256"] != sha256:
        raise DownloadError(
            f"{path} is not what it was when first fetched: its sha256 was {record['sha256']}"
            f" ({record['size']:,} bytes), now it is {sha256} ({state['size']:,} bytes).",
            f"If it is damaged, delete it and it is fetched again; if you trust the new content,"
            f" delete {record_path}. Numbers measured on the two are not comparable.",
        )
    text = json.dumps({"sha256": sha256, **state})
    temporary = _beside(record_path, f".{os.getpid()}-{get_ident()}")
    temporary.write_text(text + "\n")
    os.replace(temporary, record_path)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
        return {key: record[key] for key in ("sha256", "size", "mtime_ns")}
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(
            f"{path} is not a record of a download.",
            "Delete it; the file beside it is then taken as it is now.",
        ) from error


def _download(url: str, path: Path) -> None:
    """Try until the whole file is there, or nothing is gained any more."""
    part = _beside(path, ".part")
    failures = 0
    while True:
        before = _size(part)
        try:
            _attempt(url, part, path)
            break
        except _DroppedError as error:
            failures = 1 if _size(part) > before else failures + 1
            if failures == TRIES:
                raise _refused(url, path, str(error)) from error
            time.sleep(PAUSE * 2 ** (failures - 1))
    os.replace(part, path)
    _beside(part, ".version").unlink(missing_ok=True)


def _attempt(url: str, part: Path, path: Path) -> None:
    """Fetch what is missing of the part over one connection."""
    opened = _open(url, part, path)
    if opened is None:
        return
    with opened as response:
        start = _start(response, part)
        length = response.headers["Content-Length"]
        total = None if length is None else start + int(length)
        _check_room(part, 0 if length is None else int(length))
        with open(part, "ab" if start else "wb") as file, _bar(path.name, start, total) as bar:
            if not start:
                _beside(part, ".version").write_text(_version(response))
            for block in _blocks(response):
                file.write(block)
                bar.update(len(block))
    if total is not None and _size(part) != total:
        raise _DroppedError(f"the connection broke off after {_size(part):,} of {total:,} bytes")


def _open(url: str, part: Path, path: Path) -> Any:
    """Ask for the file, or for its rest where a part of a known version is here; None if all is."""
    headers = {"User-Agent": "lite-llm4rec"}
    version = _stored_version(part)
    if _size(part) and version:
        headers |= {"Range": f"bytes={_size(part)}-", "If-Range": version}
    try:
        return urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code == 416 and error.headers["Content-Range"] == f"bytes */{_size(part)}":
            return None  # all of it is here
        if error.code == 416:
            part.unlink()
            raise _DroppedError("the server's file is shorter than the part fetched") from error
        if error.code == 429 or error.code >= 500:
            raise _DroppedError(f"the server answers {error.code} {error.reason}") from error
        raise _refused(url, path, f"the server answers {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise _DroppedError(str(getattr(error, "reason", error))) from error


def _start(response: Any, part: Path) -> int:
    """Tell at which byte the answer begins: the end of the part, or 0 for the whole file."""
    if response.status != 206:
        return 0
    goes_on = str(response.headers["Content-Range"]).startswith(f"bytes {_size(part)}-")
    if not goes_on or _version(response) not in ("", _stored_version(part)):
        part.unlink()
        raise _DroppedError("the file changed on the server while it was being fetched")
    return _size(part)


def _blocks(response: Any) -> Iterator[bytes]:
    try:
        while block := response.read(BLOCK):
            yield block
    except (OSError, HTTPException) as error:
        raise _DroppedError(f"the connection broke off: {error}") from error


def _version(response: Any) -> str:
    """What tells versions of a file apart; a weak ETag does not do so for single bytes."""
    tag = response.headers["ETag"] or ""
    if tag and not tag.startswith("W/"):
        return str(tag)
    return str(response.headers["Last-Modified"] or "")


def _stored_version(part: Path) -> str:
    path = _beside(part, ".version")
    return path.read_text() if path.is_file() else ""


def _check_room(part: Path, needed: int) -> None:
    if shutil.disk_usage(part.parent).free < needed:
        raise OSError(errno.ENOSPC, f"{needed:,} more bytes are needed")


class _Lines:
    """Turn tqdm's redrawn bar into plain lines, for a log file."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(text.strip() + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def _bar(name: str, start: int, total: int | None) -> Any:
    """Show progress with rate and time left; TQDM_DISABLE=1 silences it."""
    terminal = sys.stderr.isatty()
    return tqdm(
        desc=name,
        initial=start,
        total=total,
        unit="B",
        unit_scale=True,
        file=sys.stderr if terminal else _Lines(),
        mininterval=0.2 if terminal else 30.0,
    )


def _refused(url: str, path: Path, reason: str) -> DownloadError:
    return DownloadError(
        f"{url} could not be fetched: {reason}.",
        f"Try again later (what has arrived is kept), or fetch it by hand and put it at {path}.",
    )


def _unwritable(path: Path, error: OSError) -> DownloadError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DownloadError(
            f"The disk is full: {path} does not fit ({error.strerror}).",
            "Make room and call again, which goes on from what has arrived, or set"
            " LITE_LLM4REC_CACHE to a folder on another disk.",
        )
    return DownloadError(
        f"{path} cannot be read or written: {error}.",
        "Check its permissions, or set LITE_LLM4REC_CACHE to another folder.",
    )


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
