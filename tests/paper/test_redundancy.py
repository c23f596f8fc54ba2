"""Counting how often items are encoded, in a world small enough to count again."""

import json
from itertools import pairwise

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.paper.cell import Bench
from lite_llm4rec.paper.exhibits import cells
from lite_llm4rec.paper.reproduce import reproduce


def test_each_occurrence_each_batch_and_once(bench: Bench, small_ring: Dataset):
    (cell,) = cells(["redundancy"], "ml-1m", [0])
    assert cell.paper == {"Star Wars: Episode I - The Phantom Menace (1999)": 539}
    assert reproduce([cell], bench, [].append) == []
    values = json.loads(cell.record(bench).read_text())["values"]
    log = small_ring.interactions
    histories = [log.items[start : end - 1] for start, end in pairwise(log.offsets)]
    inputs = {f"≤ {cap} items": [items[-cap:] for items in histories] for cap in (20, 21)}
    assert max(map(len, histories)) == 5  # so no cap cuts anything
    for column in (*inputs, "whole histories"):
        assert values["items, at each occurrence"][column] == 40 * 5
        per_batch = sum(
            len({item for items in histories[first : first + 32] for item in items})
            for first in range(0, 40, 32)
        )
        assert values["items, once per batch of 32 users"][column] == per_batch
        once = {item for items in histories for item in items}
        assert values["items, once each: item vectors"][column] == len(once)
        counts = [sum(list(items).count(item) for items in histories) for item in once]
        assert values["the most frequent item"][column] == max(counts)
        # "Thing i07": an unknown word, another one, and two digits.
        assert values["title tokens, once each: item vectors"][column] == 4 * len(once)
