"""Items that training never saw: held out, added, retired, calibrated; and going on from a model.

The world is the ring in which item i + 1 follows item i, with text vectors that say where on the
ring an item is: so what follows is known, also for items that are new.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from lite_llm4rec.calibrate import calibrate_cold
from lite_llm4rec.data.catalogue import CHUNKS
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, cold_start, leave_one_out
from lite_llm4rec.errors import ConfigError, DataError, UnknownItemError
from lite_llm4rec.evaluate import encode_cases, evaluate, rank_cases
from lite_llm4rec.models import CausalConfig, CausalLLM4Rec, NearestText, Popularity
from lite_llm4rec.preset import Preset, TextConfig
from lite_llm4rec.rank import seen_items, top_k
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.stage_config import StageConfig
from tests.conftest import ring_tables, tiny_preset, untrained

ITEMS = 60
NEW = [f"i{number:02}" for number in (7, 21, 44)]


def on_a_circle(numbers: np.ndarray) -> np.ndarray:
    """Where on the ring each item is, (n, 16): what a text would say."""
    angles = 2 * np.pi * np.asarray(numbers)[:, None] / ITEMS * np.arange(1, 9)
    return np.concatenate([np.cos(angles), np.sin(angles)], 1).astype(np.float32) / np.sqrt(8)


def place(ids: list[str]) -> np.ndarray:
    return np.array([int(name[1:]) for name in ids])


def preset(**changes: object) -> Preset:
    shape = {"width": 32, "blocks": 1, "heads": 2}
    model = CausalConfig(shape=shape, history_length=5, dropout=0.1, id_dropout=0.5)
    stage = StageConfig(strategy="positions", epochs=60, batch=64, lr=1e-2, patience=60)
    return replace(Preset("small", model=model, vector=stage), **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def without_new() -> Recommender:
    """Trained on the ring without three of its items."""
    log, items = ring_tables(300, ITEMS, 8, seed=0)
    known = [name not in NEW for name in log["item_id"].to_pylist()]
    titles = items.filter(pa.array([name not in NEW for name in items["item_id"].to_pylist()]))
    dataset = Dataset.from_tables(log.filter(pa.array(known)), titles, name="ring")
    vectors = on_a_circle(place(dataset.catalogue.ids.to_pylist()))
    return Recommender.fit(dataset, preset(), vectors=vectors, device="cpu", progress=False)


def table(ids: list[str]) -> pa.Table:
    return pa.table({"item_id": ids, "title": [f"Thing {name}" for name in ids]})


def test_added_items_are_recommended_where_their_text_belongs(without_new, tmp_path: Path):
    without_new.save(tmp_path / "run")
    model = Recommender.load(tmp_path / "run")
    histories = [["i04", "i05", "i06"], ["i18", "i19", "i20"], ["i41", "i42", "i43"]]
    with pytest.raises(UnknownItemError):
        model.recommend([["i07"]])
    assert model.add_items(table(NEW), vectors=on_a_circle(place(NEW))) == 3
    found = model.recommend(histories, k=5)
    assert [name in ids for name, ids in zip(NEW, found.ids, strict=True)] == [True] * 3
    assert all(len(ids) == 5 for ids in model.recommend([["i07", "i08"]], k=5).ids)
    assert model.similar_items(["i07"], k=2).ids[0] in (["i06", "i08"], ["i08", "i06"])
    model.save(tmp_path / "run")
    again = Recommender.load(tmp_path / "run").recommend(histories, k=5)
    assert again.ids == found.ids and again.titles == found.titles


def test_of_a_whole_items_table_the_new_ones_are_added(without_new, tmp_path: Path):
    model, few = (Recommender.load(without_new.save(tmp_path / "run")) for _ in range(2))
    everything = table([NEW[0], "i04", NEW[1], "i05", NEW[2]])
    numbers = place(everything["item_id"].to_pylist())
    assert model.add_items(everything, vectors=on_a_circle(numbers)) == 3
    few.add_items(table(NEW), vectors=on_a_circle(place(NEW)))
    assert model.catalogue.sha256 == few.catalogue.sha256
    assert np.array_equal(model.vectors, few.vectors)
    assert model.add_items(everything, vectors=on_a_circle(numbers)) == 0
    assert len(model.catalogue) == len(few.catalogue)


def test_another_text_of_a_known_item_is_told(without_new, tmp_path: Path):
    model = Recommender.load(without_new.save(tmp_path / "run"))
    items = pa.table({"item_id": [*NEW, "i04", "i05"], "title": ["x", "y", "z", "Thing i04", "w"]})
    vectors = on_a_circle(place([*NEW, "i04", "i05"]))
    with pytest.warns(UserWarning, match="1 of the items are in .* the first is 'i05'"):
        assert model.add_items(items, vectors=vectors) == 3
    assert model.catalogue.records()[model.catalogue.numbers(["i05"])[0]]["title"] == "Thing i05"


def test_new_items_keep_the_numbers_among_their_text(small_ring: Dataset):
    items = pa.table(
        {"item_id": small_ring.catalogue.ids, "title": ["x"] * 20, "year": list(range(1990, 2010))}
    )
    log = pa.table({"user_id": [1, 1, 1], "item_id": ["i01", "i02", "i03"], "timestamp": [1, 2, 3]})
    data = Dataset.from_tables(log, items, text=["title", "year"], candidates="catalogue")
    model = untrained(data, preset())
    model.brought = True
    new = pa.table({"item_id": ["new"], "title": ["y"], "year": [2024]})
    model.add_items(new, vectors=np.zeros((1, 16), np.float32))
    assert model.catalogue.records()[-1] == {"title": "y", "year": "2024"}


def test_items_may_come_one_by_one(without_new, tmp_path: Path):
    together, singly = (Recommender.load(without_new.save(tmp_path / "run")) for _ in range(2))
    new = table([f"n{number}" for number in range(CHUNKS + 20)])
    vectors = on_a_circle(np.linspace(0, ITEMS, len(new)))
    together.add_items(new, vectors=vectors)
    for row in range(len(new)):
        singly.add_items(new.slice(row, 1), vectors=vectors[row : row + 1])
        if row % 50 == 0:
            singly.recommend([["i04", "i05"]])
    assert singly.catalogue.sha256 == together.catalogue.sha256
    assert singly.titles == together.titles
    assert np.array_equal(singly.vectors, together.vectors)
    again = Recommender.load(singly.save(tmp_path / "again"))
    expected = together.recommend([["i04", "n7"]], k=50)
    for one in (singly, again):
        found = one.recommend([["i04", "n7"]], k=50)
        assert found.ids == expected.ids
        assert found.scores[0] == pytest.approx(expected.scores[0], abs=1e-5)


def test_old_items_keep_their_scores_when_others_are_added(without_new, tmp_path: Path):
    model = Recommender.load(without_new.save(tmp_path / "run"))
    before = model.recommend([["i04", "i05"]], k=57, include_seen=True)
    model.add_items(table(NEW), vectors=on_a_circle(place(NEW)))
    after = model.recommend([["i04", "i05"]], k=60, include_seen=True)
    scores = dict(zip(after.ids[0], after.scores[0], strict=True))
    assert [scores[name] for name in before.ids[0]] == pytest.approx(before.scores[0], abs=1e-5)


def test_a_history_may_hold_what_the_catalogue_does_not(without_new, tmp_path: Path):
    model = Recommender.load(without_new.save(tmp_path / "run"))
    vector = dict(zip(NEW, on_a_circle(place(NEW)), strict=True))
    histories = [["i05", "i06", "i07"], ["i21"], ["i03", "i04"], ["i44", "i09", "i44", "i07"]]
    found = model.recommend(histories, k=57, unlisted=vector)
    assert not any(set(NEW) & set(ids) for ids in found.ids)
    alone = model.recommend(histories[2:3], k=57)
    assert found.ids[2] == alone.ids[0]
    model.add_items(table(NEW), vectors=on_a_circle(place(NEW)))
    added = model.recommend(histories, k=57, exclude=NEW)
    assert found.ids == added.ids
    for row, other in zip(found.scores, added.scores, strict=True):
        assert row == pytest.approx(other, abs=1e-5)
    with pytest.raises(UnknownItemError, match="nowhere"):
        model.recommend([["i01", "nowhere", "x"]], unlisted={"x": on_a_circle([7])[0]})
    with pytest.raises(DataError, match="16"):
        model.recommend([["x"]], unlisted={"x": np.zeros(3, np.float32)})


@pytest.mark.parametrize("settings", [{"items": "id"}, {"items": "init"}])
def test_a_model_of_ids_alone_refuses_texts_in_histories(small_ring, settings: dict):
    chosen = replace(preset(), model=replace(preset().model, **settings))
    model = untrained(small_ring, chosen)
    assert not model.reads_text
    if settings["items"] == "id":
        with pytest.raises(ConfigError, match="does not score cold items"):
            model.cold_offset = 1.0
    with pytest.raises(ConfigError, match="ids alone"):
        model.recommend([["x"]], unlisted={"x": np.zeros(16, np.float32)})


def test_the_papers_model_reads_texts_in_histories_too(trained: Recommender):
    vector = trained.model.items.vectors[7].detach().numpy()
    known = trained.recommend([["i05", "i06", "i07"]], k=20, include_seen=True)
    unlisted = trained.recommend([["i05", "i06", "x"]], k=20, include_seen=True,
                                 unlisted={"x": vector})  # fmt: skip
    assert known.ids == unlisted.ids
    assert known.scores[0] == pytest.approx(unlisted.scores[0], abs=1e-5)


def test_retired_items_are_gone_from_every_list_and_come_back(without_new, tmp_path: Path):
    model = Recommender.load(without_new.save(tmp_path / "run"))
    model.retire_items(["i06", "i08"])
    for run in (model, Recommender.load(model.save(tmp_path / "run"))):
        lists = run.recommend([["i04", "i05"], []], k=60).ids
        assert all("i06" not in ids and "i08" not in ids for ids in lists)
        assert run.recommend([["i05", "i06"]], k=1).ids[0]  # a history may still hold it
        assert not {"i06", "i08"} & set(run.similar_items(["i05"], k=60).ids[0])
        assert run.recommend([["i05"]], candidates=["i06", "i09"]).ids == [["i09"]]
    model.retire_items(["i06"], back=True)
    assert "i06" in model.recommend([["i04", "i05"]], k=60).ids[0]
    with pytest.raises(UnknownItemError):
        model.retire_items(["nothing"])


@pytest.mark.parametrize(
    ("items", "vectors", "words"),
    [
        (table(["new"]), None, "brought"),
        (table(["new"]), on_a_circle([1, 2]), "shape"),
        (pa.table({"item_id": ["new"], "name": ["x"]}), on_a_circle([1]), "none of the text"),
    ],
)
def test_items_that_cannot_be_added_leave_all_as_it_was(without_new, items, vectors, words):
    before = len(without_new.catalogue)
    with pytest.raises(DataError, match=words):
        without_new.add_items(items, vectors=vectors)
    assert len(without_new.catalogue) == len(without_new.model.counts) == before


def test_text_of_new_items_is_encoded_as_the_others_was(small_ring, text_model: Path):
    settings = preset(text=TextConfig(str(text_model), max_tokens=8))
    stage = replace(settings.vector, epochs=1)
    model = Recommender.fit(
        small_ring, replace(settings, vector=stage), device="cpu", progress=False
    )
    model.add_items(pa.table({"item_id": ["new"], "title": ["Thing i03"]}))
    np.testing.assert_allclose(model.vectors[-1], model.vectors[3], atol=1e-6)
    with pytest.raises(DataError, match="no text"):
        model.add_items(pa.table({"item_id": ["blank"], "title": [""]}))


@pytest.mark.parametrize("settings", [{"items": "id"}, {"items": "init"}, {"head": "free"}])
def test_models_that_cannot_score_text_say_so(small_ring, text_model: Path, settings: dict):
    base = preset(text=TextConfig(str(text_model), max_tokens=8))
    chosen = replace(
        base, model=replace(base.model, **settings), vector=replace(base.vector, epochs=1)
    )
    model = Recommender.fit(small_ring, chosen, device="cpu", progress=False)
    with pytest.raises(ConfigError, match="cannot score"):
        model.add_items(pa.table({"item_id": ["new"], "title": ["Thing i03"]}))
    assert len(model.catalogue) == 20


def test_the_papers_model_says_that_it_cannot(trained: Recommender):
    with pytest.raises(ConfigError, match="cannot score"):
        trained.add_items(table(["new"]), vectors=np.zeros((1, 16), np.float32))


def test_the_offset_moves_cold_items_from_the_end_of_the_list_to_its_head(without_new, tmp_path):
    model = Recommender.load(without_new.save(tmp_path / "run"))
    model.add_items(table(NEW), vectors=on_a_circle(place(NEW)))
    model.cold_offset = 1000.0
    assert set(model.recommend([["i33", "i34"]], k=3).ids[0]) == set(NEW)
    model.cold_offset = -1000.0
    assert set(model.recommend([["i33", "i34"]], k=60).ids[0][-3:]) == set(NEW)


def on_a_ring(users: int, n_items: int, length: int) -> tuple[CausalLLM4Rec, Split]:
    """A model trained on a ring of items, and what it was trained by."""
    dataset = Dataset.from_tables(*ring_tables(users, n_items, length, seed=0), name="ring")
    split = leave_one_out(dataset.interactions)
    vectors = on_a_circle(np.arange(n_items))
    trained = Recommender.fit(
        dataset, preset(), split=split, vectors=vectors, device="cpu", progress=False
    )
    assert isinstance(trained.model, CausalLLM4Rec)
    return trained.model, split


@pytest.mark.parametrize("seen_filter", [True, False])
def test_calibration_gives_playing_items_their_share(seen_filter: bool):
    model, split = on_a_ring(300, ITEMS, 8)
    offset = calibrate_cold(model, split, seed=3, seen_filter=seen_filter)
    assert float(model.cold_offset) == pytest.approx(offset)
    playing = np.random.default_rng(3).permutation(ITEMS)[:12]
    matrix = model.matrix_without_ids(torch.from_numpy(playing))
    matrix[playing, -1] = offset
    log_items = split.interactions.items
    cases = split.valid
    users = encode_cases(model, log_items, cases, "cpu")
    seen = seen_items(log_items, cases.starts, cases.positions) if seen_filter else None
    found, _ = top_k(users, matrix, ITEMS // 10, seen)
    share = np.isin(found.numpy(), playing).mean()
    assert share == pytest.approx(np.isin(log_items[cases.positions], playing).mean(), abs=0.02)
    model.add_items(torch.from_numpy(on_a_circle(np.linspace(0, ITEMS, 200))))
    with_cold = calibrate_cold(model, split, seed=3, seen_filter=seen_filter)
    assert with_cold == pytest.approx(offset, abs=1e-3)


def test_targets_that_are_really_cold_do_not_calibrate():
    model, split = on_a_ring(300, ITEMS, 8)
    offset = calibrate_cold(model, split, seed=3)
    log = split.interactions
    new = np.full(100, ITEMS, log.items.dtype)  # of 100 users a new item comes last but one
    items = log.items.copy()
    items[split.valid.positions[:100]] = new
    ids = pa.concat_arrays([log.item_ids, pa.array(["new"], log.item_ids.type)])
    known = replace(split, valid=split.valid.take(np.arange(100, len(split.valid))))
    alone = calibrate_cold(model, known, seed=3)
    model.add_items(torch.from_numpy(on_a_circle([0.5])))
    with_new = replace(split, interactions=replace(log, items=items, item_ids=ids))
    assert calibrate_cold(model, with_new, seed=3) == pytest.approx(alone, abs=1e-3)
    assert offset != 0


@pytest.mark.parametrize("n_items", [6, 8, 12])
def test_in_a_tiny_catalogue_calibration_takes_no_extreme(n_items: int):
    model, split = on_a_ring(60, n_items, 5)
    cases = split.valid
    scores = encode_cases(model, split.interactions.items, cases, "cpu") @ model.item_matrix().T
    for seed in range(4):
        assert abs(calibrate_cold(model, split, seed)) < 5 * float(scores.detach().std())


def test_cold_and_warm_are_reported_apart_in_one_ranking():
    log, items = ring_tables(300, ITEMS, 8, seed=0)
    dataset = Dataset.from_tables(log, items, name="ring")
    chosen = preset(cold_share=0.1)
    vectors = on_a_circle(np.arange(ITEMS))
    model = Recommender.fit(dataset, chosen, vectors=vectors, device="cpu", progress=False)
    found = model.evaluate(dataset)
    assert "10 % of items cold" in found.protocol.split
    assert found.protocol.n_candidates == ITEMS
    assert found.slices["cold"]["cases"] + found.slices["warm"]["cases"] == len(found.cases)
    assert found.metrics["cold_targets"] == found.slices["cold"]["cases"] / len(found.cases)
    assert 0 < found.metrics["cold@10"] < 3 * found.metrics["cold_targets"]
    split = cold_start(leave_one_out(dataset.interactions), 0.1, 0)
    popular = evaluate(Popularity(torch.from_numpy(split.train_counts())), dataset, split)
    assert found.slices["cold"]["recall@10"] > 0.6 > popular.slices["cold"]["recall@10"]
    assert found.slices["warm"]["recall@10"] > 0.9


def test_an_item_that_becomes_cold_brings_nothing_that_it_learnt():
    log, items = ring_tables(300, ITEMS, 8, seed=0)
    short = preset(vector=replace(preset().vector, epochs=2))
    how = {"vectors": on_a_circle(np.arange(ITEMS)), "device": "cpu", "progress": False}
    before = Recommender.fit(Dataset.from_tables(log, items), short, **how)
    gone = pa.compute.is_in(log["item_id"], value_set=items["item_id"][:6].combine_chunks())
    later = Dataset.from_tables(log.filter(pa.compute.invert(gone)), items, candidates="catalogue")
    after = Recommender.fit(later, short, init_from=before, **how)
    cold = torch.from_numpy(after.counts == 0)
    assert cold.sum() == 6
    assert before.model.items.ids[cold].abs().sum() > 0
    assert after.model.items.ids[cold].abs().sum() == 0


def test_nearest_text_ranks_the_neighbours_of_the_last_item():
    model = NearestText(torch.from_numpy(on_a_circle(np.arange(ITEMS))))
    users = model.user_vectors(torch.tensor([[5, 9, 30], [12, 0, 0]]),
                               torch.tensor([[True] * 3, [True, False, False]]))  # fmt: skip
    found, _ = top_k(users, model.item_matrix(), 3)
    assert found[:, 0].tolist() == [30, 12]
    assert set(found[0].tolist()) == {29, 30, 31} and set(found[1].tolist()) == {11, 12, 13}


def test_repeats_work_from_validation_to_recommendation():
    """Histories that end as they began: what comes next was always seen before."""
    histories = [[start, (start + 1) % 30] * 3 for start in range(30) for _ in range(8)]
    log = pa.table(
        {
            "user_id": np.repeat(np.arange(len(histories)), 6),
            "item_id": [f"i{item:02}" for history in histories for item in history],
            "timestamp": np.tile(np.arange(6) * 10 + 1_700_000_000, len(histories)),
        }
    )
    dataset = Dataset.from_tables(log, table([f"i{number:02}" for number in range(30)]))
    vectors = on_a_circle(np.arange(30))
    stage = replace(preset().vector, epochs=60)
    model = Recommender.fit(
        dataset, preset(repeats=True, vector=stage), vectors=vectors, device="cpu", progress=False
    )
    history = [["i02", "i03", "i02"]]
    assert "i03" in model.recommend(history, k=5).ids[0]
    assert not {"i02", "i03"} & set(model.recommend(history, k=30, include_seen=False).ids[0])
    found = model.evaluate(dataset)
    assert not found.protocol.seen_filter
    assert found.repeats == len(histories)
    ranks, _ = rank_cases(
        model.model, dataset.interactions.items, leave_one_out(dataset.interactions).test,
        seen_filter=False,
    )  # fmt: skip
    assert (ranks <= 5).mean() > 0.9


def going_on(kind: str) -> tuple[Preset, Preset]:
    """Settings to train with first, and settings to go on with for one short epoch."""
    first = preset() if kind == "causal" else tiny_preset()
    assert first.vector is not None
    return first, replace(first, vector=replace(first.vector, epochs=1, lr=1e-6, warmup=0.0))


@pytest.mark.parametrize("kind", ["causal", "lite"])
def test_going_on_starts_where_it_was_left_and_learns_the_new(kind: str):
    log, items = ring_tables(300, ITEMS, 8, seed=0)
    old = pa.array([name not in NEW for name in log["item_id"].to_pylist()])
    before = Dataset.from_tables(log.filter(old), name="before")
    whole = Dataset.from_tables(log, items, name="whole")
    first, briefly = going_on(kind)
    vectors = {
        name: on_a_circle(place(dataset.catalogue.ids.to_pylist()))
        for name, dataset in (("before", before), ("whole", whole))
    }
    start = Recommender.fit(before, first, vectors=vectors["before"], device="cpu", progress=False)
    left = start.evaluate(before, part="valid").metrics["recall@10"]

    still = Recommender.fit(
        before, briefly, init_from=start, vectors=vectors["before"], device="cpu", progress=False
    )
    assert still.evaluate(before, part="valid").metrics["recall@10"] >= left - 0.02

    longer = replace(first, vector=replace(first.vector, epochs=15))
    learnt = Recommender.fit(
        whole, longer, init_from=start, vectors=vectors["whole"], device="cpu", progress=False
    )
    found = learnt.recommend([["i05", "i06"], ["i19", "i20"], ["i42", "i43"]], k=5).ids
    assert [name in ids for name, ids in zip(NEW, found, strict=True)] == [True] * 3


def test_going_on_from_another_shape_is_refused(without_new):
    log, items = ring_tables(40, 20, 6, seed=0)
    other = preset()
    other = replace(other, model=replace(other.model, shape={"width": 16, "blocks": 1}))
    with pytest.raises(ConfigError, match=r"differs: model\.shape\.width was"):
        Recommender.fit(
            Dataset.from_tables(log, items), other, init_from=without_new,
            vectors=on_a_circle(np.arange(20)), device="cpu", progress=False,
        )  # fmt: skip
