"""What the paper leaves open, and how much each choice moves the result.

One system, Lite-LLM4Rec small, with one thing changed at a time.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.evaluate import evaluate
from lite_llm4rec.models import title
from lite_llm4rec.paper.cell import Bench, Cell, NotHereError
from lite_llm4rec.paper.systems import System, settings_of, train_system
from lite_llm4rec.preset import preset_split
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_record

BASE = "as it is"
JOINT_FIRST = "joint stage first"
CHOICES = (
    System(BASE, "cpu/small"),
    System("history of 10", "cpu/small", ("model.history_length=10",)),
    System("history of 50", "cpu/small", ("model.history_length=50",)),
    System("dropout of 0.7, weights drawn anew", "cpu/small", ("model.dropout=0.7",)),
    System("every prefix", "cpu/small", ('vector.strategy="all"',)),
    System(
        JOINT_FIRST,
        "cpu/small",
        ("joint.epochs=2", "joint.batch=64", "joint.lr=1e-4", 'joint.precision="fp32"'),
    ),
    System("ids alone", "cpu/small", ('model.items="id"',)),
    System("MiniLM's encoder, pretrained", "cpu/minilm"),
    System("MiniLM's encoder, from scratch", "cpu/minilm", ("model.from_scratch=true",)),
    System("P5 small, random numbers", "p5/small"),
    System("P5 small, original numbers", "p5/small", ('model.numbering="original"',)),
)
KEPT = "seen items kept"
BY_ITEM = "ties by item id"


def choices(data: str, seeds: Sequence[int]) -> list[Cell]:
    """List the cells, those that read another's run behind it."""
    found = []
    for seed in seeds:
        for system in CHOICES:
            work = partial(train_system, system)
            found.append(
                Cell("choices", data, system.row, work, seed, settings=partial(settings_of, system))
            )
        found.append(Cell("choices", data, KEPT, keep_seen, seed))
        found.append(Cell("choices", data, BY_ITEM, order_ties_by_item, seed))
    return found


def keep_seen(cell: Cell, bench: Bench) -> None:
    """Evaluate the base system without removing the history from the ranking.

    Raises
    ------
    NotHereError
        When its run is not at hand.
    """
    folder = bench.runs / cell.exhibit / replace(cell, row=BASE).name
    if not folder.is_dir():
        raise NotHereError(f"wants the run of '{BASE}'")
    dataset = bench.dataset(cell.data)
    trained = Recommender.load(folder)
    split = preset_split(trained.preset, dataset)
    found = evaluate(trained.model, dataset, split, seen_filter=False, device=bench.device)
    write_record(
        cell.record(bench), found, model=title({"kind": "lite"}), preset=trained.preset.name,
        seed=cell.seed, seconds=0.0, details={**cell.about(), "stages": []},
    )  # fmt: skip


def order_ties_by_item(cell: Cell, bench: Bench) -> None:
    """Train and evaluate the base system on histories whose equal times are ordered by item.

    Raises
    ------
    NotHereError
        When the data set's times are positions, which have no ties.
    """
    dataset = bench.dataset(cell.data)
    if dataset.interactions.time == "order":
        raise NotHereError("this data set gives positions, not times")
    train_system(CHOICES[0], cell, replace(bench, given=ties_by_item(dataset)))


def ties_by_item(dataset: Dataset) -> Dataset:
    """Order interactions with equal times by item number, as sorting a table by id does."""
    log = dataset.interactions
    users = np.repeat(np.arange(log.n_users), log.lengths)
    order = np.lexsort((log.items, log.times, users))
    ordered = replace(log, items=log.items[order], times=log.times[order])
    return replace(dataset, interactions=ordered)
