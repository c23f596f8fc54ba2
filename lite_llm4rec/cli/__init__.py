"""The command line. Thin: each command reads its options, calls the library and prints."""

import io
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from lite_llm4rec.cli import asking, deploying, serving, showing, tables, training
from lite_llm4rec.errors import Interrupted, LiteLLM4RecError, StoreError

COMMANDS = (
    tables.doctor,
    tables.prepare,
    training.train,
    training.evaluate,
    training.compare,
    asking.recommend,
    asking.similar,
    asking.add_items,
    asking.retire_items,
    asking.info,
    deploying.export,
    deploying.index,
    serving.serve,
    showing.demo,
    showing.results,
    showing.reproduce,
)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Sequential recommendation with language models, without decoding.\n\n"
    "A first run: **doctor** looks at your tables, **train** makes a run folder, **recommend** "
    "asks it. `lite-llm4rec demo` shows all of it on made-up data.",
)
for command in COMMANDS:
    app.command()(command)


@app.callback()
def before(
    model_file: Annotated[
        list[Path] | None,
        typer.Option(help="Python file with a model of your own (repeatable)."),
    ] = None,
) -> None:
    """Load models of the caller's own, so that presets and run folders can name them."""
    if model_file:
        from lite_llm4rec.models.registry import load_model_file

        for path in model_file:
            load_model_file(path)


def main() -> None:
    """Run the command line; errors of ours end with status 2 and a remedy, not a traceback."""
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # Windows' files lack some signs
    try:
        app()
    except Interrupted as error:
        _fail(error, 130)
    except LiteLLM4RecError as error:
        _fail(error, 2)
    except OSError as error:
        _fail(StoreError(str(error), "Check the path, its rights and the room on the disk."), 2)


def _fail(error: LiteLLM4RecError, status: int) -> None:
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(status)


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)
