"""One process at a time."""

from pathlib import Path

import pytest

from lite_llm4rec.errors import StoreError
from lite_llm4rec.paths import alone
from tests.conftest import elsewhere


def test_another_process_keeps_it_until_it_ends(tmp_path: Path):
    place = tmp_path / "run"
    refused = pytest.raises(StoreError, match=f"Another process is at work on {place}")
    with elsewhere(place):
        with refused, alone(place, 0):
            raise AssertionError("two at once")
        with alone(tmp_path / "other", 0):
            pass
    with alone(place, 0), alone(place, 0):  # who has it may ask again
        pass
    assert not list(tmp_path.iterdir())
