"""A model that writes known lists: what evaluation, serving and saving make of them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Targets, leave_one_out
from lite_llm4rec.errors import ConfigError, DataError
from lite_llm4rec.evaluate import evaluate, rank_cases
from lite_llm4rec.machine import Machine
from lite_llm4rec.models import GenerativeConfig, GenerativeRec
from lite_llm4rec.models.base import GenerativeModel, RankedLists
from lite_llm4rec.preset import Preset
from lite_llm4rec.rank_generated import batch_size, rank_generated
from lite_llm4rec.rank_histories import rank_histories
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.train import Task, fit
from lite_llm4rec.training_run import train_run
from tests.conftest import ring_tables, untrained

SHAPE = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}


class Writer(GenerativeModel):
    """Writes for every history the same outputs."""

    history_length, n_items, beams, validation_cases = 5, 9, 4, 7

    def __init__(self, written: list[int]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.written = written
        self.asked: list[int] = []
        self.batches: list[Batch] = []

    def training_loss(self, batch: Batch) -> torch.Tensor:
        self.batches.append(batch)
        return self.weight.sum()

    def leaks(self) -> list[str]:
        return ["told"]

    def save_tokenizer(self, folder: Path) -> None: ...

    def load_tokenizer(self, folder: Path) -> None: ...

    def ranked_lists(
        self, users: torch.Tensor | None, items: torch.Tensor, mask: torch.Tensor, k: int
    ) -> RankedLists:
        self.asked += [] if users is None else users.tolist()
        row = torch.tensor([*self.written, *[-1] * k][:k])
        scores = -torch.arange(1.0, k + 1)
        return RankedLists(row.repeat(len(items), 1), scores.repeat(len(items), 1), 3, 2, 1)


def case(history: list[int], target: int) -> tuple[Any, Targets]:
    items = np.array([*history, target])
    return items, Targets(np.array([4]), np.array([0]), np.array([len(history)]))


@pytest.mark.parametrize(
    ("history", "target", "seen_filter", "rank"),
    [
        ([1], 7, True, 1),
        ([1], 3, True, 3),  # the output in between was malformed and keeps its place
        ([7], 3, True, 2),  # a seen item leaves its place
        ([7], 3, False, 3),
        ([7, 3], 3, True, 2),  # the target itself is never seen
        ([1], 8, True, 21),  # not written at all: no hit at 20 either
    ],
)
def test_the_rank_is_the_place_in_the_list(history, target, seen_filter, rank):
    items, targets = case(history, target)
    ranks, lists = rank_cases(Writer([7, -1, 3]), items, targets, seen_filter=seen_filter)
    assert ranks.tolist() == [rank]
    shown = [
        item for item in [7, -1, 3] if not seen_filter or item not in history or item == target
    ]
    assert lists.tolist() == [shown + [-1] * (10 - len(shown))]


def test_shares_are_of_all_outputs_and_users_are_asked_for():
    model = Writer([7, -1, 3])
    items, targets = case([1], 3)
    shares = rank_generated(model, items, targets, seen_filter=True, device="cpu", list_length=10)[
        2
    ]
    assert shares == {"malformed": 3 / 20, "unknown": 2 / 20, "repeated": 1 / 20}
    assert model.asked == [4]


def test_evaluation_holds_the_shares_and_what_the_numbers_tell():
    dataset = Dataset.from_tables(*ring_tables(6, 9, 5, seed=0), name="nine")
    found = evaluate(Writer([0, 1]), dataset, leave_one_out(dataset.interactions))
    assert found.metrics["malformed"] == pytest.approx(3 / (20 * 6))
    assert found.leaks == ["told"]
    nothing = evaluate(Writer([]), dataset, leave_one_out(dataset.interactions)).metrics
    assert nothing["cold@10"] == nothing["coverage@10"] == nothing["recall@20"] == 0


def test_validation_takes_the_same_few_targets_each_time():
    dataset = Dataset.from_tables(*ring_tables(20, 9, 5, seed=0), name="nine")
    task = Task(Writer([0]), leave_one_out(dataset.interactions), StageConfig(), 3)
    first, again = task.validation_targets(), task.validation_targets()
    assert len(first) == 7
    assert (first.positions == again.positions).all()


def test_training_tells_whose_history_it_is(tmp_path: Path):
    dataset = Dataset.from_tables(*ring_tables(20, 9, 5, seed=0), name="nine")
    split, model = leave_one_out(dataset.interactions), Writer([0])
    stage = StageConfig(strategy="all", epochs=1, batch=8)
    fit(model, split, stage, tmp_path, machine=Machine("cpu"), progress=False)
    assert len(model.batches) == 5  # two targets of each user
    for batch in model.batches:
        assert batch.users is not None
        for user, items, target in zip(batch.users, batch.items, batch.targets, strict=True):
            history = dataset.interactions.history(int(user)).tolist()
            assert history[0] == int(items[0])
            assert int(target) in history[1:3]


def test_recommended_lists_close_their_gaps():
    allowed = torch.ones(9, dtype=torch.bool)
    allowed[2] = False
    model = Writer([7, -1, 2, 3])
    histories = [np.array([7, 1]), np.array([], np.int64), np.array([1])]
    counts = np.arange(9)
    items, scores = rank_histories(model, None, counts, histories, 3, allowed, False)
    assert items.tolist() == [[3, -1, -1], [8, 7, 6], [7, 3, -1]]
    assert scores[2].tolist() == [-1, -4, -torch.inf]
    items, _ = rank_histories(model, None, counts, histories[:1], 3, allowed, True)
    assert items.tolist() == [[7, 3, -1]]


def preset(**settings: Any) -> Preset:
    given = {
        "backbone": "t5", "from_scratch": True, "shape": SHAPE, "dropout": 0.0,
        "history_length": 3, "constrained": True, **settings,
    }  # fmt: skip
    stage = StageConfig(strategy="all", epochs=12, batch=32, lr=5e-3, warmup=0.05, validate_every=4)
    return Preset("tiny", model=GenerativeConfig(**given), vector=stage)


@pytest.fixture(scope="module")
def trained(ring: Dataset) -> Recommender:
    return Recommender.fit(
        ring, preset(prompt_vectors=2, numbering="random"), device="cpu", progress=False
    )


def test_it_learns_what_always_follows(ring: Dataset, trained: Recommender):
    found = trained.evaluate(ring, part="test")
    assert found.metrics["recall@10"] > 0.9
    assert found.metrics["mrr"] > 0.5
    assert found.metrics["malformed"] == found.metrics["repeated"] == 0
    assert found.leaks == []


def test_unconstrained_it_has_learnt_to_write_items(ring: Dataset, trained: Recommender):
    free = trained.model
    assert isinstance(free, GenerativeRec)
    before, free.config = free.config, replace(free.config, constrained=False)
    found = evaluate(free, ring, leave_one_out(ring.interactions))
    free.config = before
    assert found.metrics["recall@10"] > 0.9
    assert 0 < found.metrics["malformed"] + found.metrics["unknown"] < 0.5


def test_a_run_comes_back(trained: Recommender, tmp_path: Path):
    loaded = Recommender.load(trained.save(tmp_path / "run"))
    histories = [["i03", "i04"], [], ["i10"]]
    first, second = (each.recommend(histories, 5) for each in (trained, loaded))
    assert first.ids == second.ids
    assert first.scores == second.scores
    assert all(len(row) == 5 for row in first.ids)
    assert first.notes[1]


def reversed_users(dataset: Dataset) -> Dataset:
    """The same histories, the last user first."""
    log = dataset.interactions
    order = np.arange(log.n_users)[::-1]
    table = pa.table(
        {
            "user_id": np.repeat(log.user_ids.to_numpy()[order], log.lengths[order]),
            "item_id": [
                log.item_ids[int(item)].as_py() for user in order for item in log.history(user)
            ],
            "timestamp": np.concatenate(
                [log.times[log.offsets[user] : log.offsets[user + 1]] for user in order]
            ),
        }
    )
    items = pa.table({"item_id": dataset.catalogue.ids, "title": dataset.catalogue.titles()})
    return Dataset.from_tables(table, items, name=dataset.name)


def test_users_in_another_order_are_refused(ring: Dataset, trained: Recommender, tmp_path: Path):
    """Their numbers in the prompts would be other users'."""
    other = reversed_users(ring)
    assert other.interactions.sequences_sha256 == ring.interactions.sequences_sha256
    loaded = Recommender.load(trained.save(tmp_path / "run"))
    for recommender in (trained, loaded):
        with pytest.raises(DataError, match="another order"):
            recommender.evaluate(other)
    with pytest.raises(DataError, match="another order"):
        Recommender.fit(other, trained.preset, init_from=loaded, device="cpu", progress=False)
    loaded.users_sha256 = ""  # as in a run folder of before
    assert loaded.evaluate(other).protocol == trained.evaluate(ring).protocol


