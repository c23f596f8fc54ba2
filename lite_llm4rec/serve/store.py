"""The database: SQLite in a file, or PostgreSQL; opened, and brought to the tables of today."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Engine, NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from lite_llm4rec.errors import ConfigError, MissingExtraError, StoreError

# WAL and FULL: what is committed is on the disk. A deleted user's rows are overwritten, not only
# unlinked.
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON")
BUSY_SECONDS = 10
CLEAR_MILLISECONDS = 100
POSTGRES: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,  # milliseconds after which a silent connection is given up
    "options": "-c statement_timeout=60000 -c synchronous_commit=on",
}
VERSION_TABLE = "lite_llm4rec_version"
LOCK = 2402_09543  # any number that every process of this service takes


def open_database(url: str) -> Engine:
    """Open a database and migrate it.

    Raises
    ------
    ConfigError
        When `url` is none.
    StoreError
        When the database cannot be reached, or is of a newer version.
    """
    try:
        engine = _engine(url)
        migrate(engine)
    except (ArgumentError, NoSuchModuleError) as error:
        raise ConfigError(
            f"The database URL cannot be used: {error}",
            "postgresql://user:password@host/name, or leave it out for SQLite.",
        ) from error
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "postgres", "PostgreSQL") from error
    except (DBAPIError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreError(
            f"The database cannot be opened: {str(cause).strip()}",
            "Check its address, its rights and the room on the disk.",
        ) from error
    except CommandError as error:
        raise StoreError(
            f"The database is not one of this version: {error}",
            "pip install --upgrade lite-llm4rec, or name another database.",
        ) from error
    return engine


def migrate(engine: Engine) -> None:
    """Bring the tables to those of today, all or nothing; two processes do it one by one."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    single = create_engine(
        engine.url, poolclass=NullPool, connect_args=_arguments(engine.url), hide_parameters=True
    )
    with single.connect() as connection:  # mostly nothing is to be done, and nobody waited for
        options = {"version_table": VERSION_TABLE}
        found = MigrationContext.configure(connection, opts=options).get_current_revision()
    if found == ScriptDirectory.from_config(config).get_current_head():
        return
    if is_sqlite(engine):
        # pysqlite begins no transaction for CREATE TABLE by itself.
        event.listen(single, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        event.listen(single, "begin", lambda link: link.exec_driver_sql("BEGIN IMMEDIATE"))
    with single.begin() as connection:
        if not is_sqlite(engine):
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
        config.attributes |= {"connection": connection, "version_table": VERSION_TABLE}
        command.upgrade(config, "head")


def is_sqlite(engine: Engine) -> bool:
    """Whether it is SQLite; else it is PostgreSQL."""
    return engine.dialect.name == "sqlite"


def ping(engine: Engine) -> None:
    """Ask the database for a sign of life: a row, for SQLite reads no file for `SELECT 1`."""
    with engine.connect() as connection:
        connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).one()


def rewrite(engine: Engine) -> None:
    """Write a row as it is, to see whether the database takes any."""
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = version_num"))


def clear_log(engine: Engine) -> bool:
    """Empty SQLite's log of old pages; False where somebody still reads them.

    Who writes waits for as long as this waits for readers: so not for long.
    """
    if not is_sqlite(engine):
        return True
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={CLEAR_MILLISECONDS}")
        try:
            found = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={1000 * BUSY_SECONDS}")
    return not found.busy


def reason(error: Exception) -> str:
    """Say what went wrong, for a log: the first line, as PostgreSQL's next ones show the row."""
    return str(error).split("\n", 1)[0]


def _engine(url: str) -> Engine:
    backend = make_url(url).get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ArgumentError(f"'{backend}' is neither SQLite nor PostgreSQL")
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_timeout=BUSY_SECONDS,
        connect_args=_arguments(url),
        hide_parameters=True,  # errors are logged, and logs name no users
    )
    if is_sqlite(engine):
        Path(engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _set_pragmas)
    return engine


def _arguments(url: Any) -> dict[str, Any]:
    return {"timeout": BUSY_SECONDS} if str(url).startswith("sqlite") else dict(POSTGRES)


def _set_pragmas(raw: Any, _: Any) -> None:
    for pragma in PRAGMAS:
        raw.execute(f"PRAGMA {pragma}").close()
