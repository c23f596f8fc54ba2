"""The command line. Thin: each command reads its options, calls the library and prints."""

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lite_llm4rec import cli_options as option
from lite_llm4rec.errors import Interrupted, LiteLLM4RecError, StoreError

console = Console()
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Sequential recommendation with language models, without decoding.\n\n"
    "A first run: **doctor** looks at your tables, **train** makes a run folder, **recommend** "
    "asks it. `lite-llm4rec demo` shows all of it on made-up data.",
)
Run = Annotated[Path, typer.Argument(help="A run folder, as `train --out` makes it.")]


def main() -> None:
    """Run the command line; errors of ours end with status 2 and a remedy, not a traceback."""
    warnings.showwarning = _show_warning
    try:
        app()
    except Interrupted as error:
        _fail(error, 130)
    except LiteLLM4RecError as error:
        _fail(error, 2)
    except OSError as error:
        _fail(StoreError(str(error), "Check the path, its rights and the room on the disk."), 2)


@app.command()
def doctor(
    interactions: option.Interactions = None,
    items: option.Items = None,
    data: option.Data = None,
    user: option.User = None,
    item: option.Item = None,
    time: option.Time = None,
    text: option.Text = None,
    root: option.Root = None,
    as_json: option.Json = False,
) -> None:
    """Say what is in your tables and what is wrong with them, each with its remedy.

    Ends with status 1 when something must be mended before training.
    """
    from lite_llm4rec.cli_output import show_report
    from lite_llm4rec.data.doctor import examine
    from lite_llm4rec.data.sources import tables

    log: Any = interactions
    things: Any = items
    if data is not None:
        log, things = tables(data, root)
    elif log is None:
        raise LiteLLM4RecError("Name a table to look at.", "--interactions FILE, or --data NAME")
    columns = text.split(",") if text else None
    report = examine(log, things, user=user, item=item, time=time, text=columns)
    _print_json(report.to_dict()) if as_json else show_report(console, report)
    raise typer.Exit(0 if report.ok else 1)


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    interactions: option.Interactions = None,
    items: option.Items = None,
    data: option.Data = None,
    user: option.User = None,
    item: option.Item = None,
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
        user=user, item=item, time=time, text=text, duplicates=duplicates, core=core,
    )  # fmt: skip
    facts = write_prepared(dataset, out, name or dataset.name)
    if as_json:
        _print_json(facts)
    else:
        console.print(
            f"{out}: {facts['users']:,} users, {facts['items']:,} items, "
            f"{facts['interactions']:,} interactions ({facts['sequences_sha256'][:12]})"
        )


@app.command()
def train(
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    preset: Annotated[
        str,
        typer.Option(help="fast, another preset's name (`info` lists them), or a TOML file."),
    ] = "fast",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: --set vector.epochs=50 (repeatable)."),
    ] = None,
    data: option.Data = None,
    interactions: option.Interactions = None,
    items: option.Items = None,
    user: option.User = None,
    item: option.Item = None,
    time: option.Time = None,
    text: option.Text = None,
    duplicates: option.Duplicates = "keep",
    core: option.Core = 0,
    candidates: option.Candidates = "interacted",
    root: option.Root = None,
    seed: option.Seed = None,
    device: option.Device = "auto",
    devices: Annotated[int, typer.Option(help="How many devices to train on.")] = 1,
    threads: option.Threads = None,
    restart: Annotated[
        bool, typer.Option(help="Forget an interrupted run of this folder and start anew.")
    ] = False,
    vectors: Annotated[
        Path | None,
        typer.Option(help="Your own item vectors: a table of ids and lists, or .npy."),
    ] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="Go on from this run folder, with new data.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Also write the result as results/<experiment>/<cell>.json.")
    ] = None,
    quiet: option.Quiet = False,
    as_json: option.Json = False,
) -> None:
    """Train, measure, and write a run folder.

    An interrupted run (Ctrl-C, kill, power cut) goes on when the same command is run again.
    """
    from lite_llm4rec.cli_output import show_cold, show_results
    from lite_llm4rec.item_vectors import read_vectors
    from lite_llm4rec.preset import FAMILIES, load_preset, preset_for
    from lite_llm4rec.training_run import train_run

    _threads(threads)
    if preset not in FAMILIES:
        load_preset(preset, set_, seed)  # a wrong setting is told before the data are read
    dataset = option.read_dataset(
        data, interactions, items, root, candidates,
        user=user, item=item, time=time, text=text, duplicates=duplicates, core=core,
    )  # fmt: skip
    chosen = load_preset(preset_for(preset, dataset), set_, seed)
    if preset in FAMILIES and not quiet:
        print(_why(chosen, dataset), file=sys.stderr)
    brought = read_vectors(vectors, dataset) if vectors is not None else None
    result = train_run(
        dataset, chosen, out, vectors=brought, init_from=init_from, device=device,
        devices=devices, restart=restart, record=record, progress=not quiet,
    )  # fmt: skip
    if as_json:
        _print_json(result.to_dict())
    else:
        show_results(console, result.evaluation.protocol, result.rows())
        if chosen.cold_share:
            show_cold(console, result.evaluation, result.cold_rows())
        console.print(f"Saved to {out}. Next: lite-llm4rec recommend {out} --history ID,ID,…")


