"""What a model has learnt of the targets of another split."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.split import by_time, last_n, leave_one_out
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.own_split import LearntTargets
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.stage_config import StageConfig
from tests.conftest import drawn_vectors, ring_tables, tiny_preset, untrained

HOW: Any = {"vectors": drawn_vectors(20), "device": "cpu", "progress": False}
BRIEFLY = tiny_preset(vector=StageConfig(epochs=1))


def test_targets_that_training_had_are_counted(small_ring: Dataset, tmp_path: Path):
    found = Recommender.fit(small_ring, BRIEFLY, **HOW)
    assert found.evaluate(small_ring).leaks == []
    assert found.evaluate(small_ring, leave_one_out(small_ring.interactions)).leaks == []
    loaded = Recommender.load(found.save(tmp_path / "run"))
    # Of each of 40 users' last two, the first chose the epoch.
    told = (
        "40 of 80 targets taught the model or chose its epoch: it was trained with the split"
        " leave_one_out."
    )
    with pytest.warns(LearntTargets, match=told):
        assert loaded.evaluate(small_ring, last_n(small_ring.interactions, 2)).leaks == [told]


def test_a_named_split_is_made_again(small_ring: Dataset):
    split = last_n(small_ring.interactions, 2)
    given = Recommender.fit(small_ring, BRIEFLY, split=split, **HOW)
    named = Recommender.fit(small_ring, replace(BRIEFLY, split="last_2"), **HOW)
    for found in (given, named):
        assert found.evaluate(small_ring).cases == found.evaluate(small_ring, split).cases
        assert found.evaluations[-1].protocol.split == "last_2"
    # What last_2 taught, and was chosen by, is before both of leave-one-out's targets.
    assert given.evaluate(small_ring, leave_one_out(small_ring.interactions)).leaks == []


def test_a_split_of_the_same_log_in_another_numbering_measures_the_same():
    log, items = ring_tables(40, 20, 6, seed=0)
    data = Dataset.from_tables(log, items.take(np.arange(20)[::-1]))
    found = untrained(data)
    own, other = leave_one_out(data.interactions), leave_one_out(Interactions.from_table(log))
    assert own.interactions.items.tolist() == (19 - other.interactions.items).tolist()
    assert found.evaluate(data, other).cases == found.evaluate(data, own).cases


def test_an_own_split_is_asked_for(small_ring: Dataset):
    split = replace(last_n(small_ring.interactions, 2), name="mine")
    found = Recommender.fit(small_ring, BRIEFLY, split=split, **HOW)
    assert found.evaluate(small_ring, split).leaks == []
    with pytest.raises(ConfigError, match="trained with the split mine, which the data alone"):
        found.evaluate(small_ring)
    with pytest.warns(LearntTargets):
        (leak,) = found.evaluate(small_ring, leave_one_out(small_ring.interactions)).leaks
    assert leak == "The model was trained with another split, mine: it may know the targets."


def test_histories_too_short_for_the_default_split_do_not_matter(small_ring: Dataset):
    day, items = 86_400, [f"i{number:02}" for number in range(1, 7)]
    users, days = list("uuvvww"), [1, 3, 1, 5, 1, 7]
    log = pa.table({"user_id": users, "item_id": items, "timestamp": [day * one for one in days]})
    short = Dataset.from_tables(log)
    early, late = (by_time(short.interactions, cut * day, (cut + 2) * day) for cut in (2, 4))
    found = untrained(small_ring)
    found.split = late.name
    data = replace(short, catalogue=small_ring.catalogue.take(np.arange(1, 7)))
    assert found.evaluate(data, late).leaks == []
    # `early` tests what came on days 5 and 7; the first of these chose the epoch of `late`.
    with pytest.warns(LearntTargets, match="1 of 2 targets taught the model or chose its epoch"):
        found.evaluate(data, early)


def test_other_interactions_are_told(small_ring: Dataset, tmp_path: Path):
    found = Recommender.fit(small_ring, BRIEFLY, **HOW)
    loaded = Recommender.load(found.save(tmp_path / "run"))
    log = small_ring.interactions
    is_last = np.arange(len(log)) == log.offsets[1:][log.users] - 1
    earlier = replace(small_ring, interactions=log.keep(~is_last))
    with pytest.warns(LearntTargets, match="trained on other interactions") as told:
        (leak,) = loaded.evaluate(earlier).leaks
    assert str(told[0].message) == leak
    assert loaded.evaluate(small_ring).leaks == []
