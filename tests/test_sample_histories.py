"""Histories to measure a trained model on."""

import numpy as np
import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.preset import preset_split
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.sample_histories import DRAWN, sample_histories
from tests.conftest import tiny_preset, untrained


def test_validation_cases_of_the_run(default_model: Recommender, small_kinds: Dataset):
    valid = leave_one_out(small_kinds.interactions).valid
    every = sample_histories(default_model, small_kinds, 1000)
    assert every.known and len(every.cases) == 40
    np.testing.assert_array_equal(every.cases.positions, valid.positions)
    some = sample_histories(default_model, small_kinds, 7)
    assert len(some.cases) == 7
    assert set(some.cases.positions) < set(valid.positions)


def test_cases_are_of_the_log_that_items_were_held_out_of(small_kinds: Dataset):
    run = untrained(small_kinds, tiny_preset(cold_share=0.3))
    split = preset_split(run.preset, small_kinds)
    found = sample_histories(run, small_kinds, 1000)
    targets = found.items[found.cases.positions]
    np.testing.assert_array_equal(targets, split.interactions.items[split.valid.positions])
    assert len(found.items) < len(small_kinds.interactions)


def test_a_split_that_only_its_maker_knows_is_told(small_kinds: Dataset):
    run = untrained(small_kinds)
    run.split = "mine"
    with pytest.raises(ConfigError, match=r"the split mine[\s\S]*histories are drawn"):
        sample_histories(run, small_kinds, 7)


def test_drawn_histories_fit_the_model(default_model: Recommender):
    drawn = sample_histories(default_model, None, 7)
    lengths = drawn.cases.positions - drawn.cases.starts
    assert not drawn.known and len(lengths) == DRAWN
    assert set(lengths) == set(range(1, default_model.model.history_length + 1))
    assert set(drawn.items) == set(range(60))
