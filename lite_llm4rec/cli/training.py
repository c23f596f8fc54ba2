"""Commands that train and measure."""

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from lite_llm4rec.cli import options as option
from lite_llm4rec.cli.terminal import console, print_json, set_threads
from lite_llm4rec.errors import ConfigError, LiteLLM4RecError


def train(
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="A preset's name (`info` lists them), or a TOML file. Default: fast; with"
            " --init-from the run's own settings."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: --set vector.epochs=50 (repeatable)."),
    ] = None,
    data: option.Data = None,
    interactions: option.Interactions = None,
    items: option.Items = None,
    user: option.User = None,
    item: option.Item = None,
    items_id: option.ItemsId = None,
    time: option.Time = None,
    text: option.Text = None,
    duplicates: option.Duplicates = "keep",
    core: option.Core = 0,
    candidates: option.Candidates = "interacted",
    root: option.Root = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="leave_one_out (default), last_3, or by_time_2024-05-01_2024-06-01: where"
            " validation and test begin. `evaluate` goes by it, too."
        ),
    ] = None,
    seed: option.Seed = None,
    device: option.Device = "auto",
    devices: Annotated[int, typer.Option(min=1, help="How many devices to train on.")] = 1,
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
    minutes: Annotated[
        float | None, typer.Option(help="Time for training; then the best so far is kept.", min=0)
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Also write the result, as results/EXPERIMENT/CELL.json.")
    ] = None,
    quiet: option.Quiet = False,
    as_json: option.Json = False,
) -> None:
    """Train, measure, and write a run folder.

    An interrupted run (Ctrl-C, kill, power cut) goes on when the same command is run again.
    """
    from lite_llm4rec.data.split_name import split_by
    from lite_llm4rec.item_vectors import read_brought_vectors
    from lite_llm4rec.output import show_cold, show_results
    from lite_llm4rec.paths import is_main_process
    from lite_llm4rec.preset import families, load_preset, preset_for
    from lite_llm4rec.run_folder import read_preset
    from lite_llm4rec.store import CONFIG
    from lite_llm4rec.training_run import train_run

    set_threads(threads)
    if split is not None:
        split_by(split)  # a wrong one is told before the data are read
        set_ = [*(set_ or []), f"split={split}"]
    named = preset or "fast"
    if named not in families():
        load_preset(named, set_, seed)  # a wrong setting is told before the data are read
    dataset = option.read_dataset(
        data, interactions, items, root, candidates,
        user=user, item=item, items_id=items_id, time=time, text=text, duplicates=duplicates,
        core=core,
    )  # fmt: skip
    if init_from is not None and preset is None:
        chosen, why = read_preset(init_from, set_ or [], seed), f"The settings of {init_from}."
    else:
        chosen = load_preset(preset_for(named, dataset), set_, seed)
        why = _why(chosen, dataset)
    if named in families() and not quiet and is_main_process():
        print(why, file=sys.stderr)
    if (out / CONFIG).is_file() and not quiet and is_main_process():
        print(f"{out} holds a trained run; it is replaced when this is through.", file=sys.stderr)
    brought = (
        None
        if vectors is None
        else read_brought_vectors(vectors, dataset.catalogue, items_id or item)
    )
    result = train_run(
        dataset, chosen, out, vectors=brought, init_from=init_from, device=device,
        devices=devices, restart=restart, record=record, progress=not quiet,
        max_seconds=None if minutes is None else 60 * minutes,
    )  # fmt: skip
    if not is_main_process():
        return
    if as_json:
        print_json(result.to_dict())
    else:
        show_results(console, result.evaluation.protocol, result.rows())
        if chosen.cold_share:
            show_cold(console, result.evaluation, result.cold_rows())
        console.print(f"Saved to {out}. Next: lite-llm4rec recommend {out} --history ID,ID,…")


def evaluate(
    run: option.Run,
    data: option.Data = None,
    interactions: option.Interactions = None,
    items: option.Items = None,
    user: option.User = None,
    item: option.Item = None,
    items_id: option.ItemsId = None,
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
        Path | None, typer.Option(help="Write one row per case to this file, .parquet or .csv.")
    ] = None,
    as_json: option.Json = False,
) -> None:
    """Measure a run folder on data: whole catalogue, with intervals and slices.

    Targets are chosen by the split that it was trained with.
    """
    from lite_llm4rec.output import show_evaluation
    from lite_llm4rec.own_split import LearntTargets
    from lite_llm4rec.recommender import Recommender
    from lite_llm4rec.written_table import writer_for

    set_threads(threads)
    if cases is not None:
        writer_for(cases)  # another format is told before the data are read
        if cases.resolve() in [path.resolve() for path in (interactions, items) if path]:
            raise ConfigError(f"{cases} is an input: it would be replaced.", "Name another file.")
    if part not in ("valid", "test"):
        raise LiteLLM4RecError(f"--part is '{part}'.", "valid or test")
    dataset = option.read_dataset(
        data, interactions, items, root, candidates,
        user=user, item=item, items_id=items_id, time=time, text=text, duplicates=duplicates,
        core=core,
    )  # fmt: skip
    recommender = Recommender.load(run)
    seen_filter = None if keep_seen is None else not keep_seen
    with warnings.catch_warnings(action="ignore", category=LearntTargets):  # shown with the rest
        found = recommender.evaluate(dataset, part=part, seen_filter=seen_filter, device=device)  # type: ignore[arg-type]
    if cases is not None:
        cases.parent.mkdir(parents=True, exist_ok=True)
        with writer_for(cases)(cases, found.cases.schema) as writer:
            writer.write_table(found.cases)
    print_json(found.to_dict()) if as_json else show_evaluation(console, found)


def compare(
    first: option.Run,
    second: option.Run,
    as_json: option.Json = False,
) -> None:
    """Compare two run folders' test results by paired bootstrap over the same users."""
    from lite_llm4rec.output import show_comparison
    from lite_llm4rec.paired import compare as paired
    from lite_llm4rec.store import read_cases, tested_by

    cases = read_cases(first), read_cases(second)
    if (one := tested_by(first)) != (other := tested_by(second)):
        raise LiteLLM4RecError(
            f"They were not measured alike: {one} and {other}.",
            "Evaluate both in one way: on the same interactions, candidates and filter.",
        )
    found = paired(*cases)
    print_json(found) if as_json else show_comparison(console, first.name, second.name, found)


def _why(chosen: Any, dataset: Any) -> str:
    """Say in one line what the data have chosen."""
    log = dataset.interactions
    per_user = f"{len(log) / log.n_users:.0f} per user"
    told = f"Preset {chosen.name}, for {len(log):,} interactions, {per_user}"
    if not chosen.name.startswith("fast/"):
        return f"{told}."
    return f"{told}: a causal model that every position teaches; --preset paper/… is the paper's."