@app.command()
def evaluate(
    run: Run,
    data: option.Data = None,
    interactions: option.Interactions = None,
    items: option.Items = None,
    user: option.User = None,
    item: option.Item = None,
    time: option.Time = None,
    text: option.Text = None,
    duplicates: option.Duplicates = "keep",
    core: option.Core = 0,
    candidates: option.Candidates = "interacted",
    root: option.Root = None,
    part: Annotated[str, typer.Option(help="valid or test.")] = "test",
    keep_seen: Annotated[
        bool | None, typer.Option(help="Leave seen items in the ranking. Default: as trained.")
    ] = None,
    device: option.Device = "cpu",
    threads: option.Threads = None,
    cases: Annotated[
        Path | None, typer.Option(help="Write one row per case to this Parquet.")
    ] = None,
    as_json: option.Json = False,
) -> None:
    """Measure a run folder on data: leave-one-out, whole catalogue, with intervals and slices."""
    from lite_llm4rec.cli_output import show_evaluation
    from lite_llm4rec.recommender import Recommender

    _threads(threads)
    if part not in ("valid", "test"):
        raise LiteLLM4RecError(f"--part is '{part}'.", "valid or test")
    dataset = option.read_dataset(
        data, interactions, items, root, candidates,
        user=user, item=item, time=time, text=text, duplicates=duplicates, core=core,
    )  # fmt: skip
    recommender = Recommender.load(run)
    seen_filter = None if keep_seen is None else not keep_seen
    found = recommender.evaluate(dataset, part=part, seen_filter=seen_filter, device=device)  # type: ignore[arg-type]
    if cases is not None:
        import pyarrow.parquet

        cases.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(found.cases, cases)
    _print_json(found.to_dict()) if as_json else show_evaluation(console, found)


@app.command()
def compare(
    first: Run,
    second: Run,
    as_json: option.Json = False,
) -> None:
    """Compare two run folders' test results by paired bootstrap over the same users."""
    from lite_llm4rec.cli_output import show_comparison
    from lite_llm4rec.evaluate import compare as paired
    from lite_llm4rec.store import read_cases

    found = paired(read_cases(first), read_cases(second))
    _print_json(found) if as_json else show_comparison(console, first.name, second.name, found)


@app.command()
def recommend(
    run: Run,
    history: Annotated[
        list[str] | None, typer.Option(help="Item ids in time order, comma-separated (repeatable).")
    ] = None,
    title: Annotated[
        list[str] | None, typer.Option(help="Or titles in time order (repeat once per item).")
    ] = None,
    interactions: Annotated[
        Path | None, typer.Option(help="Or a table of interactions: one list per user.")
    ] = None,
    k: Annotated[int, typer.Option(help="How many items.")] = 10,
    exclude: Annotated[str | None, typer.Option(help="Ids never to recommend.")] = None,
    among: Annotated[str | None, typer.Option(help="Ids to choose from.")] = None,
    include_seen: Annotated[
        bool | None, typer.Option(help="Allow items of the history. Default: as trained.")
    ] = None,
    cold_offset: Annotated[
        float | None, typer.Option(help="Lift new items' scores by so much. Default: calibrated.")
    ] = None,
    drop_unknown: Annotated[bool, typer.Option(help="Skip ids that are not known.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write to this Parquet instead of printing; streamed.")
    ] = None,
    device: option.Device = "cpu",
    threads: option.Threads = None,
    as_json: option.Json = False,
) -> None:
    """Recommend for histories of item ids, of titles, or for every user of a table."""
    from lite_llm4rec.cli_output import write_stream
    from lite_llm4rec.recommender import Recommender

    _threads(threads)
    recommender = Recommender.load(run)
    if cold_offset is not None:
        recommender.cold_offset = cold_offset
    histories: Any = [_ids(line) for line in history or []]
    if title:
        histories.append([recommender.find(words) for words in title])
    if interactions is not None:
        histories = interactions
    elif not histories:
        raise LiteLLM4RecError("Name a history.", "--history ID,ID or --title or --interactions")
    stream = recommender.recommend_stream(
        histories, k, exclude=_ids(exclude), candidates=_ids(among) if among else None,
        include_seen=include_seen, unknown="drop" if drop_unknown else "error", device=device,
    )  # fmt: skip
    if out is not None:
        rows = write_stream(stream, out)
        _print_json({"rows": rows}) if as_json else console.print(f"{rows:,} rows written to {out}")
    elif as_json:
        _print_json([row for part in stream for row in part.to_table().to_pylist()])
    else:
        for part in stream:
            print(part)


