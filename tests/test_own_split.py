"""What a model has learnt of the targets of another split."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import by_time, last_n, leave_one_out
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.stage_config import StageConfig
from tests.conftest import drawn_vectors, tiny_preset, untrained

HOW: Any = {"vectors": drawn_vectors(20), "device": "cpu", "progress": False}
BRIEFLY = tiny_preset(vector=StageConfig(epochs=1))


def test_targets_that_training_had_are_counted(small_ring: Dataset, tmp_path: Path):
    found = Recommender.fit(small_ring, BRIEFLY, **HOW)
    assert found.evaluate(small_ring).leaks == []
    assert found.evaluate(small_ring, leave_one_out(small_ring.interactions)).leaks == []
    loaded = Recommender.load(found.save(tmp_path / "run"))
    # Of each of 40 users' last two, the first chose the epoch.
    assert loaded.evaluate(small_ring, last_n(small_ring.interactions, 2)).leaks == [
        "40 of 80 targets taught the model or chose its epoch: it was trained with the split"
        " leave_one_out."
    ]


def test_an_own_split_is_asked_for(small_ring: Dataset):
    split = last_n(small_ring.interactions, 2)
    found = Recommender.fit(small_ring, BRIEFLY, split=split, **HOW)
    assert found.evaluate(small_ring, split).leaks == []
    with pytest.raises(ConfigError, match="trained with the split last_2, which the data alone"):
        found.evaluate(small_ring)
    # What last_2 taught is before both of leave-one-out's targets; but it cannot be made again.
    (leak,) = found.evaluate(small_ring, leave_one_out(small_ring.interactions)).leaks
    assert leak == "The model was trained with another split, last_2: it may know the targets."


def test_histories_too_short_for_the_default_split_do_not_matter(small_ring: Dataset):
    day, rows = 86_400, [("u", 1, "i01"), ("u", 3, "i02"), ("v", 1, "i03"), ("v", 5, "i04")]
    users, days, items = zip(*rows, strict=True)
    log = pa.table({"user_id": users, "item_id": items, "timestamp": [day * one for one in days]})
    short = Dataset.from_tables(log)
    first, second = (by_time(short.interactions, 2 * day, cut * day) for cut in (4, 5))
    found = untrained(small_ring)
    found.split = first.name
    data = replace(short, catalogue=small_ring.catalogue.take(np.arange(1, 5)))
    assert found.evaluate(data, first).leaks == []
    assert "it may know" in found.evaluate(data, second).leaks[0]
