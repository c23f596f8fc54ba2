"""Run the service until it is told to stop."""

from pathlib import Path

import uvicorn

from lite_llm4rec.errors import StoreError
from lite_llm4rec.serve import events
from lite_llm4rec.serve.app import create_app
from lite_llm4rec.serve.logs import log, set_up_logs
from lite_llm4rec.serve.settings import Settings
from lite_llm4rec.serve.store import open_database
from lite_llm4rec.store import read_config

CONNECTIONS = 2048


def run_service(
    settings: Settings, interactions: Path | None, columns: dict[str, str | None]
) -> None:
    """Serve a run folder; returns when SIGTERM or Ctrl-C has come and all is answered.

    Raises
    ------
    ConfigError, DataError, StoreError
        When it cannot start.
    """
    set_up_logs()
    read_config(settings.folder)  # a wrong folder is told before anything else is done
    if interactions is not None:
        database = open_database(settings.database)
        rows = events.import_interactions(database, interactions, columns, settings.keep_days)
        database.dispose()
        log.info("interactions loaded", extra={"file": str(interactions), "events": rows})
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=round(settings.grace),
            server_header=False,
        )
    )
    server.run()
    if not server.started:
        raise StoreError("The service could not start.", "The log above says why.")
