"""The whole path on a made-up catalogue: doctor → encode → train → evaluate → recommend."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.doctor import examine
from lite_llm4rec.data.split import Split, cold_start, leave_one_out
from lite_llm4rec.data.synthetic import Synthetic, make
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models import TITLES
from lite_llm4rec.output import show_report
from lite_llm4rec.preset import load_preset, preset_for
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.training_run import TrainingRun, train_run

CLOSE = 0.85  # of the best possible warm Recall@10: below it the demo says that it fell short
SHOWN = 3
MARK = ".demo"  # says whose the folder is
COLD_SHARE = 0.1
PAPER, DEFAULT = "cpu/demo", "fast"
TRAINING_SECONDS = 180.0  # of each model; most machines need less


def run_demo(
    out: Path, seed: int, console: Console, *, users: int = 3000, quiet: bool = False
) -> dict[str, Any]:
    """Run the demo; tables and run folders stay in `out`.

    Raises
    ------
    ConfigError
        When something else is in `out`.
    """
    started = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / MARK).is_file():
        raise ConfigError(f"{out} holds what the demo did not make.", "Name another --out.")
    (out / MARK).touch()
    world = make(users, seed=seed)
    log, items = out / "interactions.parquet", out / "items.parquet"
    pyarrow.parquet.write_table(world.interactions, log)
    pyarrow.parquet.write_table(world.items, items)
    if not quiet:
        console.rule("1. Two tables, and what the doctor says of them")
        show_report(console, examine(log, items))
        console.rule("2. Encode the titles, hold a tenth of the items out of training, train twice")
    dataset = Dataset.from_tables(log, items, name="synthetic", candidates="catalogue")
    runs = {}
    for name in (PAPER, DEFAULT):
        preset = load_preset(preset_for(name, dataset), [f"cold_share={COLD_SHARE}"], seed=seed)
        if not quiet:
            console.print(f"{TITLES[preset.model.kind]}:")
        folder = out / preset.model.kind
        runs[name] = train_run(
            dataset, preset, folder, device="cpu", restart=True, progress=not quiet,
            max_seconds=TRAINING_SECONDS,
        )  # fmt: skip
    split = cold_start(leave_one_out(dataset.interactions), COLD_SHARE, seed)
    best = best_possible(world, dataset, split)
    result = summary(runs, best, time.perf_counter() - started)
    if not quiet:
        console.rule("3. Measured on every user's last item, among the whole catalogue")
        _show(console, result)
        console.rule("4. Recommendations")
        _show_lists(console, dataset, Recommender.load(out / "causal"))
        console.print(f"\nThe run folders are in {out}; {result['seconds']:.0f} s in all.")
        console.print(f"To look at one in a browser: lite-llm4rec serve {out / 'causal'}")
    return result


def best_possible(world: Synthetic, dataset: Dataset, split: Split) -> dict[str, dict[str, float]]:
    """Give what the true probabilities reach on the test's warm, cold and all targets."""
    row_of = {name: row for row, name in enumerate(world.items["item_id"].to_pylist())}
    whole, log = dataset.interactions, split.interactions
    rows = np.array([row_of[name] for name in log.item_ids.to_pylist()])
    user_of = {name: user for user, name in enumerate(whole.user_ids.to_pylist())}
    test = split.test
    names = log.user_ids.take(pa.array(test.users)).to_pylist()
    histories = [rows[whole.history(user_of[name])] for name in names]
    cold = split.train_counts()[log.items[test.positions]] == 0
    found = {}
    for part, mask in (("all", cold | ~cold), ("warm", ~cold), ("cold", cold)):
        chosen = [histories[case] for case in np.flatnonzero(mask)]
        bound = world.bound([items[:-1] for items in chosen], [items[-1] for items in chosen], 10)
        found[part] = {"recall@10": bound.realised_recall, "ndcg@10": bound.realised_ndcg}
    return found


def summary(
    runs: dict[str, TrainingRun], best: dict[str, dict[str, float]], seconds: float
) -> dict[str, Any]:
    """Put what was measured next to the best possible, warm and cold targets apart."""
    paper, default = runs[PAPER], runs[DEFAULT]
    systems = {**paper.baselines, paper.model: paper.evaluation, default.model: default.evaluation}
    reached = default.evaluation.slices["warm"]["recall@10"]
    return {
        "systems": {
            name: {"all": found.metrics, "warm": found.slices["warm"], "cold": found.slices["cold"]}
            for name, found in systems.items()
        },
        "best_possible": best,
        "training_seconds": {run.model: run.seconds for run in runs.values()},
        "cold_targets": default.evaluation.metrics["cold_targets"],
        "cold_in_lists": default.evaluation.metrics["cold@10"],
        "protocol": default.evaluation.protocol.line(),
        "model": default.model,
        "share_of_best": reached / best["warm"]["recall@10"],
        "close": reached >= CLOSE * best["warm"]["recall@10"],
        "seconds": seconds,
    }


def _show(console: Console, result: dict[str, Any]) -> None:
    table = Table(caption=result["protocol"], caption_justify="left")
    table.add_column("recall@10", no_wrap=True)
    for name in ("warm targets", "cold targets", "all", "training"):
        table.add_column(name, justify="right")
    for system, parts in [*result["systems"].items(), ("best possible", result["best_possible"])]:
        seconds = result["training_seconds"].get(system)
        table.add_row(
            system,
            *[f"{parts[part]['recall@10']:.3f}" for part in ("warm", "cold", "all")],
            "" if seconds is None else f"{seconds:.0f} s",
        )
    console.print(table)
    console.print(
        "Cold items had no training interaction; all are ranked in one list."
        f" {100 * result['cold_targets']:.0f} % of the targets are cold, and"
        f" {100 * result['cold_in_lists']:.0f} % of what {result['model']} recommends.\n"
        "Best possible: the ranking by the probabilities that the log was drawn from."
    )
    share = f"{100 * result['share_of_best']:.0f} % of the best possible recall@10 of warm targets"
    if result["close"]:
        console.print(f"{result['model']} reached {share}.")
    else:
        short = f"{result['model']} fell short: {share}, less than {100 * CLOSE:.0f} %."
        console.print(short, style="red")


def _show_lists(console: Console, dataset: Dataset, recommender: Recommender) -> None:
    """Show a few histories without their last item, what is recommended, and what came."""
    log, titles = dataset.interactions, dataset.catalogue.titles()
    ids = log.item_ids.to_pylist()
    for user in range(SHOWN):
        *history, target = log.history(user).tolist()
        found = recommender.recommend([[ids[item] for item in history]], k=5)
        name = (str(log.user_ids[user].as_py()), "bold")
        console.print(Text.assemble("\n", name, f" chose (the last of {len(history)}):"))
        console.print("  " + " → ".join(titles[item] for item in history[-4:]), highlight=False)
        for rank, title in enumerate(found.titles[0], start=1):
            came = "  ← came next" if title == titles[target] else ""
            console.print(f"  {rank}. {title}{came}", highlight=False)
