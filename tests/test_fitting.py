"""Training through `Recommender.fit`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from lite_llm4rec.data.attributes import read_attributes
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.split import last_n, leave_one_out
from lite_llm4rec.errors import ConfigError, DataError, StoreError
from lite_llm4rec.models import (
    MODELS,
    BERT4RecConfig,
    CausalConfig,
    FDSAConfig,
    GenerativeConfig,
    LiteConfig,
    Popularity,
    S3RecConfig,
    SASRecConfig,
)
from lite_llm4rec.preset import Preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.text.encoder import ItemLLM, encode_texts, load_tokenizer
from tests.conftest import (
    drawn_vectors,
    elsewhere,
    ring_tables,
    ring_with_kinds,
    text_preset,
    tiny_preset,
    untrained,
)


def test_what_is_no_data_set_is_refused(ring: Dataset):
    with pytest.raises(DataError, match=r"fit takes a Dataset, not a str"):
        Recommender.fit("log.csv", tiny_preset())  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"evaluate takes a Dataset, not a str"):
        untrained(ring).evaluate("log.csv")  # type: ignore[arg-type]


def test_no_time_to_train_is_refused(ring: Dataset):
    with pytest.raises(ConfigError, match=r"In 0 s nothing is learnt[\s\S]*minutes"):
        Recommender.fit(ring, tiny_preset(), vectors=drawn_vectors(60), max_seconds=0.0)


def test_a_wrong_setting_is_told_in_python_too(ring: Dataset):
    preset = tiny_preset(model=GenerativeConfig(backbone="t5", numbering="Random"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"numbering"):
        Recommender.fit(ring, preset)
    preset = tiny_preset(vector=StageConfig(strategy="all", schedule="cosine"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"schedule"):
        Recommender.fit(ring, preset, vectors=drawn_vectors(60))


def test_brought_vectors_of_a_wrong_kind_are_refused(small_ring: Dataset):
    good = drawn_vectors(20)
    broken = good.copy()
    broken[3, 2] = np.nan
    for vectors, words in (
        (good[:19], r"shape \(19, 16\); 20 rows"),
        (good[0], r"shape \(16,\); 20 rows"),
        (broken, "not finite"),
    ):
        with pytest.raises(DataError, match=words):
            Recommender.fit(small_ring, tiny_preset(), vectors=vectors, progress=False)


def test_brought_vectors_leave_nothing_for_a_joint_stage(small_ring: Dataset, text_model: Path):
    preset = text_preset(text_model, joint=StageConfig(epochs=1))
    with pytest.raises(ConfigError, match="Brought item vectors cannot go with a joint stage"):
        Recommender.fit(small_ring, preset, vectors=drawn_vectors(20), progress=False)


def test_brought_vectors_may_be_any_array_of_numbers(small_ring: Dataset):
    preset = tiny_preset(vector=StageConfig(epochs=1))
    vectors = drawn_vectors(20)
    for given_vectors in (vectors.astype(np.float64), torch.from_numpy(vectors), vectors.tolist()):
        found = Recommender.fit(
            small_ring, preset, vectors=given_vectors, device="cpu", progress=False
        )
        assert np.array_equal(found.vectors, vectors)
        assert found.vectors.dtype == np.float32


def test_nothing_to_validate_on_is_told_before_training(small_ring: Dataset):
    split = leave_one_out(small_ring.interactions)
    blind = replace(split, name="blind", valid=split.valid.take(np.arange(0)))
    with pytest.raises(DataError, match="blind has no validation targets"):
        Recommender.fit(small_ring, tiny_preset(), split=blind, vectors=drawn_vectors(20))


def test_a_split_of_interactions_that_number_the_items_otherwise_is_refused():
    log, items = ring_tables(40, 20, 6, seed=0)
    data = Dataset.from_tables(log, items.take(np.arange(20)[::-1]))
    split = leave_one_out(Interactions.from_table(log))
    with pytest.raises(DataError, match=r"leave_one_out is of interactions that number the items"):
        Recommender.fit(data, tiny_preset(), split=split, vectors=drawn_vectors(20))


POSITIONS = StageConfig(strategy="positions")


@pytest.mark.parametrize(
    "preset",
    [
        tiny_preset(),
        Preset(model=SASRecConfig(width=16), vector=POSITIONS),
        Preset(model=S3RecConfig(width=16), pretrain=POSITIONS, vector=POSITIONS),
    ],
    ids=lambda preset: preset.model.kind,
)
def test_nothing_to_learn_from_is_told_before_training(preset: Preset, tmp_path: Path):
    dataset = ring_with_kinds(40, 20, 3)
    how: Any = {"vectors": drawn_vectors(20), "device": "cpu", "progress": False}
    with pytest.raises(DataError, match="leave_one_out leaves no user two interactions to train"):
        Recommender.fit(dataset, preset, folder=tmp_path / "state", **how)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["settings.json"]


def test_items_held_out_must_be_new_to_the_model_gone_on_from(small_ring: Dataset):
    how: Any = {"vectors": drawn_vectors(20), "device": "cpu", "progress": False}
    briefly = tiny_preset(vector=StageConfig(epochs=1))
    apart = replace(briefly, cold_share=0.2)
    knowing = Recommender.fit(small_ring, briefly, **how)
    with pytest.raises(ConfigError, match="has learnt 4 of the items that cold_share holds out"):
        Recommender.fit(small_ring, apart, init_from=knowing, **how)
    ignorant = Recommender.fit(small_ring, apart, **how)
    again = Recommender.fit(small_ring, apart, init_from=ignorant, **how)
    assert (again.counts == 0).sum() == 4


def test_ids_alone_are_enough_without_an_items_table():
    log, _ = ring_tables(40, 20, 6, seed=0)
    dataset = Dataset.from_tables(log)
    assert dataset.catalogue.without_text().all()
    with pytest.raises(DataError, match=r'No item has any text[\s\S]*--set model.items="id"'):
        Recommender.fit(dataset, tiny_preset(), progress=False)
    settings_of_model = LiteConfig(**{**vars(tiny_preset().model), "items": "id", "id_width": 24})
    preset = tiny_preset(model=settings_of_model)
    recommender = Recommender.fit(dataset, preset, device="cpu", progress=False)
    assert recommender.vectors.shape == (20, 0)
    found = recommender.recommend([["i03", "i04"]], k=3)
    assert "i05" in found.ids[0]
    assert found.titles == found.ids


@pytest.mark.parametrize("config", [FDSAConfig, S3RecConfig])
def test_attributes_go_with_the_model(config: Any, tmp_path: Path):
    dataset = ring_with_kinds(40, 20, 6)
    stage = StageConfig(strategy="positions", epochs=2, batch=40)
    preset = Preset(model=config(width=32, history_length=5), vector=stage)
    found = Recommender.fit(dataset, preset, device="cpu", progress=False)
    assert found.model.attributes.multi_hot(torch.tensor([3])).tolist() == [[0, 0, 0, 1, 0]]
    loaded = Recommender.load(found.save(tmp_path / "run"))
    histories = [["i03", "i04", "i05"]]
    assert loaded.recommend(histories) == found.recommend(histories)
    assert torch.equal(loaded.model.attributes.numbers, found.model.attributes.numbers)


@pytest.mark.parametrize("config", [FDSAConfig, S3RecConfig])
def test_a_model_of_attributes_needs_some(config: Any, small_ring: Dataset):
    preset = Preset(model=config(), vector=StageConfig(strategy="positions"))
    with pytest.raises(ConfigError, match=r"learns from the items' attributes[\s\S]*genres"):
        Recommender.fit(small_ring, preset, device="cpu", progress=False)


def test_going_on_from_a_run_of_other_items_is_told(small_ring: Dataset):
    quick: dict[str, Any] = {"device": "cpu", "progress": False}
    preset = tiny_preset(model=SASRecConfig(width=16, blocks=1, history_length=5))
    old = Recommender.fit(small_ring, preset, **quick)
    tables = []
    for table in ring_tables(40, 20, 6, seed=0):
        numbers = [int(name[1:]) for name in table["item_id"].to_pylist()]
        place = table.column_names.index("item_id")
        tables.append(table.set_column(place, "item_id", pa.array(numbers)))
    renamed = Dataset.from_tables(*tables)
    with pytest.warns(UserWarning, match="none of the 20 items.*string, as 'i00'.*int64, as 0"):
        Recommender.fit(renamed, preset, init_from=old, **quick)


@pytest.mark.parametrize("config", [BERT4RecConfig, FDSAConfig, S3RecConfig])
def test_going_on_with_other_items_and_attributes(config: Any):
    """Nothing is learnt in the second run, so that what it began with can be seen."""
    first = ring_with_kinds(40, 20, 6)
    log, items = ring_tables(40, 24, 6, seed=1)
    kinds = [f"kind {number % 6}" for number in range(24)]
    second = Dataset.from_tables(log, items.append_column("kind", pa.array(kinds)).slice(2))
    assert len(second.catalogue) == 24
    stage = StageConfig(strategy="positions", epochs=2, batch=40)
    preset = Preset(model=config(width=32, history_length=5), vector=stage)
    old = Recommender.fit(first, preset, device="cpu", progress=False)
    still = replace(preset, vector=replace(stage, epochs=1, lr=1e-12, warmup=0.0))
    new = Recommender.fit(second, still, init_from=old, device="cpu", progress=False)
    for name in ("i05", "i19"):
        place, before = new.catalogue.lookup([name])[0], old.catalogue.lookup([name])[0]
        torch.testing.assert_close(new.model.items[place], old.model.items[before])
    if config is not BERT4RecConfig:
        names = read_attributes(new.catalogue).names
        places = read_attributes(old.catalogue).lookup(names)
        assert sorted(places) == [-1, 0, 1, 2, 3, 4]
        known = places >= 0
        vectors, before = new.model.attributes.vectors, old.model.attributes.vectors
        torch.testing.assert_close(vectors[known], before[places[known]])


def test_a_folder_is_gone_on_with_by_the_same_training_alone(small_ring: Dataset, tmp_path: Path):
    preset, folder = tiny_preset(), tmp_path / "state"
    how: dict[str, Any] = {"vectors": drawn_vectors(20), "device": "cpu", "progress": False}
    first = Recommender.fit(small_ring, preset, folder=folder, **how)
    again = Recommender.fit(small_ring, preset, folder=folder, **how)
    assert again.recommend([["i03"]], k=20) == first.recommend([["i03"]], k=20)
    with pytest.raises(ConfigError, match=r"preset\.seed was 0 and is 1 now[\s\S]*another folder"):
        Recommender.fit(small_ring, replace(preset, seed=1), folder=folder, **how)
    other = Dataset.from_tables(*ring_tables(30, 20, 6, seed=3), name=small_ring.name)
    with pytest.raises(ConfigError, match="its interactions were others"):
        Recommender.fit(other, preset, folder=folder, **how)
    with pytest.raises(ConfigError, match="it went on from another run"):
        Recommender.fit(small_ring, preset, folder=folder, init_from=first, **how)
    with pytest.raises(ConfigError, match=r"was without a limit, is 5 minutes now \(--minutes"):
        Recommender.fit(small_ring, preset, folder=folder, max_seconds=300.0, **how)
    with pytest.raises(ConfigError, match="split was 'leave_one_out'"):
        split = last_n(small_ring.interactions, 2)
        Recommender.fit(small_ring, preset, folder=folder, split=split, **how)


def test_a_folder_of_another_training_or_of_one_that_says_nothing(small_ring, tmp_path: Path):
    preset, folder = tiny_preset(), tmp_path / "state"
    how: dict[str, Any] = {"vectors": drawn_vectors(20), "device": "cpu", "progress": False}
    with elsewhere(folder), pytest.raises(StoreError, match="Another process"):
        Recommender.fit(small_ring, preset, folder=folder, **how)
    Recommender.fit(small_ring, preset, folder=folder, **how)
    (folder / "settings.json").unlink()
    with pytest.raises(ConfigError, match=r"settings or data: it has no settings\.json"):
        Recommender.fit(small_ring, preset, folder=folder, **how)


def test_a_model_with_nothing_to_learn_is_made_and_measured(
    small_ring: Dataset, monkeypatch: pytest.MonkeyPatch
):
    class Counts(Popularity):
        history_length = 5

        @classmethod
        def create(cls, config: Any, facts: Any) -> "Counts":
            assert facts.split is not None
            return cls(facts.counts)

    monkeypatch.setitem(MODELS, "lite", Counts)
    preset = tiny_preset(vector=StageConfig(epochs=1))
    vectors = drawn_vectors(20)
    found = Recommender.fit(small_ring, preset, vectors=vectors, device="cpu", progress=False)
    (stage,) = found.stages
    assert (stage["epochs"], stage["seconds"], stage["best"]) == (0, 0.0, None)


def test_going_on_takes_the_settings_of_the_run(small_ring: Dataset, tmp_path: Path):
    quiet: dict[str, Any] = {"device": "cpu", "progress": False}
    preset = tiny_preset(seed=7, vector=StageConfig(strategy="all", epochs=1, batch=40))
    first = Recommender.fit(small_ring, preset, vectors=drawn_vectors(20), **quiet)
    first.retire_items(["i03"])
    run = first.save(tmp_path / "run")
    again = Recommender.fit(small_ring, init_from=run, vectors=drawn_vectors(20), **quiet)
    assert again.preset == preset
    assert np.flatnonzero(again.retired).tolist() == again.catalogue.numbers(["i03"]).tolist()
    with pytest.raises(ConfigError, match=r"vectors of the run to go on from were brought"):
        Recommender.fit(small_ring, init_from=first, **quiet)
    longer = replace(preset, model=replace(preset.model, history_length=9))
    sasrec = replace(preset, model=SASRecConfig(width=16, heads=1, blocks=1))
    with pytest.raises(ConfigError, match=r"differs: model\.kind was 'lite' and is 'sasrec' now"):
        Recommender.fit(small_ring, sasrec, init_from=first, **quiet)
    assert (
        Recommender.fit(
            small_ring, longer, init_from=first, vectors=drawn_vectors(20), **quiet
        ).preset
        == longer
    )
    assert repr(first) == "Recommender('tiny', 20 items)"
    with pytest.raises(
        ConfigError, match=r"split is 'last_3'[\s\S]*last_n\(data.interactions, 3\) makes one"
    ):
        Recommender.fit(small_ring, preset, split="last_3", **quiet)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"part is 'train'[\s\S]*valid"):
        first.evaluate(small_ring, part="train")  # type: ignore[arg-type]


def test_going_on_keeps_the_item_llm_that_was_tuned(small_ring: Dataset, text_model: Path):
    stage = StageConfig(strategy="all", epochs=3, batch=40, lr=5e-3)
    still = replace(stage, epochs=1, lr=1e-12, warmup=0.0)
    quiet: dict[str, Any] = {"device": "cpu", "progress": False}
    tuning = text_preset(text_model, joint=stage, vector=None)
    old = Recommender.fit(small_ring, tuning, **quiet)

    def encoded(llm: Any, texts: list[str]) -> np.ndarray:
        return encode_texts(llm, load_tokenizer(text_model), texts, progress=False)

    titles = [f"Thing i{number:02}" for number in range(20)]
    tuned, public = encoded(old.item_llm, titles), encoded(ItemLLM.load(text_model), titles)
    assert abs(tuned - public).max() > 0.1
    jointly = Recommender.fit(small_ring, replace(tuning, joint=still), init_from=old, **quiet)
    table = jointly.model.items.vectors.detach().numpy()
    np.testing.assert_allclose(table, tuned, atol=1e-5)

    log, items = small_ring.interactions, small_ring.catalogue
    new = pa.table({"item_id": [*items.ids.to_pylist(), "i20"], "title": [*titles, "Thing i20"]})
    events = pa.table({"user_id": log.users, "item_id": items.ids.take(log.items)})
    larger = Dataset.from_tables(
        events.append_column("timestamp", pa.array(range(len(log)))), new, candidates="catalogue"
    )
    after = Recommender.fit(larger, text_preset(text_model, vector=still), init_from=old, **quiet)
    row = after.model.items.vectors.detach().numpy()[after.catalogue.lookup(["i20"])[0]]
    np.testing.assert_allclose(row, encoded(old.item_llm, ["Thing i20"])[0], atol=1e-5)
    assert after.item_llm is old.item_llm


def test_new_items_start_where_their_text_is_among_ids_that_began_as_text():
    log, items = ring_tables(60, 40, 6, seed=0)
    twins = pa.table(
        {"item_id": [f"n{i}" for i in range(5)], "title": [f"New {i}" for i in range(5)]}
    )
    vectors = drawn_vectors(40)
    config = CausalConfig(shape={"width": 8, "blocks": 1}, items="init", history_length=5)
    still = StageConfig(strategy="positions", epochs=1, batch=64, lr=1e-12)
    how: dict[str, Any] = {"device": "cpu", "progress": False}
    preset = Preset(model=config, vector=still)
    old = Recommender.fit(Dataset.from_tables(log, items), preset, vectors=vectors, **how)
    larger = Dataset.from_tables(log, pa.concat_tables([items, twins]), candidates="catalogue")
    both = np.concatenate([vectors, vectors[:5]])
    new = Recommender.fit(larger, preset, vectors=both, init_from=old, **how)
    ids, places = new.model.items.ids.detach(), new.catalogue.lookup([f"n{i}" for i in range(5)])
    copied = new.catalogue.lookup(items["item_id"].to_pylist()[:5])
    torch.testing.assert_close(ids[places], ids[copied], atol=1e-4, rtol=1e-3)


def test_training_twice_gives_the_same_model(small_ring: Dataset, text_model: Path):
    preset = text_preset(text_model)
    first, second = (
        Recommender.fit(small_ring, preset, device="cpu", progress=False) for _ in range(2)
    )
    assert first.recommend([["i03"]], k=20) == second.recommend([["i03"]], k=20)
    other = Recommender.fit(
        small_ring, text_preset(text_model, seed=1), device="cpu", progress=False
    )
    assert other.recommend([["i03"]], k=20) != first.recommend([["i03"]], k=20)


def test_the_catalogues_text_is_encoded_into_the_start_vectors(
    small_ring: Dataset, text_model: Path
):
    recommender = Recommender.fit(small_ring, text_preset(text_model), device="cpu", progress=False)
    expected = encode_texts(
        ItemLLM.load(text_model),
        load_tokenizer(text_model),
        [f"Thing i{number:02}" for number in range(20)],
        progress=False,
    )
    np.testing.assert_allclose(recommender.vectors, expected, atol=1e-6)
    learnt = recommender.model.items.vectors.detach().numpy()
    assert not np.allclose(learnt, recommender.vectors)