def test_a_model_that_knows_no_users_takes_them_in_any_order(ring: Dataset):
    recommender = untrained(ring)
    recommender.users_sha256 = ring.interactions.users_sha256
    first, second = (recommender.evaluate(data) for data in (ring, reversed_users(ring)))
    assert first.metrics == pytest.approx(second.metrics)


def test_it_has_no_item_vectors(trained: Recommender):
    with pytest.raises(ConfigError, match="no vectors"):
        trained.similar_items(["i03"], by="behaviour")


def test_it_learns_one_target_per_pass():
    with pytest.raises(ConfigError, match="generative learns one target"):
        replace(preset(), vector=StageConfig(strategy="positions"))


def test_the_original_numbering_is_told(small_ring: Dataset):
    started = preset(numbering="original")
    stage = replace(started.vector, epochs=1, validate_every=1)  # type: ignore[type-var]
    recommender = Recommender.fit(
        small_ring, replace(started, vector=stage), device="cpu", progress=False
    )
    numbers = recommender.model.numbers  # type: ignore[union-attr]
    log = small_ring.interactions
    walks = [numbers[torch.from_numpy(log.history(user).astype(np.int64))] for user in range(40)]
    assert [1, 2, 3, 4, 5, 6] in [walk.tolist() for walk in walks]
    assert "first appearance" in recommender.evaluate(small_ring).leaks[0]


