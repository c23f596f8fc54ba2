"""On SQLite and on a real PostgreSQL alike."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from lite_llm4rec.serve.events import (
    DAY,
    KeyReusedError,
    Recording,
    expire,
    forget,
    histories,
    record,
)
from lite_llm4rec.serve.store import clear_log, open_database
from lite_llm4rec.serve.tables import answers, events


def one(user: str, item: str, at: float, key: str = "", sha: str = "same") -> Recording:
    return Recording([(user, item, at)], {"recorded": 1}, key, sha)


def stored(database: Engine) -> int:
    with database.connect() as connection:
        return connection.scalar(select(func.count()).select_from(events)) or 0


def test_histories_are_in_time_order_and_ties_in_the_order_they_came(database: Engine):
    rows = [("u", "c", 30.0), ("u", "a", 10.0), ("v", "x", 5.0), ("u", "b1", 20.0)]
    record(database, [Recording(rows, {}), one("u", "b2", 20.0), one("u", "b3", 20.0)])
    assert histories(database, ["v", "u", "nobody"]) == [["x"], ["a", "b1", "b2", "b3", "c"], []]
    assert histories(database, ["u", "v"], limit=2) == [["b3", "c"], ["x"]]


def test_a_key_is_recorded_once_and_answered_alike(database: Engine):
    first = Recording([("u", "a", 1.0)], {"recorded": 1, "unknown_items": 0}, "k", "sha")
    again = Recording([("u", "a", 2.0)], {"recorded": 1, "unknown_items": 9}, "k", "sha")
    found = record(database, [first, again, again, one("u", "b", 3.0)])
    assert found[:3] == [first.answer] * 3
    assert record(database, [again]) == [first.answer]
    assert histories(database, ["u"]) == [["a", "b"]]


def test_a_key_that_came_with_another_request_is_refused_and_the_others_stand(database: Engine):
    record(database, [one("u", "a", 1.0, "k")])
    found = record(database, [one("u", "b", 2.0), one("u", "c", 3.0, "k", "other")])
    assert found[0] == {"recorded": 1}
    assert isinstance(found[1], KeyReusedError)
    assert histories(database, ["u"]) == [["a", "b"]]


def test_clients_that_repeat_at_once_are_recorded_once(database: Engine):
    same = [one("u", f"i{number}", float(number), f"k{number}") for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: [record(database, [entry]) for entry in same], range(4)))
    assert histories(database, ["u"]) == [[f"i{number}" for number in range(20)]]


def test_a_failure_records_nothing_of_its_request(database: Engine):
    with pytest.raises(Exception, match=r"NULL|null"):
        record(database, [one("u", "a", 1.0, "k"), one("u", None, 2.0)])  # type: ignore[arg-type]
    assert stored(database) == 0
    assert record(database, [one("u", "a", 1.0, "k")]) == [{"recorded": 1}]
    assert stored(database) == 1


def test_a_user_is_forgotten_and_the_others_are_not(database: Engine):
    record(database, [one("u", "a", 1.0), one("v", "b", 1.0), one("u", "c", 2.0)])
    assert forget(database, "u") == 2
    assert forget(database, "u") == 0
    assert histories(database, ["u", "v"]) == [[], ["b"]]


def test_what_is_forgotten_is_no_more_in_sqlites_files(tmp_path: Path):
    database = open_database(f"sqlite:///{tmp_path / 'state.db'}")
    record(database, [one("somebody-secret", "a", 1.0), one("v", "b", 1.0)])
    files = [tmp_path / name for name in ("state.db", "state.db-wal")]
    assert any(b"somebody-secret" in file.read_bytes() for file in files)
    forget(database, "somebody-secret")
    with database.connect() as reading:
        reading.exec_driver_sql("BEGIN")
        reading.execute(select(answers)).all()
        started = time.monotonic()
        assert not clear_log(database)
        assert time.monotonic() - started < 3
    assert clear_log(database)
    assert not any(b"somebody-secret" in file.read_bytes() for file in files if file.exists())
    assert histories(database, ["v"]) == [["b"]]


def test_events_expire_with_age_and_keys_after_a_month(database: Engine):
    now = time.time()
    record(database, [one("u", f"d{days}", now - days * DAY) for days in (1, 6, 8, 100)])
    record(database, [one("u", "now", now, "k")])
    assert expire(database, 7, now) == 2
    assert histories(database, ["u"]) == [["d6", "d1", "now"]]
    assert expire(database, None, now) == 0
    assert record(database, [one("u", "now", now, "k")]) and stored(database) == 3
    expire(database, None, now + 31 * DAY)
    with database.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(answers)) == 0