@app.command()
def similar(
    run: Run,
    item: Annotated[str | None, typer.Option(help="An item's id.")] = None,
    title: Annotated[str | None, typer.Option(help="Or its title.")] = None,
    k: Annotated[int, typer.Option(help="How many items.")] = 10,
    by: Annotated[str, typer.Option(help="text, or behaviour.")] = "text",
    as_json: option.Json = False,
) -> None:
    """List the items nearest to one, by what their text says or by who is recommended them."""
    from lite_llm4rec.recommender import Recommender

    recommender = Recommender.load(run)
    if (item is None) == (title is None):
        raise LiteLLM4RecError("Name one item.", "--item ID, or --title WORDS")
    chosen = recommender.find(title) if title else item
    found = recommender.similar_items([chosen], k, by=by)  # type: ignore[arg-type]
    _print_json(found.to_table().to_pylist()) if as_json else print(found)


@app.command("add-items")
def add_items(
    run: Run,
    items: Annotated[Path, typer.Option(help="Table of the new items: id and text.")],
    as_json: option.Json = False,
) -> None:
    """Make new items recommendable by their text, within seconds and without training."""
    from lite_llm4rec.recommender import Recommender

    recommender = Recommender.load(run)
    added = recommender.add_items(items)
    recommender.save(run)
    total = len(recommender.catalogue)
    if as_json:
        _print_json({"added": added, "items": total})
    else:
        console.print(f"{run}: {added:,} items added, {total:,} in all.")


@app.command("retire-items")
def retire_items(
    run: Run,
    item: Annotated[str, typer.Option(help="Ids, comma-separated.")],
    back: Annotated[bool, typer.Option(help="Recommend them again.")] = False,
    as_json: option.Json = False,
) -> None:
    """Recommend some items no more; histories may still hold them."""
    from lite_llm4rec.recommender import Recommender

    recommender = Recommender.load(run)
    recommender.retire_items(_ids(item), back=back)
    recommender.save(run)
    retired = int(recommender.retired.sum())
    if as_json:
        _print_json({"retired": retired})
    else:
        console.print(f"{run}: {retired:,} items are retired.")


@app.command()
def info(
    run: Annotated[
        str | None, typer.Argument(help="A run folder or a preset; without, lists the presets.")
    ] = None,
    as_json: option.Json = False,
) -> None:
    """Show what a run folder holds, a preset's file, or which presets there are."""
    from lite_llm4rec.cli_output import show_run
    from lite_llm4rec.config import to_dict
    from lite_llm4rec.preset import load_preset, preset_names, preset_text
    from lite_llm4rec.store import read_config, read_metrics

    if run is None:
        names = preset_names()
        _print_json(names) if as_json else console.print("Presets:\n  " + "\n  ".join(names))
    elif Path(run).is_dir():
        config, metrics = read_config(Path(run)), read_metrics(Path(run))
        if as_json:
            _print_json({"config": config, "metrics": metrics})
        else:
            show_run(console, Path(run), config, metrics)
    elif as_json:
        _print_json(to_dict(load_preset(run)))
    else:
        print(preset_text(run))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the tables and the run.")] = Path(
        "runs/demo"
    ),
    users: Annotated[int, typer.Option(help="How many users to make up.")] = 3000,
    seed: option.Seed = 0,
    threads: option.Threads = None,
    as_json: option.Json = False,
) -> None:
    """Doctor, encode, train, evaluate and recommend on a made-up catalogue, in minutes.

    The best possible score is known there, so the result can be judged.
    """
    from lite_llm4rec.demo import run_demo

    _threads(threads)
    result = run_demo(out, seed or 0, console, users=users, quiet=as_json)
    if as_json:
        _print_json(result)


@app.command()
def results(
    root: Annotated[Path, typer.Argument(help="Folder of records.")] = Path("results"),
    out: Annotated[Path, typer.Option(help="Markdown file to write.")] = Path("docs/results.md"),
    readme: Annotated[
        Path | None, typer.Option(help="Also put the short table between this page's marks.")
    ] = None,
) -> None:
    """Render the records under a folder as one Markdown page."""
    from lite_llm4rec.paper.render import put_between_marks, render, render_summary

    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render(root), encoding="utf-8")
    console.print(f"{out} written")
    if readme is not None:
        page = readme.read_text(encoding="utf-8")
        readme.write_text(put_between_marks(page, render_summary(root)), encoding="utf-8")
        console.print(f"{readme} written")


def _why(chosen: Any, dataset: Any) -> str:
    """Say in one line what no flag has chosen."""
    log = dataset.interactions
    return (
        f"Preset {chosen.name}: a causal model that every position teaches, for"
        f" {len(log) / log.n_users:.0f} interactions per user; --preset paper/… is the paper's."
    )


def _ids(line: str | None) -> list[str]:
    return [part.strip() for part in (line or "").split(",") if part.strip()]


def _threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _fail(error: LiteLLM4RecError, status: int) -> None:
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(status)


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)
