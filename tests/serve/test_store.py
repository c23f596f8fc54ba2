import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import SQLAlchemyError

from lite_llm4rec.errors import ConfigError, MissingExtraError, StoreError
from lite_llm4rec.serve.changes import Change, append, read_after
from lite_llm4rec.serve.events import Recording, histories, record
from lite_llm4rec.serve.store import VERSION_TABLE, open_database, ping, reason, rewrite
from lite_llm4rec.serve.tables import events, metadata


def test_the_migrations_make_the_tables(database: Engine):
    with database.connect() as connection:
        options = {"version_table": "lite_llm4rec_version"}
        assert (
            compare_metadata(MigrationContext.configure(connection, opts=options), metadata) == []
        )


def test_a_database_is_opened_again_and_by_many_at_once(database_url: str):
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(open_database, [database_url] * 4))
    append(engines[0], [Change("retire", "a")])
    for engine in engines:
        ping(engine)
        assert [change.item for change in read_after(engine, 0)] == ["a"]
        engine.dispose()


def test_a_database_of_today_is_opened_while_somebody_writes(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'state.db'}"
    ping(open_database(url))
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        ping(open_database(url))
        assert time.monotonic() - started < 5


def test_a_sign_of_life_reads_a_table(database: Engine):
    ping(database)
    rewrite(database)
    with database.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    for asked in (ping, rewrite):
        with pytest.raises(SQLAlchemyError):
            asked(database)


def test_a_newer_database_is_refused(database: Engine, database_url: str):
    with database.begin() as connection:
        connection.execute(text("UPDATE lite_llm4rec_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="upgrade"):
        open_database(database_url)


def test_a_copy_made_as_the_docs_say_is_whole_and_events_come_meanwhile(tmp_path: Path):
    database = open_database(f"sqlite:///{tmp_path / 'state.db'}")
    record(database, [Recording([("u", "a", 1.0)], {})])
    with database.connect() as writing:
        writing.execute(insert(events).values(user_id="u", item_id="b", time=2.0))
        with closing(sqlite3.connect(tmp_path / "state.db")) as backing_up:
            backing_up.execute(f"VACUUM INTO '{tmp_path / 'copy.db'}'")
        writing.commit()
    copy = open_database(f"sqlite:///{tmp_path / 'copy.db'}")
    assert histories(copy, ["u"]) == [["a"]]
    assert histories(database, ["u"]) == [["a", "b"]]


@pytest.mark.parametrize("url", ["nothing", "oracle+none://x", "mysql://x/y"])
def test_what_is_no_url_is_refused(url: str):
    with pytest.raises(ConfigError, match="cannot be used"):
        open_database(url)


def test_a_server_that_is_away_is_told():
    with pytest.raises(StoreError, match="cannot be opened"):
        open_database("postgresql+psycopg://nobody@127.0.0.1:1/none")


def test_without_the_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match="postgres"):
        open_database("postgresql+psycopg://nobody@127.0.0.1:1/none")


def test_changes_come_back_as_they_were_in_order(database: Engine):
    import numpy as np

    vector = np.array([0.5, -1.25], np.float32)
    append(database, [Change("add", "é", {"title": "Ä 漢"}, vector, "mini"), Change("retire", "b")])
    append(database, [Change("restore", "b")])
    first, *rest = read_after(database, 0)
    assert (first.item, first.fields, first.encoder) == ("é", {"title": "Ä 漢"}, "mini")
    assert first.vector is not None and first.vector.tolist() == vector.tolist()
    assert [(one.kind, one.item) for one in rest] == [("retire", "b"), ("restore", "b")]
    assert read_after(database, rest[0].number) == [rest[1]]
    assert read_after(database, rest[1].number) == []


def test_what_is_logged_of_an_error_names_no_users(database: Engine):
    row = {"user_id": "secret-user", "item_id": None, "time": 1.0}
    with pytest.raises(SQLAlchemyError) as failed, database.begin() as connection:
        connection.execute(insert(events), [row])
    assert "item_id" in reason(failed.value)
    assert "secret-user" not in reason(failed.value)
