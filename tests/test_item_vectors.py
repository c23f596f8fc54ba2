from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lite_llm4rec import item_vectors
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.text.encoder import ItemLLM
from tests.conftest import text_preset

TITLES = [f"Thing i{number:02}" for number in range(20)]


def test_item_texts_follow_the_template(small_ring: Dataset, text_model: Path):
    config = text_preset(text_model).text
    assert item_vectors.item_texts(small_ring, config) == TITLES


def test_known_texts_come_from_the_cache(
    text_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = text_preset(text_model).text
    first = item_vectors.text_vectors(TITLES, config, tmp_path, "cpu", False)

    def fail(*_: Any) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(ItemLLM, "forward", fail)
    assert np.array_equal(item_vectors.text_vectors(TITLES, config, tmp_path, "cpu", False), first)


def test_drawn_vectors_depend_on_the_seed_alone():
    first = item_vectors.random_vectors(500, 8, 1)
    assert np.array_equal(first, item_vectors.random_vectors(500, 8, 1))
    assert not np.array_equal(first, item_vectors.random_vectors(500, 8, 2))
    assert first.dtype == np.float32
    assert abs(first.mean()) < 0.05 and abs(first.std() - 1) < 0.05
