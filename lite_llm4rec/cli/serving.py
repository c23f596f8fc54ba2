"""The command that serves a run folder over HTTP."""

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from lite_llm4rec.cli import options as option
from lite_llm4rec.cli.terminal import set_threads
from lite_llm4rec.errors import ConfigError, MissingExtraError
from lite_llm4rec.machine import Machine


def serve(
    run: option.Run,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at.", min=0, max=65535)] = 8000,
    api_keys: Annotated[
        Path | None,
        typer.Option(help="File of API keys, one a line. Or $LITE_LLM4REC_API_KEYS."),
    ] = None,
    unprotected: Annotated[
        bool,
        typer.Option(
            "--unprotected", help="Without API keys, answer other machines and proxies, too."
        ),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(help="Folder of the SQLite database. Default: beside the run, RUN.state."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="Or PostgreSQL: postgresql://…", envvar="LITE_LLM4REC_DATABASE"),
    ] = None,
    interactions: Annotated[
        Path | None, typer.Option(help="Record this table of interactions first, once.")
    ] = None,
    user: option.User = None,
    item: option.Item = None,
    time: option.Time = None,
    keep_days: Annotated[
        float | None, typer.Option(help="Delete events older than so many days.", min=0)
    ] = None,
    queue: Annotated[int, typer.Option(help="How many requests may wait.", min=1)] = 1024,
    timeout: Annotated[
        float, typer.Option(help="Seconds that a request waits for its answer.", min=0.001)
    ] = 10.0,
    device: option.Device = "cpu",
    threads: option.Threads = None,
) -> None:
    """Serve a run folder over HTTP: recommend, search, add items, record events.

    The addresses are described at /docs and /openapi.json. SIGHUP loads the folder anew.
    """
    if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what is loaded later is the newest anyway
    try:
        from lite_llm4rec.serve import settings as chosen
        from lite_llm4rec.serve.run import run_service
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "serve", "Serving") from error
    if interactions is None and (user or item or time):
        raise ConfigError(
            "--user, --item and --time name columns of --interactions.", "Give that table, too."
        )
    set_threads(threads)
    lines = _key_lines(api_keys, os.environ.get(chosen.KEYS_VARIABLE, ""))
    keys = chosen.read_keys(lines)
    if not keys and (api_keys is not None or lines):
        where = api_keys or f"${chosen.KEYS_VARIABLE}"
        raise ConfigError(f"{where} holds no key.", "Write one a line.")
    chosen.check_bind(host, keys, unprotected)
    settings = chosen.Settings(
        run, chosen.database_url(database, state, run), host, port, keys, keep_days, queue,
        timeout=timeout, device=Machine(device).name(), local_only=not keys and not unprotected,
    )  # fmt: skip
    run_service(settings, interactions, {"user": user, "item": item, "time": time})


def _key_lines(path: Path | None, variable: str) -> str:
    if path is None:
        return variable
    try:
        lines = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "Name a file of keys.") from error
    return lines
