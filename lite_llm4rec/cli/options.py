"""Options that several commands share, and how a data set is read from them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.prepared import is_prepared, read_prepared
from lite_llm4rec.data.sources import SOURCES, load
from lite_llm4rec.errors import ConfigError

_TABLE = "Parquet, CSV, TSV, JSON lines, MovieLens .dat, RecBole or Amazon files."
Run = Annotated[Path, typer.Argument(help="A run folder, as `train --out` makes it.")]
Data = Annotated[
    str | None,
    typer.Option(help=f"A folder made by `prepare`, or a named data set: {', '.join(SOURCES)}."),
]
Interactions = Annotated[
    Path | None, typer.Option(help=f"Table of interactions: user, item, time. {_TABLE}")
]
Items = Annotated[Path | None, typer.Option(help=f"Table of items: id and text. {_TABLE}")]
User = Annotated[str | None, typer.Option(help="Name of the user column.")]
Item = Annotated[str | None, typer.Option(help="Name of the item column.")]
ItemsId = Annotated[
    str | None, typer.Option(help="Name of the items table's id column, where unlike --item.")
]
Time = Annotated[str | None, typer.Option(help="Name of the time column.")]
Text = Annotated[
    str | None, typer.Option(help="Text columns, comma-separated, the title first. Default: all.")
]
Duplicates = Annotated[
    str, typer.Option(help="Of repeated (user, item) pairs keep: keep (all), first or last.")
]
Core = Annotated[int, typer.Option(min=0, help="Keep the k-core of users and items; 0 keeps all.")]
Candidates = Annotated[
    str, typer.Option(help="What can be recommended: interacted items, or the whole catalogue.")
]
Root = Annotated[
    Path | None, typer.Option(help="Where named data sets lie. Default: $LITE_LLM4REC_DATA.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads for torch. Default: its own choice.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Random seed. Default: the preset's.")]


def names(line: str | None) -> list[str]:
    """Read names or ids, comma-separated."""
    return [part.strip() for part in (line or "").split(",") if part.strip()]


def refuse(what: str, **given: Any) -> None:
    """Refuse options that would be ignored beside another.

    Raises
    ------
    ConfigError
        When one of `given` is not None or False.
    """
    for name, value in given.items():
        if value not in (None, False):
            option = name.strip("_").replace("_", "-")
            raise ConfigError(f"--{option} does not go with {what}.", "Leave out one of the two.")


def numbers(line: str) -> list[int]:
    """Read whole numbers, comma-separated.

    Raises
    ------
    ConfigError
        When one is not.
    """
    try:
        return [int(part) for part in line.split(",")]
    except ValueError as error:
        raise ConfigError(f"'{line}' is not a list of numbers.", "For example: 0,1,2") from error


def read_dataset(
    data: str | None,
    interactions: Path | None,
    items: Path | None,
    root: Path | None,
    candidates: str,
    **columns: Any,
) -> Dataset:
    """Read what --data, or --interactions and --items, name.

    Raises
    ------
    DataError, ConfigError, DownloadError
    """
    if (data is None) == (interactions is None):
        raise ConfigError(
            "Name the data: either --data, or --interactions (and --items).",
            "For example: --data ml-100k, or --interactions log.parquet --items items.parquet",
        )
    if candidates not in ("interacted", "catalogue"):
        raise ConfigError(f"--candidates is '{candidates}'.", "interacted or catalogue")
    if columns["duplicates"] not in ("keep", "first", "last"):
        raise ConfigError(f"--duplicates is '{columns['duplicates']}'.", "keep, first or last")
    if interactions is not None:
        refuse("--interactions", root=root)
        text = columns.pop("text")
        return Dataset.from_tables(
            interactions,
            items,
            name=interactions.stem,
            text=names(text) or None,
            candidates=candidates,  # type: ignore[arg-type]
            **columns,
        )
    assert data is not None
    folder = prepared_folder(data)
    chosen = {**columns, "items": items}
    if folder is not None:
        chosen["candidates"] = candidates
    if settled := _unusual(chosen):
        raise ConfigError(
            f"--{settled[0]} does not go with --data, whose tables are already settled.",
            "Leave it out, or make the folder again: `lite-llm4rec prepare` takes it."
            if folder
            else "Leave it out, or give your own tables: --interactions and --items.",
        )
    if folder is not None:
        refuse("a folder made by `prepare`", root=root)
        return read_prepared(folder)
    return load(data, root=root, candidates=candidates)  # type: ignore[arg-type]


def read_optional_dataset(
    data: str | None,
    interactions: Path | None,
    items: Path | None,
    root: Path | None,
    candidates: str,
    **columns: Any,
) -> Dataset | None:
    """Read as `read_dataset` does; None where nothing is named.

    Raises
    ------
    DataError, ConfigError, DownloadError
    """
    if data is None and interactions is None and items is None:
        given = _unusual({**columns, "root": root, "candidates": candidates})
        if given:
            raise ConfigError(f"--{given[0]} says how to read data.", "Name the data: --data NAME")
        return None
    return read_dataset(data, interactions, items, root, candidates, **columns)


def prepared_folder(data: str) -> Path | None:
    """Tell whether --data names a folder; one of a named data set's name must be prepared."""
    folder = Path(data)
    if folder.is_dir() and (data not in SOURCES or is_prepared(folder)):
        return folder
    return None


def _unusual(options: dict[str, Any]) -> list[str]:
    """Name the options that are not at their defaults."""
    usual = {"duplicates": "keep", "core": 0, "candidates": "interacted"}
    given = [name for name, value in options.items() if value != usual.get(name)]
    return [name.replace("_", "-") for name in given]
