"""The whole path on a made-up catalogue: doctor → encode → train → evaluate → recommend."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from rich.console import Console
from rich.table import Table

from lite_llm4rec.cli_output import show_report
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.doctor import examine
from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.data.synthetic import Bound, Synthetic, make
from lite_llm4rec.preset import load_preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.training_run import TrainingRun, train_run

CLOSE = 0.9  # of the best possible Recall@10: below it the demo says that it fell short
SHOWN = 3


def run_demo(
    out: Path, seed: int, console: Console, *, users: int = 3000, quiet: bool = False
) -> dict[str, Any]:
    """Run the demo; tables and run folder stay in `out`."""
    started = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    world = make(users, seed=seed)
    log, items = out / "interactions.parquet", out / "items.parquet"
    pyarrow.parquet.write_table(world.interactions, log)
    pyarrow.parquet.write_table(world.items, items)
    if not quiet:
        console.rule("1. Two tables, and what the doctor says of them")
        show_report(console, examine(log, items))
        console.rule("2. Encode the titles with MiniLM, train on the CPU")
    dataset = Dataset.from_tables(log, items, name="synthetic", candidates="catalogue")
    preset = load_preset("cpu/demo", seed=seed)
    run = train_run(dataset, preset, out / "run", device="cpu", restart=True, progress=not quiet)
    best = best_possible(world, dataset, leave_one_out(dataset.interactions))
    result = summary(run, best, time.perf_counter() - started)
    if not quiet:
        console.rule("3. Measured on every user's last item, among the whole catalogue")
        _show(console, run, best, result)
        console.rule("4. Recommendations")
        _show_lists(console, dataset, Recommender.load(out / "run"))
        console.print(f"\nThe run folder is {out / 'run'}; {result['seconds']:.0f} s in all.")
    return result


def best_possible(world: Synthetic, dataset: Dataset, split: Split) -> dict[str, Bound]:
    """Give what the true probabilities reach on the test targets, for k = 10 and 20."""
    row_of = {name: row for row, name in enumerate(world.items["item_id"].to_pylist())}
    rows = np.array([row_of[name] for name in dataset.interactions.item_ids.to_pylist()])
    items = rows[dataset.interactions.items]
    test = split.test
    histories = [items[start:end] for start, end in zip(test.starts, test.positions, strict=True)]
    return {str(k): world.bound(histories, items[test.positions], k) for k in (10, 20)}


def summary(run: TrainingRun, best: dict[str, Bound], seconds: float) -> dict[str, Any]:
    """Put what was measured next to the best possible."""
    reached = run.evaluation.metrics["recall@10"]
    possible = best["10"].realised_recall
    return {
        "popularity": run.popularity.metrics,
        "lite_llm4rec": run.evaluation.metrics,
        "best_possible": {
            f"{name}@{k}": getattr(bound, f"realised_{name}")
            for k, bound in best.items()
            for name in ("recall", "ndcg")
        },
        "share_of_best": reached / possible,
        "close": reached >= CLOSE * possible,
        "seconds": seconds,
    }


def _show(
    console: Console, run: TrainingRun, best: dict[str, Bound], result: dict[str, Any]
) -> None:
    names = ("recall@10", "recall@20", "ndcg@10", "ndcg@20")
    table = Table(caption=run.evaluation.protocol.line(), caption_justify="left")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for system, metrics in (
        ("popularity", run.popularity.metrics),
        ("Lite-LLM4Rec", run.evaluation.metrics),
        ("best possible", result["best_possible"]),
    ):
        table.add_row(system, *[f"{metrics[name]:.4f}" for name in names])
    console.print(table)
    console.print(
        "Best possible: the ranking by the probabilities that the log was drawn from, on the same"
        f" targets; on average over chance it has recall@10 {best['10'].recall:.4f}."
    )
    share = f"{100 * result['share_of_best']:.0f} % of the best possible recall@10"
    console.print(
        f"Lite-LLM4Rec reached {share}."
        if result["close"]
        else f"[red]Lite-LLM4Rec fell short: {share}, less than {100 * CLOSE:.0f} %.[/red]"
    )


def _show_lists(console: Console, dataset: Dataset, recommender: Recommender) -> None:
    """Show a few histories without their last item, what is recommended, and what came."""
    log, titles = dataset.interactions, dataset.catalogue.titles()
    ids = log.item_ids.to_pylist()
    for user in range(SHOWN):
        *history, target = log.history(user).tolist()
        found = recommender.recommend([[ids[item] for item in history]], k=5)
        console.print(
            f"\n[bold]{log.user_ids[user].as_py()}[/bold] chose (the last of {len(history)}):"
        )
        console.print("  " + " → ".join(titles[item] for item in history[-4:]), highlight=False)
        for rank, title in enumerate(found.titles[0], start=1):
            came = "  ← came next" if title == titles[target] else ""
            console.print(f"  {rank}. {title}{came}", highlight=False)
