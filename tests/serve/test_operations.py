"""Health, keys, metrics, logs, settings."""

import json
import logging
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.serve import service as service_file
from lite_llm4rec.serve.logs import set_up_logs
from lite_llm4rec.serve.settings import check_bind, database_url, is_local, read_keys
from tests.serve.conftest import Serving

KEY = "a-key-of-enough-length"


def test_health_tells_what_is_wrong(serving: Serving):
    with serving() as client:
        assert client.get("/health/live").json() == {"status": "alive"}
        ready = client.get("/health/ready")
        assert ready.status_code == 200 and ready.json()["ready"] is True
        service = client.app.state.service  # type: ignore[attr-defined]
        whole = service.database
        service.database = None
        broken = client.get("/health/ready")
        assert broken.status_code == 503
        assert broken.json()["parts"]["database"] != "ok"
        assert broken.json()["parts"]["recommend"] == "ok"
        service.database = whole


def test_a_write_that_fails_is_counted_and_told_until_one_succeeds(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service_file, "FOLLOW_SECONDS", 3600.0)
    event = {"events": [{"user": "u", "item": "i05"}]}
    with serving() as client:
        database = client.app.state.service.database  # type: ignore[attr-defined]
        rename(database, "events", "away")
        assert client.post("/events", json=event).status_code == 503
        page = client.get("/metrics").text
        assert 'lite_llm4rec_refused_total{reason="database"} 1.0' in page
        for _ in range(2):
            broken = client.get("/health/ready")
            assert broken.status_code == 503
            assert broken.json()["parts"]["database"] == "the last write failed"
        rename(database, "away", "events")
        assert client.post("/events", json=event).status_code == 201
        assert client.get("/health/ready").json()["parts"]["database"] == "ok"


def test_a_write_is_tried_again_where_nobody_asks_for_one(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service_file, "FOLLOW_SECONDS", 0.05)
    with serving() as client:
        client.app.state.service.writer.failed = True  # type: ignore[attr-defined]
        deadline = time.monotonic() + 5
        while client.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def rename(database: Engine, table: str, name: str) -> None:
    with database.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


def test_without_a_key_only_health_answers(serving: Serving):
    with serving(keys=read_keys(f"{KEY}, another-key-of-enough-length")) as client:
        for path in ("/info", "/items", "/metrics", "/users/u", "/search?text=x"):
            for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}):
                refused = client.get(path, headers=header)
                assert refused.status_code == 401, path
                assert refused.headers["www-authenticate"] == "Bearer"
            known = client.get(path, headers={"Authorization": f"Bearer {KEY}"})
            assert known.status_code == 200, path
        assert client.post("/admin/reload").status_code == 401
        assert client.post("/recommend", json={"history": []}).status_code == 401
        assert client.delete("/users/u").status_code == 401
        assert client.get("/health/live").status_code == 200
        assert client.get("/health/ready").status_code == 200


def test_keys_are_read_with_comments_and_short_ones_refused():
    assert read_keys("") == frozenset()
    two = read_keys(f"# mine\n{KEY}  # of the shop\nanother-key-of-enough-length\n")
    assert len(two) == 2 and not any(KEY in key for key in two)
    with pytest.raises(ConfigError, match="16"):
        read_keys("short")
    for key in ("schlüssel-von-guter-länge", "a-key-of-enough\x00length", "ключ-достаточной-длины"):
        with pytest.raises(ConfigError, match="ASCII") as refused:
            read_keys(f"{KEY}\n{key}")
        assert key not in str(refused.value)
    assert len(read_keys('every-sign:!"$%&()*+/;<=>?@[]^_`{|}~')) == 1


def test_nothing_is_open_to_the_network_by_accident():
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "::")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    check_bind("127.0.0.1", frozenset(), False)
    check_bind("0.0.0.0", read_keys(KEY), False)
    check_bind("0.0.0.0", frozenset(), True)
    for host in ("0.0.0.0", "::", "192.168.1.7", "shop.example"):
        with pytest.raises(ConfigError, match="API_KEYS"):
            check_bind(host, frozenset(), False)


def test_the_state_lies_beside_the_run(tmp_path: Path):
    run = tmp_path / "runs" / "mine"
    assert database_url(None, None, run) == f"sqlite:///{tmp_path}/runs/mine.state/state.db"
    assert database_url(None, None, Path(".")) == f"sqlite:///{Path.cwd()}.state/state.db"
    assert database_url(None, tmp_path / "s", run) == f"sqlite:///{tmp_path}/s/state.db"
    assert database_url("postgresql://a@b/c", None, run) == "postgresql+psycopg://a@b/c"


def test_metrics_count_by_route_and_stage(client: TestClient):
    client.post("/recommend", json={"history": ["i05"]})
    client.post("/recommend", json={"history": ["nothing"]})
    client.post("/events", json={"events": [{"user": "secret-user", "item": "i05"}]})
    client.get("/users/secret-user")
    client.get("/no/such/secret-path")
    page = client.get("/metrics").text
    for line in (
        'requests_total{method="POST",route="/recommend",status="200"} 1.0',
        'requests_total{method="POST",route="/recommend",status="422"} 1.0',
        'requests_total{method="(none)",route="(none)",status="404"} 1.0',
        'stage_seconds_count{part="call",stage="recommend"} 1.0',
        'stage_seconds_count{part="wait",stage="record"} 1.0',
        'batch_size_sum{stage="read"} 1.0',
        'queue_depth{stage="recommend"} 0.0',
        'catalogue_items{state="all"} 20.0',
        "events_recorded_total 1.0",
    ):
        assert f"lite_llm4rec_{line}" in page, line
    assert "secret" not in page
    assert "process_resident_memory_bytes" in page


def test_logs_are_json_with_the_requests_id_and_without_users(
    client: TestClient, capsys: pytest.CaptureFixture[str]
):
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    set_up_logs()
    try:
        mine = client.get("/users/secret-user", headers={"X-Request-ID": "my-id.1"})
        assert mine.headers["x-request-id"] == "my-id.1"
        made = client.get("/info", headers={"X-Request-ID": "no good id " * 9}).headers
        assert len(made["x-request-id"]) == 32
    finally:
        root.handlers, root.level = before, level
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    lines = [line for line in lines if line["logger"].startswith("lite_llm4rec")]  # not the client
    (entry,) = [line for line in lines if line.get("request_id") == "my-id.1"]
    assert entry["route"] == "/users/{user:path}" and entry["status"] == 200
    assert entry["level"] == "INFO" and entry["ms"] > 0 and entry["timestamp"]
    assert "secret-user" not in json.dumps(lines)
