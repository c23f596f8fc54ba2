"""Commands that ask a run folder, and those that change its catalogue."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from lite_llm4rec.cli import options as option
from lite_llm4rec.cli.terminal import console, print_json, set_threads
from lite_llm4rec.errors import ConfigError, LiteLLM4RecError


def recommend(
    run: option.Run,
    history: Annotated[
        list[str] | None, typer.Option(help="Item ids in time order, comma-separated (repeatable).")
    ] = None,
    title: Annotated[
        list[str] | None, typer.Option(help="Or titles in time order (repeat once per item).")
    ] = None,
    interactions: Annotated[
        Path | None, typer.Option(help="Or a table of interactions: one list per user.")
    ] = None,
    input_: Annotated[
        Path | None,
        typer.Option("--input", help="Or Parquet of users and lists of ids, resumed if killed."),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="How many items.")] = 10,
    exclude: Annotated[str | None, typer.Option(help="Ids never to recommend.")] = None,
    among: Annotated[str | None, typer.Option(help="Ids to choose from.")] = None,
    include_seen: Annotated[
        bool | None, typer.Option(help="Allow items of the history. Default: as trained.")
    ] = None,
    cold_offset: Annotated[
        float | None, typer.Option(help="Lift new items' scores by so much. Default: calibrated.")
    ] = None,
    user: option.User = None,
    item: option.Item = None,
    time: option.Time = None,
    drop_unknown: Annotated[bool, typer.Option(help="Skip ids that are not known.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "--output", help="Write to this file, .parquet or .csv, instead of printing."
        ),
    ] = None,
    device: option.Device = "cpu",
    threads: option.Threads = None,
    as_json: option.Json = False,
) -> None:
    """Recommend for histories of item ids, of titles, or for every user of a table."""
    from lite_llm4rec.batch import recommend_file
    from lite_llm4rec.output import write_stream
    from lite_llm4rec.recommender import Recommender

    set_threads(threads)
    recommender = Recommender.load(run)
    if cold_offset is not None:
        recommender.cold_offset = cold_offset
    how: dict[str, Any] = {
        "exclude": option.names(exclude),
        "candidates": None if among is None else option.names(among),
        "include_seen": include_seen,
        "device": device,
    }
    if input_ is not None:
        option.refuse(
            "--input", history=history, title=title, interactions=interactions, item=item,
            time=time, drop_unknown=drop_unknown,
        )  # fmt: skip
        if out is None:
            raise LiteLLM4RecError("--input goes with --output.", "Name a file to write.")
        counts = recommend_file(recommender, input_, out, k, progress=not as_json, user=user, **how)
        print_json(asdict(counts)) if as_json else console.print(_told(counts, out))
        return
    histories = _histories(recommender, history, title, interactions, user, item, time, out)
    stream = recommender.recommend_stream(
        histories, k, unknown="drop" if drop_unknown else "error", **how
    )
    if out is not None:
        rows = write_stream(stream, out)
        print_json({"rows": rows}) if as_json else console.print(f"{rows:,} rows written to {out}")
    elif as_json:
        print_json([row for part in stream for row in part.to_table().to_pylist()])
    else:
        for part in stream:
            print(part)


def similar(
    run: option.Run,
    item: Annotated[str | None, typer.Option(help="An item's id.")] = None,
    title: Annotated[str | None, typer.Option(help="Or its title.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="How many items.")] = 10,
    by: Annotated[str, typer.Option(help="text, or behaviour.")] = "text",
    as_json: option.Json = False,
) -> None:
    """List the items nearest to one, by what their text says or by who is recommended them."""
    from lite_llm4rec.recommender import Recommender

    recommender = Recommender.load(run)
    if (item is None) == (title is None):
        raise LiteLLM4RecError("Name one item.", "--item ID, or --title WORDS")
    chosen = item if title is None else recommender.find(title)
    found = recommender.similar_items([chosen], k, by=by)  # type: ignore[arg-type]
    print_json(found.to_table().to_pylist()) if as_json else print(found)


def add_items(
    run: option.Run,
    items: Annotated[Path, typer.Option(help="Table of items: id and text. Known ones stay.")],
    items_id: option.ItemsId = None,
    vectors: Annotated[
        Path | None,
        typer.Option(help="Their vectors, for a run that was trained with --vectors."),
    ] = None,
    as_json: option.Json = False,
) -> None:
    """Make new items recommendable by their text, within seconds and without training."""
    from lite_llm4rec.data.catalogue import Catalogue
    from lite_llm4rec.item_vectors import read_brought_vectors
    from lite_llm4rec.recommender import Recommender
    from lite_llm4rec.store import changing

    brought = None
    if vectors is not None:
        brought = read_brought_vectors(
            vectors, Catalogue.from_table(items, items_id=items_id), items_id
        )
    with changing(run):
        recommender = Recommender.load(run)
        added = recommender.add_items(items, items_id=items_id, vectors=brought)
        recommender.save(run)
    total = len(recommender.catalogue)
    if as_json:
        print_json({"added": added, "items": total})
    else:
        console.print(
            f"{run}: {added:,} {'item' if added == 1 else 'items'} added, {total:,} in all."
        )


def retire_items(
    run: option.Run,
    item: Annotated[str, typer.Option(help="Ids, comma-separated.")],
    back: Annotated[bool, typer.Option(help="Recommend them again.")] = False,
    as_json: option.Json = False,
) -> None:
    """Recommend some items no more; histories may still hold them."""
    from lite_llm4rec.recommender import Recommender
    from lite_llm4rec.store import changing

    with changing(run):
        recommender = Recommender.load(run)
        recommender.retire_items(option.names(item), back=back)
        recommender.save(run)
    retired = int(recommender.retired.sum())
    if as_json:
        print_json({"retired": retired})
    else:
        console.print(f"{run}: {retired:,} items are retired.")


def info(
    run: Annotated[
        str | None, typer.Argument(help="A run folder or a preset; without, lists the presets.")
    ] = None,
    as_json: option.Json = False,
) -> None:
    """Show what a run folder holds, a preset's file, or which presets there are."""
    from lite_llm4rec.config import to_dict
    from lite_llm4rec.output import show_presets, show_run
    from lite_llm4rec.preset import families, load_preset, preset_about, preset_names, preset_text
    from lite_llm4rec.store import read_config, read_metrics

    if run is None:
        names = preset_names()
        if as_json:
            print_json(names)
        else:
            chosen = {name: "The one below that suits the data." for name in families()}
            show_presets(console, chosen | {name: preset_about(name) for name in names})
    elif Path(run).is_dir():
        config, metrics = read_config(Path(run)), read_metrics(Path(run))
        if as_json:
            print_json({"config": config, "metrics": metrics})
        else:
            show_run(console, Path(run), config, metrics)
    elif as_json:
        print_json(to_dict(load_preset(run)))
    elif run.endswith(".toml"):
        load_preset(run)  # a wrong one is told
        print(Path(run).read_text(encoding="utf-8"))
    else:
        print(preset_text(run))


