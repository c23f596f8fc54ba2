"""On SQLite and on a real PostgreSQL alike."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from sqlalchemy import Engine, func, select, text

from lite_llm4rec.errors import ConfigError, DataError, StoreError
from lite_llm4rec.serve import importing
from lite_llm4rec.serve.events import DAY, Recording, expire, forget, histories, record
from lite_llm4rec.serve.importing import check_keep_days, import_interactions
from lite_llm4rec.serve.store import open_database
from lite_llm4rec.serve.tables import events
from tests.conftest import ring_tables

COLUMNS = dict.fromkeys(["user", "item", "time"])


def one(user: str, item: str, at: float) -> Recording:
    return Recording([(user, item, at)], {"recorded": 1})


def stored(database: Engine) -> int:
    with database.connect() as connection:
        return connection.scalar(select(func.count()).select_from(events)) or 0


def test_a_table_is_imported_once_and_stays_deleted(database: Engine, tmp_path: Path):
    log, _ = ring_tables(50, 20, 6, seed=0)
    pyarrow.parquet.write_table(log, tmp_path / "log.parquet")
    assert import_interactions(database, tmp_path / "log.parquet", COLUMNS, None) == 300
    (found,) = histories(database, ["7"])
    rows = log.filter(pa.compute.equal(log["user_id"], 7))
    assert found == rows["item_id"].to_pylist()
    assert forget(database, "7") == 6
    expire(database, None, time.time() + 365 * DAY)
    assert import_interactions(database, tmp_path / "log.parquet", COLUMNS, None) == 0
    assert stored(database) == 294


def test_of_several_item_columns_the_one_that_the_catalogue_knows(database: Engine, tmp_path: Path):
    log = pa.table(
        {"user_id": ["u", "u"], "asin": ["A1", "A2"], "parent_asin": ["P1", "P2"], "time": [1, 2]}
    )
    pyarrow.parquet.write_table(log, tmp_path / "log.parquet")
    known = pa.array(["P2", "P1"])
    import_interactions(database, tmp_path / "log.parquet", COLUMNS, None, known)
    assert histories(database, ["u"]) == [["P1", "P2"]]


def test_items_that_the_catalogue_lacks_are_told(database: Engine, tmp_path: Path, caplog):
    log = pa.table({"user_id": ["u", "u", "v"], "item_id": [1, 2, 3], "time": [1, 2, 3]})
    pyarrow.parquet.write_table(log, tmp_path / "log.parquet")
    import_interactions(database, tmp_path / "log.parquet", COLUMNS, None, pa.array(["1", "03"]))
    (told,) = [one for one in caplog.records if "lacks items" in one.message]
    assert (told.items, told.unknown_items) == (3, 2)
    assert stored(database) == 3  # they count once such an item is added


def test_times_in_milliseconds_are_recorded_as_seconds(database: Engine, tmp_path: Path):
    now = int(time.time())
    ages = [100, 8, 1]
    log = pa.table(
        {
            "user_id": ["u"] * 3,
            "item_id": [f"d{days}" for days in ages],
            "timestamp": [1000 * int(now - days * DAY) for days in ages],
        }
    )
    pyarrow.parquet.write_table(log, tmp_path / "log.parquet")
    assert import_interactions(database, tmp_path / "log.parquet", COLUMNS, 30.0) == 3
    record(database, [one("u", "now", now)])
    assert histories(database, ["u"]) == [["d100", "d8", "d1", "now"]]
    assert expire(database, 30.0, now) == 1


def test_of_a_table_that_has_grown_only_what_is_new_is_recorded(database: Engine, tmp_path: Path):
    log, _ = ring_tables(50, 20, 6, seed=0)
    pyarrow.parquet.write_table(log.slice(0, 200), tmp_path / "log.parquet")
    assert import_interactions(database, tmp_path / "log.parquet", COLUMNS, None) == 200
    record(database, [one("7", "now", 1_800_000_000.0)])
    pyarrow.parquet.write_table(log, tmp_path / "log.parquet")
    assert import_interactions(database, tmp_path / "log.parquet", COLUMNS, None) == 100
    rows = log.filter(pa.compute.equal(log["user_id"], 7))
    assert histories(database, ["7"]) == [[*rows["item_id"].to_pylist(), "now"]]


def test_an_import_that_fails_records_nothing(database: Engine, tmp_path: Path):
    long = "x" * 300
    table = pa.table({"user_id": [1, 2], "item_id": ["a", long], "timestamp": [10, 20]})
    pyarrow.parquet.write_table(table, tmp_path / "log.parquet")
    with pytest.raises(DataError, match="256"):
        import_interactions(database, tmp_path / "log.parquet", COLUMNS, None)
    assert stored(database) == 0
    broken = pa.table({"user_id": ["a\n"], "item_id": ["a"], "timestamp": [10]})
    pyarrow.parquet.write_table(broken, tmp_path / "broken.parquet")
    with pytest.raises(DataError, match="control"):
        import_interactions(database, tmp_path / "broken.parquet", COLUMNS, None)
    with pytest.raises(DataError, match="No such file"):
        import_interactions(database, tmp_path / "none.parquet", COLUMNS, None)
    positions = pa.table({"user_id": [1, 1], "item_id": ["a", "b"], "timestamp": [0, 1]})
    pyarrow.parquet.write_table(positions, tmp_path / "positions.parquet")
    with pytest.raises(DataError, match="age"):
        import_interactions(database, tmp_path / "positions.parquet", COLUMNS, 7.0)
    assert import_interactions(database, tmp_path / "positions.parquet", COLUMNS, None) == 2


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """300 rows, the first and one of the last twice."""
    rows, _ = ring_tables(50, 20, 6, seed=0)
    rows = pa.concat_tables([rows.slice(0, 1), rows, rows.slice(298, 1)])
    pyarrow.parquet.write_table(rows, tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "PART", 7)


@pytest.mark.usefixtures("small_parts")
def test_an_import_that_was_killed_is_gone_on_with(
    database: Engine, log: Path, monkeypatch: pytest.MonkeyPatch
):
    unknown, parts = importing._unknown, []

    def killed(*given: Any) -> Any:
        parts.append(given)
        if len(parts) == 20:
            raise KeyboardInterrupt
        return unknown(*given)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(importing, "_unknown", killed)
        import_interactions(database, log, COLUMNS, None)
    before = stored(database)
    assert 100 < before < 200
    assert forget(database, "0") == 7  # whose part was recorded: not again
    assert import_interactions(database, log, COLUMNS, None) == 302 - before
    assert stored(database) == 302 - 7
    assert import_interactions(database, log, COLUMNS, None) == 0


@pytest.mark.usefixtures("small_parts")
def test_of_a_killed_import_and_the_grown_file_no_row_counts_twice(
    database: Engine, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(importing, "_unknown", lambda *_: 1 / 0)
        import_interactions(database, log, COLUMNS, None)
    rows = pyarrow.parquet.read_table(log)
    grown = tmp_path / "grown.parquet"
    pyarrow.parquet.write_table(pa.concat_tables([rows, rows.slice(1, 1)]), grown)
    assert import_interactions(database, grown, COLUMNS, None) == 303
    assert import_interactions(database, log, COLUMNS, None) == 0
    assert stored(database) == 303


@pytest.mark.usefixtures("small_parts")
def test_processes_that_import_one_file_at_once_record_it_once(
    database: Engine, database_url: str, log: Path
):
    other = open_database(database_url)
    with ThreadPoolExecutor(2) as pool:
        counted = pool.map(
            lambda engine: import_interactions(engine, log, COLUMNS, None), (database, other)
        )
        assert sum(counted) == 302
    other.dispose()
    assert stored(database) == 302


def test_others_write_between_the_parts_of_an_import(
    database: Engine, log: Path, monkeypatch: pytest.MonkeyPatch
):
    unknown, event = importing._unknown, one("new", "a", 1.0)

    def slow(*given: Any) -> Any:
        writing = threading.Thread(target=record, args=(database, [event]))
        writing.start()
        started.append(writing)
        time.sleep(0.3)
        return unknown(*given)

    started: list[threading.Thread] = []
    monkeypatch.setattr(importing, "PART", 100)
    monkeypatch.setattr(importing, "_unknown", slow)
    assert import_interactions(database, log, COLUMNS, None) == 302
    for writing in started:
        writing.join()
    with database.connect() as connection:
        users = connection.scalars(select(events.c.user_id).order_by(events.c.number)).all()
    assert users.index("new") < 150 and users.count("new") == len(started) == 4


def test_a_database_that_fails_is_told_in_words(database: Engine, log: Path):
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO away"))
    with pytest.raises(StoreError, match=r"log\.parquet could not be recorded"):
        import_interactions(database, log, COLUMNS, None)


def test_by_days_nothing_is_deleted_that_has_none(database: Engine, tmp_path: Path):
    check_keep_days(database, None)
    check_keep_days(database, 7.0)
    for nothing in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="every event"):
            check_keep_days(database, nothing)
    positions = pa.table({"user_id": [1, 1], "item_id": ["a", "b"], "timestamp": [0, 1]})
    pyarrow.parquet.write_table(positions, tmp_path / "positions.parquet")
    assert import_interactions(database, tmp_path / "positions.parquet", COLUMNS, None) == 2
    check_keep_days(database, None)
    with pytest.raises(ConfigError, match="only positions"):
        check_keep_days(database, 7.0)