def test_a_training_run_shows_what_numbers_alone_tell(small_ring: Dataset, tmp_path: Path):
    short = replace(preset(style="p5"), vector=StageConfig(strategy="sampling", epochs=1))
    run = train_run(small_ring, short, tmp_path / "run", device="cpu", progress=False)
    assert run.model == "P5"
    assert set(run.baselines) == {"popularity", "next number"}
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert "writes ids of 20 items" in card
    assert "| malformed | 0.0000 |" in card


def test_a_run_with_collaborative_numbers_comes_back(small_ring: Dataset, tmp_path: Path):
    started = preset(style="lightlm", numbering="collaborative", clusters=3, cluster_size=4)
    short = replace(started, vector=StageConfig(strategy="sampling", epochs=1))
    run = train_run(small_ring, short, tmp_path / "run", device="cpu", progress=False)
    assert set(run.baselines) == {"popularity"}  # a path has no next one
    again = Recommender.load(tmp_path / "run").evaluate(small_ring)
    assert again.metrics == run.evaluation.metrics
    assert again.leaks == []


def test_it_goes_on_with_the_same_catalogue_only(small_ring: Dataset, ring: Dataset):
    once = replace(preset(), vector=StageConfig(strategy="sampling", epochs=1))
    quiet: dict[str, Any] = {"device": "cpu", "progress": False}
    first = Recommender.fit(small_ring, once, **quiet)
    second = Recommender.fit(small_ring, once, init_from=first, **quiet)
    assert torch.equal(first.model.numbers, second.model.numbers)  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="same catalogue"):
        Recommender.fit(ring, once, init_from=first, **quiet)


def test_a_miss_is_one_in_a_catalogue_smaller_than_the_lists():
    dataset = Dataset.from_tables(*ring_tables(20, 9, 5, seed=0), name="nine")
    split = leave_one_out(dataset.interactions)
    ranks, _ = rank_cases(Writer([]), dataset.interactions.items, split.test)
    assert (ranks > 20).all()


def test_a_gpu_takes_more_at_a_time():
    assert batch_size("cpu") < batch_size("cuda:0")