def _told(counts: Any, out: Path) -> str:
    """Say in one line what a batch has done."""
    unknown = f"; {counts.unknown:,} unknown items were left out" if counts.unknown else ""
    resumed = f"; {counts.resumed:,} users were done before" if counts.resumed else ""
    return f"{counts.rows:,} rows for {counts.users:,} users written to {out}{unknown}{resumed}"


def _histories(
    recommender: Any,
    history: list[str] | None,
    title: list[str] | None,
    interactions: Path | None,
    user: str | None,
    item: str | None,
    time: str | None,
    out: Path | None,
) -> Any:
    """Read the histories, which are named in one of three ways."""
    from lite_llm4rec.data.interactions import Interactions

    if bool(history) + bool(title) + (interactions is not None) != 1:
        raise LiteLLM4RecError(
            "Name histories in one way.", "--history ID,ID, or --title WORDS, or --interactions"
        )
    if interactions is None:
        option.refuse("--history and --title", user=user, item=item, time=time)
        if title:
            return [[recommender.find(words) for words in title]]
        return [option.names(line) for line in history or []]
    if out is not None and out.resolve() == interactions.resolve():
        raise ConfigError(f"{out} is the input: it would be replaced.", "Name another output.")
    return Interactions.from_table(
        interactions, user=user, item=item, time=time, known=recommender.catalogue.ids
    )
