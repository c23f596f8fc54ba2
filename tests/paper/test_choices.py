"""What the paper leaves open: the variants are what their names say."""

import json
from dataclasses import replace
from functools import partial

import numpy as np

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.paper.cell import Bench
from lite_llm4rec.paper.choices import BY_ITEM, CHOICES, KEPT, choices, ties_by_item
from lite_llm4rec.paper.reproduce import reproduce
from lite_llm4rec.paper.systems import train_system

SILENT = [].append


def test_ties_are_ordered_by_item_and_nothing_else(small_ring: Dataset):
    log = small_ring.interactions
    tied = replace(log, times=np.repeat(np.arange(len(log) // 2), 2))  # pairs of equal times
    found = ties_by_item(replace(small_ring, interactions=tied)).interactions
    pairs, before = found.items.reshape(-1, 2), log.items.reshape(-1, 2)
    assert (pairs[:, 0] <= pairs[:, 1]).all()
    assert (np.sort(before, 1) == pairs).all()
    same = ties_by_item(replace(small_ring, interactions=log)).interactions
    assert (same.items == log.items).all()  # no ties


def test_seen_items_kept_reads_the_base_s_run(cut: Bench):
    cells = {cell.row: cell for cell in choices("ml-1m", [0])}
    assert len(cells) == len(CHOICES) + 2
    reproduce([cells[KEPT]], cut, SILENT)
    assert "wants the run" in json.loads(cells[KEPT].record(cut).read_text())["missing"]
    reproduce([cells["ids alone"], cells[BY_ITEM]], cut, SILENT)
    assert cells["ids alone"].is_done(cut) and cells[BY_ITEM].is_done(cut)


def test_seen_items_kept(cut: Bench):
    own = replace(CHOICES[0], settings=('model.items="id"',))  # no text model here
    cells = {cell.row: cell for cell in choices("ml-1m", [0])}
    base = replace(cells[CHOICES[0].row], measure=partial(train_system, own))
    reproduce([base, cells[KEPT]], cut, SILENT)
    removed, kept = (json.loads(cell.record(cut).read_text()) for cell in (base, cells[KEPT]))
    assert removed["protocol"]["seen_filter"] and not kept["protocol"]["seen_filter"]
    assert kept["metrics"]["recall@10"] <= removed["metrics"]["recall@10"]
