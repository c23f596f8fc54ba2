"""Commands on tables, before training."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lite_llm4rec.cli import options as option
from lite_llm4rec.cli.terminal import console, print_json
from lite_llm4rec.errors import LiteLLM4RecError


def doctor(
    interactions: option.Interactions = None,
    items: option.Items = None,
    data: option.Data = None,
    user: option.User = None,
    item: option.Item = None,
    items_id: option.ItemsId = None,
    time: option.Time = None,
    text: option.Text = None,
    root: option.Root = None,
    as_json: option.Json = False,
) -> None:
    """Say what is in your tables and what is wrong with them, each with its remedy.

    Ends with status 1 when something must be mended before training.
    """
    from lite_llm4rec.data.doctor import examine
    from lite_llm4rec.data.prepared import prepared_tables
    from lite_llm4rec.data.sources import SOURCES, tables
    from lite_llm4rec.output import show_report

    log: Any = interactions
    things: Any = items
    folder = None if data is None else option.prepared_folder(data)
    if data is not None:
        option.refuse("--data", interactions=interactions, items=items)
        log, things = prepared_tables(folder) if folder else tables(data, root)
    elif log is None:
        raise LiteLLM4RecError("Name a table to look at.", "--interactions FILE, or --data NAME")
    columns = option.names(text) or None
    report = examine(log, things, user=user, item=item, items_id=items_id, time=time, text=columns)
    if data in SOURCES and folder is None:
        about = SOURCES[data]
        report.facts.extend([("licence", about.licence), ("about it", about.notes)])
    print_json(report.to_dict()) if as_json else show_report(console, report)
    raise typer.Exit(0 if report.ok else 1)


def prepare(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    interactions: option.Interactions = None,
    items: option.Items = None,
    data: option.Data = None,
    user: option.User = None,
    item: option.Item = None,
    items_id: option.ItemsId = None,
    time: option.Time = None,
    text: option.Text = None,
    duplicates: option.Duplicates = "keep",
    core: option.Core = 0,
    candidates: option.Candidates = "interacted",
    root: option.Root = None,
    name: Annotated[str | None, typer.Option(help="What results are filed under.")] = None,
    as_json: option.Json = False,
) -> None:
    """Read, order, filter and check two tables once, into a folder for `train --data`."""
    from lite_llm4rec.data.prepared import write_prepared

    dataset = option.read_dataset(
        data, interactions, items, root, candidates,
        user=user, item=item, items_id=items_id, time=time, text=text, duplicates=duplicates,
        core=core,
    )  # fmt: skip
    facts = write_prepared(dataset, out, name or dataset.name)
    if as_json:
        print_json(facts)
    else:
        console.print(
            f"{out}: {facts['users']:,} users, {facts['items']:,} items, "
            f"{facts['interactions']:,} interactions ({facts['sequences_sha256'][:12]})"
        )
