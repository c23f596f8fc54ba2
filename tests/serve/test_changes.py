"""The log of catalogue changes."""

import random
from pathlib import Path

import numpy as np
import pytest

from lite_llm4rec.serve.changes import Change, Kind, settled
from lite_llm4rec.serve.metrics import Metrics
from lite_llm4rec.serve.served import Served

ITEMS = ["i03", "i04", "new", "newer"]


@pytest.mark.parametrize("seed", range(5))
def test_a_settled_log_ends_as_the_log_does(run_folder: Path, seed: int):
    rng = random.Random(seed)
    one_by_one, at_once = (Served.load(run_folder, None, Metrics()) for _ in range(2))
    kinds: list[Kind] = ["add", "retire", "restore"]
    vector = np.ones(one_by_one.runtime.vectors.shape[1], np.float32)
    log = [
        Change(rng.choice(kinds), rng.choice(ITEMS), {"title": "A"}, vector, number=number)
        for number in range(1, 30)
    ]
    for change in log:
        one_by_one.apply([change])
    short = settled(log, at_once.lookup)
    assert len([change for change in short if change.kind != "add"]) <= 4
    at_once.apply(short)
    for served in (one_by_one, at_once):
        assert len(served.runtime.retired) == len(served.lookup)
    retired = [
        {item for item, gone in zip(one.lookup.ids, one.runtime.retired, strict=True) if gone}
        for one in (one_by_one, at_once)
    ]
    assert retired[0] == retired[1]
    assert set(one_by_one.lookup.ids) == set(at_once.lookup.ids)
    assert one_by_one.in_run == at_once.in_run
