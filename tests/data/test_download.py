"""`fetch` against a server on this machine that misbehaves on demand."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lite_llm4rec.data import download
from lite_llm4rec.data.download import fetch, verify
from lite_llm4rec.errors import DownloadError

CONTENT = bytes(range(256)) * 1000


@dataclass
class Site:
    """What the server gives, how it misbehaves, and what it was asked for."""

    content: bytes = CONTENT
    tag: str = '"one"'
    ranges: bool = True
    respects_if_range: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which each next answer breaks off
    statuses: list[int] = field(default_factory=list)  # refusals given first
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request
    sent: int = 0
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers["Range"]
        self.asked.append(wanted)
        if self.statuses:
            handler.send_error(self.statuses.pop(0))
            return
        same = not self.respects_if_range or handler.headers["If-Range"] == self.tag
        start = int(wanted[6:-1]) if wanted and self.ranges and same else 0
        if start >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.end_headers()
            return
        body = self.content[start:]
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(body)))
        if self.tag:
            handler.send_header("ETag", self.tag)
        if start:
            end = len(self.content)
            handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        handler.end_headers()
        body = body[: self.cuts.pop(0)] if self.cuts else body
        self.sent += len(body)
        handler.wfile.write(body)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_address[1]}/file.bin"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "file.bin"


def interrupt(site: Site, path: Path, after: int) -> None:
    """Leave a part of `after` bytes, as a killed process does."""
    site.cuts, site.statuses = [after], []
    path.parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(download._DroppedError):
        download._attempt(site.url, path.with_name("file.bin.part"), path)
    site.asked.clear()
    site.sent = 0


def test_whole_file(site: Site, path: Path) -> None:
    assert fetch(site.url, path) == path
    assert path.read_bytes() == CONTENT
    assert site.asked == [None]
    assert sorted(other.name for other in path.parent.iterdir()) == [
        "file.bin",
        "file.bin.lock",
        "file.bin.sha256",
    ]


def test_second_call_asks_nothing(site: Site, path: Path) -> None:
    fetch(site.url, path)
    fetch(site.url, path)
    assert site.asked == [None]


def test_cut_connection_goes_on(site: Site, path: Path) -> None:
    site.cuts = [100_000]
    fetch(site.url, path)
    assert path.read_bytes() == CONTENT
    assert site.asked == [None, "bytes=100000-"]
    assert site.sent == len(CONTENT)


def test_later_call_goes_on(site: Site, path: Path) -> None:
    interrupt(site, path, 70_000)
    fetch(site.url, path)
    assert path.read_bytes() == CONTENT
    assert site.asked == ["bytes=70000-"]
    assert site.sent == len(CONTENT) - 70_000


def test_gaining_tries_are_not_counted(site: Site, path: Path) -> None:
    site.cuts = [10_000] * (3 * download.TRIES)
    fetch(site.url, path)
    assert path.read_bytes() == CONTENT


def test_server_without_range(site: Site, path: Path) -> None:
    site.ranges = False
    site.cuts = [100_000]
    fetch(site.url, path)
    assert path.read_bytes() == CONTENT
    assert site.sent == len(CONTENT) + 100_000


def test_server_that_always_breaks_off_is_given_up(site: Site, path: Path) -> None:
    site.ranges = False
    site.cuts = [100_000] * 20
    with pytest.raises(DownloadError, match="broke off after 100,000 of 256,000 bytes"):
        fetch(site.url, path)
    assert len(site.asked) == download.TRIES
    assert not path.exists()


def test_without_a_version_starts_over(site: Site, path: Path) -> None:
    site.tag = ""
    site.cuts = [100_000]
    fetch(site.url, path)
    assert site.asked == [None, None]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("respects_if_range", [True, False])
def test_changed_file_is_not_glued(site: Site, path: Path, respects_if_range: bool) -> None:
    interrupt(site, path, 70_000)
    site.content, site.tag = b"new" * 60_000, '"two"'
    site.respects_if_range = respects_if_range
    fetch(site.url, path)
    assert path.read_bytes() == site.content


def test_a_part_that_is_the_whole_file(site: Site, path: Path) -> None:
    """It was killed before it could give the part its name."""
    whole = len(site.content)
    interrupt(site, path, after=whole - 1)
    with open(path.with_name("file.bin.part"), "ab") as file:
        file.write(site.content[-1:])
    fetch(site.url, path)
    assert path.read_bytes() == site.content
    assert site.sent == 0


def test_shrunk_file_starts_over(site: Site, path: Path) -> None:
    interrupt(site, path, 70_000)
    site.content, site.tag, site.respects_if_range = b"short", '"two"', False
    fetch(site.url, path)
    assert path.read_bytes() == b"short"


def test_busy_server_is_tried_again(site: Site, path: Path) -> None:
    site.statuses = [503, 429]
    fetch(site.url, path)
    assert len(site.asked) == 3


def test_missing_file_is_not_tried_again(site: Site, path: Path) -> None:
    site.statuses = [404]
    with pytest.raises(DownloadError, match="404"):
        fetch(site.url, path)
    assert len(site.asked) == 1


def test_silent_server_times_out(site: Site, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silence = threading.Event()
    monkeypatch.setattr(download, "TIMEOUT", 0.05)
    monkeypatch.setattr(Site, "answer", lambda self, handler: silence.wait(5))
    with pytest.raises(DownloadError, match="timed out"):
        fetch(site.url, path)
    silence.set()


def test_no_network(path: Path, site: Site) -> None:
    with pytest.raises(DownloadError) as caught:
        fetch("http://127.0.0.1:9/file.bin", path)
    assert "http://127.0.0.1:9/file.bin could not be fetched" in caught.value.problem
    assert "refused" in caught.value.problem
    assert f"fetch it by hand and put it at {path}" in caught.value.remedy


def test_put_by_hand(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"by hand")
    fetch("http://127.0.0.1:9/file.bin", path)
    path.write_bytes(b"BY HAND")
    with pytest.raises(DownloadError, match="is not what it was"):
        fetch("http://127.0.0.1:9/file.bin", path)


def test_changed_afterwards(site: Site, path: Path) -> None:
    fetch(site.url, path)
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DownloadError) as caught:
        fetch(site.url, path)
    assert str(path) in caught.value.problem and "255,999 bytes" in caught.value.problem
    assert f"delete {path}.sha256" in caught.value.remedy
    path.unlink()
    fetch(site.url, path)
    assert path.read_bytes() == CONTENT


def test_changed_at_the_source(site: Site, path: Path) -> None:
    fetch(site.url, path)
    path.unlink()
    site.content = b"another edition"
    with pytest.raises(DownloadError, match="is not what it was"):
        fetch(site.url, path)


def test_hashes_again_only_after_a_change(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    digest = download.hashlib.file_digest
    monkeypatch.setattr(
        download.hashlib, "file_digest", lambda *a: (hashed.append(1), digest(*a))[1]
    )
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    verify(path)
    verify(path)
    assert len(hashed) == 1
    os.utime(path, (1, 1))
    verify(path)
    verify(path)
    assert len(hashed) == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": "0"}'])
def test_damaged_record(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.with_name("file.bin.sha256").write_text(text)
    with pytest.raises(DownloadError, match=r"file\.bin\.sha256 is not a record"):
        verify(path)


def test_record_is_plain_json(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"")
    verify(path)
    record = json.loads(path.with_name("file.bin.sha256").read_text())
    assert record["sha256"].startswith("e3b0c442") and record["size"] == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk(site: Site, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("file.bin.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match="The disk is full"):
        fetch(site.url, path)


def test_too_little_room_is_said_before(
    site: Site, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = download.shutil._ntuple_diskusage(10, 5, 5)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DownloadError, match="256,000 more bytes are needed"):
        fetch(site.url, path)
    assert not path.with_name("file.bin.part").exists()


def test_unwritable_cache(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadError, match="cannot be read or written"):
        fetch(site.url, tmp_path / "file" / "file.bin")


def test_two_at_once_fetch_once(site: Site, path: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(site.url, path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == CONTENT
    assert site.asked == [None]
