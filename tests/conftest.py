"""Small worlds that tests share."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from lite_llm4rec.data.dataset import Dataset

torch.set_num_threads(1)


def ring_tables(users: int, items: int, length: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Histories in which item i is always followed by item i + 1, the last by the first."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, items, users)
    numbers = (starts[:, None] + np.arange(length)) % items
    log = pa.table(
        {
            "user_id": np.repeat(np.arange(users), length),
            "item_id": [f"i{number:02}" for number in numbers.ravel()],
            "timestamp": np.tile(np.arange(length) * 10 + 1_700_000_000, users),
        }
    )
    names = [f"i{number:02}" for number in range(items)]
    catalogue = pa.table({"item_id": names, "title": [f"Thing {name}" for name in names]})
    return log, catalogue


@pytest.fixture(scope="session")
def ring() -> Dataset:
    """A ring of 60 items, 200 users with 8 interactions: the next item is known exactly."""
    return Dataset.from_tables(*ring_tables(200, 60, 8, seed=0), name="ring")
