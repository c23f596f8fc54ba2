"""Commands that make a run folder fast to ask."""

from pathlib import Path
from typing import Annotated

import typer

from lite_llm4rec.cli import options as option
from lite_llm4rec.cli.terminal import console, print_json, set_threads
from lite_llm4rec.errors import ConfigError, nearest


def export(
    run: option.Run,
    out: Annotated[Path, typer.Option(help="Folder to write; it can be asked like a run folder.")],
    precision: Annotated[str, typer.Option(help="fp32, bf16 or int8.")] = "fp32",
    runtime: Annotated[str, typer.Option(help="onnx or openvino.")] = "onnx",
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
    force: Annotated[
        bool, typer.Option("--force", help="Write it even where it is too far from the model.")
    ] = False,
    threads: option.Threads = None,
    as_json: option.Json = False,
) -> None:
    """Export a run's encoder as ONNX, and report how far it is from the model.

    Give the data of the training too: their validation users tell how the recall changes.
    """
    from lite_llm4rec import export as exporting
    from lite_llm4rec.output import show_parity
    from lite_llm4rec.recommender import Recommender

    for name, value, known in (
        ("precision", precision, ["fp32", "bf16", "int8"]),
        ("runtime", runtime, ["onnx", "openvino"]),
    ):
        if value not in known:
            raise ConfigError(f"--{name} is '{value}'.", nearest(value, known))
    set_threads(threads)
    dataset = option.read_optional_dataset(
        data, interactions, items, root, candidates,
        user=user, item=item, items_id=items_id, time=time, text=text, duplicates=duplicates,
        core=core,
    )  # fmt: skip
    report = exporting.export(
        Recommender.load(run), out, precision=precision, runtime=runtime,  # type: ignore[arg-type]
        dataset=dataset, force=force,
    )  # fmt: skip
    if as_json:
        print_json(report)
    else:
        show_parity(console, report)
        console.print(f"Saved to {out}. Next: lite-llm4rec recommend {out} --history ID,ID,…")


def index(
    run: option.Run,
    recall: Annotated[
        float, typer.Option(help="Share of the exact ten best that it must find, on average.")
    ] = 0.99,
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
    threads: option.Threads = None,
    as_json: option.Json = False,
) -> None:
    """Add an index to a run folder or export, so that large catalogues are searched fast.

    Give the data of the training too: their validation users are what it is made to fit.
    """
    from dataclasses import asdict

    from lite_llm4rec.recommender import Recommender
    from lite_llm4rec.store import changing

    set_threads(threads)
    dataset = option.read_optional_dataset(
        data, interactions, items, root, candidates,
        user=user, item=item, items_id=items_id, time=time, text=text, duplicates=duplicates,
        core=core,
    )  # fmt: skip
    with changing(run):
        recommender = Recommender.load(run)
        facts = recommender.build_index(dataset, recall)
        recommender.save(run)
    if as_json:
        print_json(asdict(facts))
    else:
        console.print(
            f"{run}: an index of {facts.cells:,} cells, {facts.probes:,} of which are searched; it"
            f" finds {facts.recall:.4f} of the ten best of {facts.users:,} users."
        )
