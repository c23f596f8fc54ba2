import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.lists import EMPTY_HISTORY
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.serve import service as service_file
from tests.serve.conftest import Serving


def record(client: TestClient, *events: dict, key: str = ""):
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/events", json={"events": list(events)}, headers=headers)


def test_recommendations_follow_what_was_just_watched(serving: Serving, expected: Recommender):
    with serving() as client:
        new = client.post("/recommend", json={"user": "u"}).json()
        assert new["note"] == EMPTY_HISTORY
        first = record(client, {"user": "u", "item": "i05", "time": 20})
        assert (first.status_code, first.json()) == (201, {"recorded": 1, "unknown_items": 0})
        record(client, {"user": "u", "item": "i04", "time": 10}, {"user": "v", "item": "i01"})
        record(client, {"user": "u", "item": "i06"}, {"user": "u", "item": "gone", "time": 15})
        assert client.get("/users/u").json() == {"history": ["i04", "gone", "i05", "i06"]}
    with serving() as client:  # and after a restart
        found = client.post("/recommend", json={"user": "u", "k": 20}).json()
        wanted = expected.recommend([["i04", "i05", "i06"]], k=20)
        assert [item["id"] for item in found["items"]] == wanted.ids[0]


def test_users_of_number_and_text_are_one(client: TestClient):
    record(client, {"user": 7, "item": "i05", "time": 1}, {"user": "7", "item": "i06", "time": 2})
    assert client.get("/users/7").json() == {"history": ["i05", "i06"]}


def test_a_repeated_key_is_answered_as_before_and_recorded_once(client: TestClient):
    events = [{"user": "u", "item": "i05"}, {"user": "u", "item": "nothing"}]
    first = record(client, *events, key="k1")
    assert first.json() == {"recorded": 2, "unknown_items": 1}
    again = record(client, *events, key="k1")
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(client.get("/users/u").json()["history"]) == 2
    refused = record(client, events[0], key="k1")
    assert refused.status_code == 422 and "another request" in refused.json()["detail"]
    assert record(client, *events, key="k2").status_code == 201
    assert len(client.get("/users/u").json()["history"]) == 4


def test_nothing_names_a_user_whose_data_were_deleted(client: TestClient, tmp_path: Path):
    record(client, {"user": "secret-user", "item": "i05"}, key="secret-user-1")
    assert record(client, {"user": "secret-user", "item": "i05"}, key="secret-user-1").json()
    assert len(client.get("/users/secret-user").json()["history"]) == 1
    client.delete("/users/secret-user")
    files = list(tmp_path.glob("state.db*"))
    assert files and not any(b"secret-user" in file.read_bytes() for file in files)


def test_a_replayed_key_is_not_counted_again(client: TestClient):
    for _ in range(2):
        record(client, {"user": "u", "item": "i05"}, key="k")
    assert "lite_llm4rec_events_recorded_total 1.0" in client.get("/metrics").text


def test_a_users_data_are_deleted(client: TestClient):
    record(client, {"user": "a/b c", "item": "i05"}, {"user": "v", "item": "i05"})
    assert client.get("/users/a/b%20c").json() == {"history": ["i05"]}
    assert client.delete("/users/a/b%20c").json() == {"events": 1}
    assert client.delete("/users/a/b%20c").json() == {"events": 0}
    assert client.get("/users/v").json() == {"history": ["i05"]}


def test_who_reads_the_database_holds_up_no_writes_and_a_deletion_is_carried_through(
    serving: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(service_file, "FOLLOW_SECONDS", 0.05)
    files = [tmp_path / name for name in ("state.db", "state.db-wal")]

    def kept() -> bool:
        return any(b"somebody-secret" in file.read_bytes() for file in files if file.exists())

    with serving() as client:
        record(client, {"user": "somebody-secret", "item": "i05"})
        with closing(sqlite3.connect(files[0], isolation_level=None)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT * FROM events").fetchall()
            started = time.monotonic()
            assert client.delete("/users/somebody-secret").json() == {"events": 1}
            assert record(client, {"user": "v", "item": "i05"}).status_code == 201
            assert time.monotonic() - started < 5
            assert kept()
        deadline = time.monotonic() + 10
        while kept() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not kept()


def test_times_far_ahead_are_refused_and_old_events_expire(serving: Serving):
    now = time.time()
    with serving() as client:
        ahead = record(client, {"user": "u", "item": "i05", "time": now + 200_000})
        assert ahead.status_code == 422 and "ahead" in ahead.json()["detail"]
        for days, item in ((0, "i01"), (5, "i02"), (9, "i03")):
            record(client, {"user": "u", "item": item, "time": now - days * 86_400})
    with serving(keep_days=7.0) as client:
        deadline = time.monotonic() + 5
        while len(client.get("/users/u").json()["history"]) == 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert client.get("/users/u").json() == {"history": ["i02", "i01"]}
    with pytest.raises(ConfigError, match="every event"), serving(keep_days=0.0):
        pass
