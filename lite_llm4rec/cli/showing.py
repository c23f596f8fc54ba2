"""Commands that show what the library does."""

from pathlib import Path
from typing import Annotated

import typer

from lite_llm4rec.cli import options as option
from lite_llm4rec.cli.terminal import console, print_json, set_threads
from lite_llm4rec.errors import ConfigError, DataError, Interrupted, nearest


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the tables and the run.")] = Path(
        "runs/demo"
    ),
    users: Annotated[int, typer.Option(min=20, help="How many users to make up.")] = 3000,
    seed: option.Seed = 0,
    threads: option.Threads = None,
    as_json: option.Json = False,
) -> None:
    """Doctor, encode, train, evaluate and recommend on a made-up catalogue, in minutes.

    The best possible score is known there, so the result can be judged.
    """
    from lite_llm4rec.demo import run_demo

    set_threads(threads)
    result = run_demo(out, seed or 0, console, users=users, quiet=as_json)
    if as_json:
        print_json(result)


def results(
    root: Annotated[Path, typer.Argument(help="Folder of records.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="Markdown file to write.")] = Path("docs/results.md"),
    readme: Annotated[
        Path | None, typer.Option(help="Also put the short table between this page's marks.")
    ] = None,
) -> None:
    """Render the records under a folder as one Markdown page."""
    from lite_llm4rec.paper.render import put_between_marks, render, render_summary

    if not any(root.glob("*/*.json")):
        raise DataError(f"There are no records under {root}.", "Name the folder that holds them.")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render(root), encoding="utf-8")
    console.print(f"{out} written")
    if readme is not None:
        page = readme.read_text(encoding="utf-8")
        readme.write_text(put_between_marks(page, render_summary(root)), encoding="utf-8")
        console.print(f"{readme} written")


def reproduce(
    what: Annotated[
        list[str],
        typer.Argument(
            help="table1 … table7, figure2, figure4, figure5; choices, equal, length, redundancy,"
            " clocks, batch, cost, size, pooling; or all."
        ),
    ],
    data: Annotated[str, typer.Option(help="A named data set.")] = "ml-1m",
    seeds: Annotated[str, typer.Option(help="Seeds, comma-separated.")] = "0",
    budget: Annotated[
        float | None, typer.Option(help="Minutes of training per cell; a cut cell says so.")
    ] = None,
    device: option.Device = "auto",
    threads: option.Threads = None,
    t5: Annotated[
        str, typer.Option(help="T5-small: a Hub name, or a folder with its files.")
    ] = "google-t5/t5-small",
    also: Annotated[
        list[str] | None,
        typer.Option(help="A preset's name or TOML file to put into Table 4, too (repeatable)."),
    ] = None,
    root: option.Root = None,
    records: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results/paper"),
    runs: Annotated[Path, typer.Option(help="Folder of run folders.")] = Path("runs/paper"),
    out: Annotated[Path, typer.Option(help="Folder of pages.")] = Path("docs/paper"),
) -> None:
    """Measure the paper's tables and figures cell by cell, and write pages beside its numbers.

    Cells that have a record are not measured again; a call that was killed goes on. One that fails
    says why and does not end the others; then the status is 1.
    """
    from lite_llm4rec.data.sources import SOURCES
    from lite_llm4rec.machine import Machine
    from lite_llm4rec.paper.cell import Bench
    from lite_llm4rec.paper.claims import claimed_pairs
    from lite_llm4rec.paper.exhibits import cells
    from lite_llm4rec.paper.pairs import write_pairs
    from lite_llm4rec.paper.plots import can_plot
    from lite_llm4rec.paper.report import write_report
    from lite_llm4rec.paper.reproduce import reproduce as measure

    if data not in SOURCES:
        raise ConfigError(f"There is no data set named '{data}'.", nearest(data, SOURCES))
    set_threads(threads)
    seconds = None if budget is None else 60 * budget
    bench = Bench(records, runs, root, seconds, Machine(device).name(), t5)
    wanted = cells(what, data, option.numbers(seeds), also or ())
    try:
        failed = measure(wanted, bench, _say)
    except (Interrupted, KeyboardInterrupt):
        write_report(records, out)  # what is measured is shown
        raise
    write_pairs(claimed_pairs(), wanted, bench)
    for page in write_report(records, out):
        console.print(f"{page} written")
    if not can_plot():
        console.print("No plots: pip install 'lite-llm4rec[plots]'", markup=False)
    if failed:
        console.print(f"{len(failed)} failed: {', '.join(cell.name for cell in failed)}")
        raise typer.Exit(1)


def _say(line: str) -> None:
    console.print(line, markup=False, highlight=False)
