"""Run the service until it is told to stop."""

import socket
from contextlib import suppress
from pathlib import Path

import uvicorn

from lite_llm4rec.errors import ConfigError, StoreError
from lite_llm4rec.serve.app import create_app
from lite_llm4rec.serve.importing import import_interactions
from lite_llm4rec.serve.logs import log, set_up_logs
from lite_llm4rec.serve.settings import Settings
from lite_llm4rec.serve.store import open_database
from lite_llm4rec.store import read_catalogue, read_config

CONNECTIONS = 2048
OTHER_FILES = 128  # of the database, the log and the libraries


def run_service(
    settings: Settings, interactions: Path | None, columns: dict[str, str | None]
) -> None:
    """Serve a run folder; returns when SIGTERM or Ctrl-C has come and all is answered.

    Raises
    ------
    ConfigError, DataError, StoreError
        When it cannot start.
    """
    read_config(settings.folder)  # a wrong folder is told before anything else is done
    link = bind(settings.host, settings.port)
    set_up_logs()
    app = create_app(settings)
    if interactions is not None:
        _import(settings, interactions, columns)
    address = "[{}]:{}" if ":" in settings.host else "{}:{}"
    where = address.format(settings.host, link.getsockname()[1])
    log.info("loading the run; then it answers", extra={"address": f"http://{where}"})
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            limit_concurrency=connections(),
            timeout_graceful_shutdown=round(settings.grace),
            server_header=False,
        )
    )
    with suppress(SystemExit):  # a newer uvicorn's way to say that it could not start
        server.run([link])
    if not server.started:
        raise StoreError(f"{settings.folder} could not be served.", "The log says why.")


def connections() -> int:
    """Tell how many connections fit into the limit of open files, after raising it as needed."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit
        return CONNECTIONS
    wanted, endless = CONNECTIONS + OTHER_FILES, resource.RLIM_INFINITY
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != endless and soft < wanted:
        wanted = wanted if hard == endless else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, wanted - OTHER_FILES)


def bind(host: str, port: int) -> socket.socket:
    """Take an address; nobody is answered there until the server listens.

    Raises
    ------
    ConfigError
        When it is taken, or none of this machine's.
    """
    link = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        link.bind((host, port))
    except OSError as error:
        link.close()
        raise ConfigError(
            f"Nothing can listen at {host}, port {port}: {error}",
            "Choose another --port or --host.",
        ) from error
    return link


def _import(settings: Settings, path: Path, columns: dict[str, str | None]) -> None:
    database = open_database(settings.database)
    catalogue, _, _ = read_catalogue(settings.folder)
    rows = import_interactions(database, path, columns, settings.keep_days, catalogue.ids)
    database.dispose()
    log.info("interactions recorded", extra={"file": str(path), "events": rows})
