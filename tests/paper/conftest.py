"""A small world under the paper's name, and a T5 of the paper's kind but tiny."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.paper import cell as cell_module
from lite_llm4rec.paper.cell import Bench


@pytest.fixture
def cut(bench: Bench) -> Bench:
    """One whose trainings are over after the first step."""
    return replace(bench, budget=1e-6)


@pytest.fixture
def bench(
    small_ring: Dataset, t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    monkeypatch.setattr(cell_module, "load", lambda name, root: small_ring)
    cell_module._load.cache_clear()
    yield Bench(tmp_path / "results", tmp_path / "runs", t5=str(t5))
    cell_module._load.cache_clear()
