"""How often the same item is encoded in a pass over all test users (paper §4.2), by counting."""

from typing import Any

import numpy as np

from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.errors import DownloadError
from lite_llm4rec.models.id_text import WordTokens
from lite_llm4rec.paper.cell import Bench, Cell, without_tokenizer
from lite_llm4rec.paper.efficiency import BATCH
from lite_llm4rec.paper.grid import Grid
from lite_llm4rec.rank import seen_items
from lite_llm4rec.text.encoder import load_tokenizer

CAPS = (20, 21, None)  # items of a history that go in, at most
EXAMPLE = "Star Wars: Episode I - The Phantom Menace (1999)"
EXAMPLE_TOKENS, EXAMPLE_TIMES = 11, 539  # the paper's


def count_encodings(cell: Cell, bench: Bench) -> None:
    """Count items and their titles' tokens: at each occurrence, once per batch, once at all."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    titles = dataset.catalogue.titles()
    words = WordTokens(_tokenizer(bench))
    tokens = np.array([len(words(title)) for title in titles])
    grid = Grid()
    for cap in CAPS:
        column = "whole histories" if cap is None else f"≤ {cap} items"
        rows, items = _inputs(split, cap)
        per_batch = np.unique(rows // BATCH * len(titles) + items) % len(titles)
        for unit, weight in (("items", np.ones_like(tokens)), ("title tokens", tokens)):
            each, once = int(weight[items].sum()), int(weight[np.unique(items)].sum())
            grid.put(f"{unit}, at each occurrence", column, each)
            grid.put(f"{unit}, once per batch of 32 users", column, int(weight[per_batch].sum()))
            grid.put(f"{unit}, once each: item vectors", column, once)
            grid.put(f"{unit}, at each occurrence ÷ once", column, each / max(once, 1))
        times = np.bincount(items, minlength=len(titles))
        grid.put("the most frequent item", column, int(times.max()))
        if EXAMPLE in titles:
            grid.put(EXAMPLE, column, int(times[titles.index(EXAMPLE)]))
    remark = ""
    if EXAMPLE in titles:
        found = int(tokens[titles.index(EXAMPLE)])
        remark = f"{EXAMPLE} has {found} tokens here; the paper counts {EXAMPLE_TOKENS}."
    corner = "encodings in a pass over all test users"
    grid.write(cell, bench, corner=corner, unit="Items or tokens", remark=remark)


def _inputs(split: Split, cap: int | None) -> tuple[Any, Any]:
    """List what goes in at test time: the case and the item of each occurrence."""
    starts = split.test.starts
    if cap is not None:
        starts = np.maximum(starts, split.test.positions - cap)
    found = seen_items(split.interactions.items, starts, split.test.positions)
    return found.rows.numpy(), found.items.numpy()


def _tokenizer(bench: Bench) -> Any:
    try:
        return load_tokenizer(bench.t5)
    except DownloadError as error:
        raise without_tokenizer(error) from error
