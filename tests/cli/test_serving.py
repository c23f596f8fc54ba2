import json
import logging
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lite_llm4rec.serve import run as running
from lite_llm4rec.serve.settings import Settings, read_keys
from tests.cli.conftest import World, assert_refused, run

KEY = "a-key-of-enough-length"


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = before, level


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be served, in place of serving it."""
    calls: list[Any] = []
    monkeypatch.setattr(running, "run_service", lambda *arguments: calls.append(arguments))
    return calls


def test_options_become_settings(started: list[Any], folder: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "keys").write_text(f"{KEY}\n")
    result = run(
        "serve", folder, "--port", 81, "--host", "0.0.0.0", "--api-keys", tmp_path / "keys",
        "--state", tmp_path / "state", "--keep-days", 30, "--queue", 7, "--timeout", 2.5,
        "--interactions", "log.csv", "--user", "customer",
    )  # fmt: skip
    assert result.status == 0, result.err
    ((settings, interactions, columns),) = started
    database = f"sqlite:///{tmp_path / 'state' / 'state.db'}"
    assert settings == Settings(
        folder, database, "0.0.0.0", 81, read_keys(KEY), 30.0, queue=7, timeout=2.5
    )
    assert interactions == Path("log.csv")
    assert columns == {"user": "customer", "item": None, "time": None}
    monkeypatch.setenv("LITE_LLM4REC_DATABASE", "postgresql://host/db")
    monkeypatch.setenv("LITE_LLM4REC_API_KEYS", KEY)
    assert run("serve", folder, "--host", "0.0.0.0").status == 0
    assert started[1][0].database == "postgresql+psycopg://host/db"
    assert started[1][0].keys == read_keys(KEY)


def test_the_device(started: list[Any], folder: Path, monkeypatch: pytest.MonkeyPatch):
    assert run("serve", folder).status == 0
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run("serve", folder, "--device", "auto").status == 0
    assert_refused(run("serve", folder, "--device", "cuda"), "no GPU", "cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert run("serve", folder, "--device", "auto").status == 0
    assert [settings.device for settings, _, _ in started] == ["cpu", "cpu", "cuda"]


def test_it_listens_to_this_machine_alone_by_default(started: list[Any], folder: Path):
    assert run("serve", folder).status == 0
    assert started[0][0].host == "127.0.0.1" and not started[0][0].keys
    assert_refused(run("serve", folder, "--host", "0.0.0.0"), "--unprotected", "API_KEYS")
    assert run("serve", folder, "--host", "0.0.0.0", "--unprotected").status == 0


def test_keys_that_cannot_be_read_are_refused(folder: Path, tmp_path: Path):
    assert_refused(run("serve", folder, "--api-keys", tmp_path / "none"), "cannot be read")
    (tmp_path / "empty").touch()
    assert_refused(run("serve", folder, "--api-keys", tmp_path / "empty"), "no key")


@pytest.mark.parametrize("package", ["fastapi", "sqlalchemy", "uvicorn", "alembic"])
def test_without_the_extra_a_line_says_how_to_get_it(folder: Path, monkeypatch, package: str):
    for name in list(sys.modules):
        if name.startswith("lite_llm4rec.serve"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert_refused(run("serve", folder), package, "pip install 'lite-llm4rec[serve]'")


def test_what_cannot_be_served_is_refused(folder: Path, tmp_path: Path):
    assert_refused(run("serve", tmp_path / "none"), "not a run folder")
    assert not list(tmp_path.iterdir())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(run("serve", folder, "--port", port), f"port {port}", "another --port")
    assert_refused(run("serve", folder, "--database", "mysql://x/y", "--port", 0), "What to do")


def test_a_damaged_run_is_refused_with_a_log(folder: Path, world: World, tmp_path: Path):
    broken = Path(shutil.copytree(folder, tmp_path / "run"))
    (broken / "model.safetensors").write_bytes(b"broken")
    result = run("serve", broken, "--port", 0, "--interactions", world.log)
    assert result.status == 2 and "could not be served" in result.err
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert any("model.safetensors" in json.dumps(line) for line in lines)
    assert [line["events"] for line in lines if line["message"] == "interactions recorded"] == [360]
