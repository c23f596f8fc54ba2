"""Training on the Top-N task: what a step is shown, and a world in which the best is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.sampling import every_prefix
from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.machine import Machine
from lite_llm4rec.models import BERT4RecConfig, GenerativeRec, Popularity
from lite_llm4rec.models.sasrec import SASRecConfig
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.top_n import evaluate_top_n
from lite_llm4rec.top_n_training import TopNTask, fine_tune
from tests.conftest import tiny_preset, untrained
from tests.test_top_n import N_ITEMS, generative

LIKED, LENGTH, USERS = 20, 8, 300


@pytest.fixture(scope="module")
def liked() -> Dataset:
    """130 items, of which 20 are all that anybody ever takes, each user eight of them."""
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.permutation(LIKED)[:LENGTH] for _ in range(USERS)])
    log = pa.table(
        {
            "user_id": np.repeat(np.arange(USERS), LENGTH),
            "item_id": items,
            "timestamp": np.tile(np.arange(LENGTH), USERS),
        }
    )
    names = pa.array([f"Thing {item:03}" for item in range(N_ITEMS)])
    catalogue = pa.table({"item_id": np.arange(N_ITEMS), "title": names})
    return Dataset.from_tables(log, catalogue, name="liked", candidates="catalogue")


@pytest.fixture(scope="module")
def split(liked: Dataset) -> Split:
    return leave_one_out(liked.interactions)


STAGE = StageConfig(strategy="all", epochs=2, batch=64, lr=1e-2, warmup=0.05)


@pytest.mark.parametrize("history", [False, True])
def test_a_step_shows_training_targets_among_what_training_does_not_hold(
    liked: Dataset, split: Split, history: bool
):
    model = untrained(liked).model
    task = TopNTask(history, model, split, STAGE, 0)
    examples = every_prefix(split, 5, 0, 0)
    torch.manual_seed(1)
    batch = task.batch(examples)
    log = split.interactions
    assert batch.candidates == 100
    assert batch.users is not None
    held_out = 0
    for row, user in enumerate(batch.users.tolist()):
        told = batch.items[row][batch.mask[row]].tolist()
        before, shown = told[:-100], told[-100:]
        trained = log.items[log.offsets[user] : split.train_ends[user]].tolist()
        start, end = examples.starts[row], examples.targets[row]
        assert before == (log.items[start:end].tolist() if history else [])
        assert len(set(shown)) == 100
        assert set(shown) & set(trained) == {log.items[end]} == {int(batch.targets[row])}
        held_out += len({*log.history(user).tolist()[-2:]} & set(shown))
    assert held_out > len(examples)  # 99 of 124 unseen items are shown: 1.6 of the two on average
    torch.manual_seed(1)
    assert torch.equal(task.batch(examples).items, batch.items)
    assert not torch.equal(task.batch(examples).items, batch.items)


def test_it_learns_what_everybody_likes(liked: Dataset, split: Split, tmp_path: Path):
    """Popularity finds the target among the about eleven liked ones that are shown."""
    model = untrained(liked, tiny_preset()).model
    before = evaluate_top_n(model, liked, split, history=False).metrics
    how: dict[str, Any] = {"machine": Machine("cpu"), "progress": False}
    fitted = fine_tune(model, split, STAGE, tmp_path, history=False, **how)
    found = evaluate_top_n(model, liked, split, history=False).metrics
    popular = Popularity(torch.from_numpy(split.train_counts()))
    best = evaluate_top_n(popular, liked, split, history=False).metrics
    assert before["recall@10"] < 0.5
    assert found["recall@10"] > 0.8
    assert best["recall@10"] > 0.8
    assert fitted.epochs == 2
    assert fitted.best > 0.8


def test_a_model_that_writes_ids_learns_it_too(liked: Dataset, split: Split, tmp_path: Path):
    model = generative(GenerativeRec, split, style="pod", validation_cases=8)
    stage = StageConfig(strategy="sampling", epochs=1, batch=32, lr=1e-2)
    task = TopNTask(True, model, split, stage, 0)
    batch = task.batch(every_prefix(split, 5, 0, 0).take(np.arange(16)))
    with torch.no_grad():
        before = float(model.training_loss(batch))
    how: dict[str, Any] = {"machine": Machine("cpu"), "progress": False}
    fitted = fine_tune(model, split, stage, tmp_path, history=True, **how)
    with torch.no_grad():
        after = float(model.training_loss(batch))
    assert fitted.epochs == 1
    assert after < 0.9 * before


@pytest.mark.parametrize("config", [SASRecConfig, BERT4RecConfig])
def test_a_model_that_learns_from_places_in_a_history_is_refused(
    config: Any, liked: Dataset, tmp_path: Path
):
    model = untrained(liked, tiny_preset(model=config(history_length=5))).model
    split = leave_one_out(liked.interactions)
    with pytest.raises(ConfigError, match="places of a history"):
        fine_tune(model, split, STAGE, tmp_path, history=True)
    with pytest.raises(ConfigError, match="places of a history"):
        evaluate_top_n(model, liked, split, history=False)
