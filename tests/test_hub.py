import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import DownloadError, MissingExtraError, StoreError
from lite_llm4rec.recommender import Recommender
from tests.conftest import untrained

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HISTORIES = [["i03", "i04"], []]


class FakeHub(BaseHTTPRequestHandler):
    """As much of the Hub as a download of one repository asks for."""

    repositories: dict[str, Path]

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        for name, folder in self.repositories.items():
            if path.startswith(f"/api/models/{name}/tree/"):
                files = [
                    {
                        "type": "file",
                        "path": file.name,
                        "size": file.stat().st_size,
                        "oid": "0" * 40,
                    }
                    for file in sorted(folder.iterdir())
                ]
                return self.answer(json.dumps(files).encode())
            if path == f"/api/models/{name}/revision/main":
                return self.answer(json.dumps({"id": name, "sha": COMMIT, "siblings": []}).encode())
            if path.startswith(f"/{name}/resolve/{COMMIT}/"):
                return self.answer((folder / path.rpartition("/")[2]).read_bytes())
        return self.answer(b'{"error": "Repository not found"}', 404)

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def recommender(small_ring: Dataset) -> Recommender:
    recommender = untrained(small_ring)
    recommender.evaluate(small_ring)
    return recommender


def point_at(endpoint: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Path]]:
    repositories: dict[str, Path] = {}
    handler = type("Handler", (FakeHub,), {"repositories": repositories})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    point_at(f"http://127.0.0.1:{server.server_port}", tmp_path / "hub-cache", monkeypatch)
    yield repositories
    server.shutdown()
    server.server_close()


def test_a_run_comes_from_the_hub_as_it_went(
    recommender: Recommender, fake_hub: dict[str, Path], tmp_path: Path
):
    fake_hub["acme/run"] = folder = recommender.save(tmp_path / "run")
    loaded = Recommender.from_pretrained("acme/run")
    assert loaded.recommend(HISTORIES) == recommender.recommend(HISTORIES)
    assert loaded.evaluations == recommender.evaluations
    (snapshot,) = (tmp_path / "hub-cache").glob("models--acme--run/snapshots/*")
    assert snapshot.name == COMMIT
    assert {path.name: path.read_bytes() for path in snapshot.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    with pytest.raises(DownloadError, match="did not give it"):
        Recommender.from_pretrained("acme/run", revision="v9")
    pinned = Recommender.from_pretrained("acme/run", revision=COMMIT)
    assert pinned.recommend(HISTORIES) == recommender.recommend(HISTORIES)


def test_a_repository_that_is_not_there(fake_hub: dict[str, Path]):
    with pytest.raises(DownloadError, match=r"'acme/none' is no local folder and the Hub did not"):
        Recommender.from_pretrained("acme/none")
    with pytest.raises(DownloadError, match="Check the name"):
        Recommender.from_pretrained("/no/such/folder")


def test_a_repository_that_holds_something_else(fake_hub: dict[str, Path], tmp_path: Path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "t5"}')
    fake_hub["acme/other"] = tmp_path / "other"
    with pytest.raises(StoreError, match="names no format version"):
        Recommender.from_pretrained("acme/other")


def test_a_local_folder_needs_no_hub(
    recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    folder = recommender.save(tmp_path / "run")
    for name in (folder, str(folder)):
        assert Recommender.from_pretrained(name).ids == recommender.ids


def test_without_a_network_it_fails_at_once(
    recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    point_at("http://127.0.0.1:9", tmp_path, monkeypatch)
    began = time.monotonic()
    with pytest.raises(DownloadError, match="the Hub did not give it"):
        Recommender.from_pretrained("acme/run")
    with pytest.raises(DownloadError, match=r"The Hub did not take 'acme/run'[\s\S]*hf auth login"):
        recommender.push_to_hub("acme/run", token="made-up")
    assert time.monotonic() - began < 5


def test_without_the_package_the_extra_is_named(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (Recommender.from_pretrained, recommender.push_to_hub):
        with pytest.raises(MissingExtraError, match=r"pip install 'lite-llm4rec\[hub\]'"):
            call("acme/run")  # type: ignore[operator]


class Repository(str):
    repo_id = "acme/run"


def describe(monkeypatch: pytest.MonkeyPatch, private: bool) -> None:
    found = SimpleNamespace(private=private)
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_info", lambda self, repo_id: found)


def test_what_is_private_is_not_pushed_where_all_can_see_it(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
):
    calls: list[str] = []

    def create(self: Any, name: str, **options: Any) -> Repository:
        return Repository(f"https://hub/{name}")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create)
    monkeypatch.setattr(
        huggingface_hub.HfApi, "upload_folder", lambda self, **what: calls.append(what["repo_id"])
    )
    describe(monkeypatch, private=False)
    with pytest.raises(DownloadError, match="is there already, and public"):
        recommender.push_to_hub("acme/run", private=True)
    assert not calls
    recommender.push_to_hub("acme/run")
    assert calls == ["acme/run"]


@pytest.mark.parametrize("loaded", [False, True])
def test_what_is_pushed_is_a_whole_run_folder(
    loaded: bool, recommender: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = recommender.save(tmp_path / "run")
    calls: dict[str, Any] = {}

    def create(self: Any, name: str, **options: Any) -> Repository:
        calls["created"] = SimpleNamespace(name=name, token=self.token, **options)
        return Repository("https://hub/acme/run")

    def upload(
        self: Any, *, repo_id: str, folder_path: Path, commit_message: str, delete_patterns: str
    ) -> None:
        calls["replaced"] = delete_patterns
        calls["files"] = {path.name: path.read_bytes() for path in folder_path.iterdir()}
        calls["scores"] = Recommender.load(folder_path).recommend(HISTORIES)
        calls["repo_id"] = repo_id
        calls["folder"] = folder_path

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", create)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    describe(monkeypatch, private=True)
    pushed = Recommender.load(expected) if loaded else recommender
    address = pushed.push_to_hub("acme/run", private=True, token="made-up")
    assert address == "https://hub/acme/run"
    assert calls["created"] == SimpleNamespace(
        name="acme/run", token="made-up", private=True, exist_ok=True
    )
    assert calls["repo_id"] == "acme/run"
    assert calls["replaced"] == "*"
    assert calls["files"] == {path.name: path.read_bytes() for path in expected.iterdir()}
    assert calls["scores"] == recommender.recommend(HISTORIES)
    assert not calls["folder"].exists()
