import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lite_llm4rec import stages, store
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import StoreError
from lite_llm4rec.models import S3Rec, S3RecConfig
from lite_llm4rec.preset import Preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.text.encoder import ItemLLM, encode_texts, load_tokenizer
from tests.conftest import ring_with_kinds, text_preset

STAGE = StageConfig(strategy="all", epochs=2, batch=40, lr=5e-3)
TITLES = [f"Thing i{number:02}" for number in range(20)]


def fit(dataset: Dataset, preset: Preset, folder: Path | None = None) -> Recommender:
    return Recommender.fit(dataset, preset, folder=folder, device="cpu", progress=False)


def encode(llm: ItemLLM, folder: Path) -> np.ndarray:
    return encode_texts(llm, load_tokenizer(folder), TITLES, progress=False)


def table(recommender: Recommender) -> np.ndarray:
    vectors: np.ndarray = recommender.model.items.vectors.detach().numpy()
    return vectors


@pytest.fixture(scope="module")
def joint(small_ring: Dataset, text_model: Path) -> Recommender:
    return fit(small_ring, text_preset(text_model, joint=STAGE, vector=None))


def test_the_table_after_the_joint_stage_is_what_the_tuned_item_llm_says(
    joint: Recommender, text_model: Path
):
    before = encode(ItemLLM.load(text_model), text_model)
    assert joint.item_llm is not None
    after = encode(joint.item_llm, text_model)
    np.testing.assert_allclose(table(joint), after, atol=1e-6)
    np.testing.assert_allclose(joint.vectors, before, atol=1e-6)
    assert np.abs(after - before).max() > 0.01
    assert joint.model.text is None


def test_one_row_per_stage(joint: Recommender, small_ring: Dataset, text_model: Path):
    both = fit(small_ring, text_preset(text_model, joint=STAGE, vector=STAGE))
    assert [row["stage"] for row in both.stages] == ["joint", "vector"]
    assert [row["epochs"] for row in both.stages] == [2, 2]
    assert [row["stage"] for row in joint.stages] == ["joint"]
    only = fit(small_ring, text_preset(text_model, vector=STAGE))
    assert [row["stage"] for row in only.stages] == ["vector"]
    assert only.item_llm is None
    assert both.stages[0]["best"] == joint.stages[0]["best"]
    for recommender in (both, joint, only):
        found = recommender.evaluate(small_ring, part="valid").metrics["recall@10"]
        assert recommender.stages[-1]["best"] == pytest.approx(found)
    assert [line.split(",")[:2] for line in both.curves.splitlines()[1:]] == [
        ["joint", "0"],
        ["joint", "1"],
        ["vector", "0"],
        ["vector", "1"],
    ]


def test_the_vector_stage_goes_on_from_the_joint_stages_table(
    joint: Recommender, small_ring: Dataset, text_model: Path
):
    still = StageConfig(strategy="all", epochs=1, batch=40, lr=1e-12)
    both = fit(small_ring, text_preset(text_model, joint=STAGE, vector=still))
    np.testing.assert_allclose(table(both), table(joint), atol=1e-6)
    np.testing.assert_allclose(
        both.model.head.weight.detach(), joint.model.head.weight.detach(), atol=1e-6
    )


def test_the_joint_stage_trains_no_table_and_the_vector_stage_does(
    small_ring: Dataset, text_model: Path, monkeypatch: pytest.MonkeyPatch
):
    learnt: dict[str, dict[str, bool]] = {}
    real = stages.fit

    def spy(model: Any, *arguments: Any, **options: Any) -> Any:
        learnt[options["name"]] = {
            name: value.requires_grad for name, value in model.named_parameters()
        }
        return real(model, *arguments, **options)

    monkeypatch.setattr(stages, "fit", spy)
    once = StageConfig(strategy="all", epochs=1, batch=40, train_head=False)
    kept = StageConfig(strategy="all", epochs=1, batch=40, train_items=False)
    fit(small_ring, text_preset(text_model, joint=once, vector=kept))
    fit(small_ring, text_preset(text_model, vector=STAGE))
    assert not learnt["joint stage"]["items.vectors"]
    assert any(on for name, on in learnt["joint stage"].items() if name.startswith("text."))
    assert not learnt["joint stage"]["head.weight"]
    assert all(learnt["vector stage"].values())


@pytest.mark.parametrize("fixed", [True, False])
def test_frozen_items_stay_in_the_vector_stage(fixed: bool, small_ring: Dataset, text_model: Path):
    stage = StageConfig(strategy="all", epochs=1, batch=40, train_items=not fixed)
    found = fit(small_ring, text_preset(text_model, vector=stage))
    assert np.array_equal(table(found), found.vectors) == fixed


def test_a_stage_that_is_done_is_not_done_again(
    small_ring: Dataset, text_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    preset = text_preset(text_model, joint=STAGE, vector=STAGE)
    whole = fit(small_ring, preset)
    called: list[str] = []
    real = stages.fit

    def die_in_the_vector_stage(*arguments: Any, **options: Any) -> Any:
        called.append(options["name"])
        if len(called) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(stages, "fit", die_in_the_vector_stage)
    with pytest.raises(KeyboardInterrupt):
        fit(small_ring, preset, tmp_path)
    resumed = fit(small_ring, preset, tmp_path)
    again = fit(small_ring, preset, tmp_path)
    assert called == ["joint stage", "vector stage", "vector stage"]
    for found in (resumed, again):
        assert torch.equal(found.model.head.weight, whole.model.head.weight)
        assert np.array_equal(table(found), table(whole))
        assert [row["epochs"] for row in found.stages] == [2, 2]
        assert [row["best"] for row in found.stages] == [row["best"] for row in whole.stages]
        assert found.curves == whole.curves
        assert found.item_llm is not None
    assert [row["seconds"] for row in again.stages] == [row["seconds"] for row in resumed.stages]
    assert all(row["seconds"] > 0 for row in again.stages)


def test_the_tuned_item_llm_is_saved_with_the_run(
    joint: Recommender, text_model: Path, tmp_path: Path
):
    folder = joint.save(tmp_path / "run")
    saved = ItemLLM.load(folder / store.ITEM_LLM)
    np.testing.assert_allclose(encode(saved, text_model), table(joint), atol=1e-6)
    history = [["i03", "i04"]]
    assert Recommender.load(folder).recommend(history) == joint.recommend(history)


def test_curves_have_the_epochs_that_were_validated(small_ring: Dataset, text_model: Path):
    stage = StageConfig(strategy="all", epochs=4, batch=40, validate_every=2)
    found = fit(small_ring, text_preset(text_model, vector=stage))
    rows = [line.split(",") for line in found.curves.splitlines()[1:]]
    assert [row[:2] for row in rows] == [["vector", "1"], ["vector", "3"]]
    assert all(float(value) > 0 for row in rows for value in row[2:])


def test_results_are_json(joint: Recommender):
    assert json.loads(json.dumps(joint.stages)) == joint.stages


def test_the_tuned_item_llm_is_loaded_and_saved_again(joint: Recommender, tmp_path: Path):
    joint.save(tmp_path / "first")
    loaded = Recommender.load(tmp_path / "first")
    loaded.save(tmp_path / "second")
    assert joint.item_llm is not None and loaded.item_llm is not None
    tuned = encode_texts(joint.item_llm, joint.item_llm.tokenizer, TITLES, progress=False)
    again = encode_texts(loaded.item_llm, loaded.item_llm.tokenizer, TITLES, progress=False)
    assert np.array_equal(tuned, again)
    files = [path for path in (tmp_path / "first").rglob("*") if path.is_file()]
    assert {"model.safetensors", "tokenizer.json", "modules.json"} <= {
        path.name for path in files if "item_llm" in path.parts
    }
    assert len(files) == sum(path.is_file() for path in (tmp_path / "second").rglob("*"))
    for path in files:
        other = tmp_path / "second" / path.relative_to(tmp_path / "first")
        assert other.read_bytes() == path.read_bytes(), path


def test_a_damaged_item_llm_is_named(joint: Recommender, tmp_path: Path):
    folder = joint.save(tmp_path / "run")
    (folder / store.ITEM_LLM / "model.safetensors").unlink()
    with pytest.raises(StoreError, match="item_llm is damaged"):
        Recommender.load(folder)


def pretrained_preset(dropout: float = 0.0) -> Preset:
    model = S3RecConfig(width=32, blocks=1, inner=64, history_length=5, dropout=dropout)
    before = StageConfig(strategy="all", epochs=3, batch=64, lr=1e-3, warmup=0.0)
    after = StageConfig(strategy="positions", epochs=60, batch=64, lr=1e-2, patience=60)
    return Preset("tiny", model=model, pretrain=before, vector=after)


def test_pretraining_comes_first_and_says_only_what_it_cost(monkeypatch: pytest.MonkeyPatch):
    dataset, learnt, real = ring_with_kinds(), {}, stages.fit

    def spy(model: Any, *arguments: Any, **options: Any) -> Any:
        learnt[options["name"]] = {
            name for name, value in model.named_parameters() if not value.requires_grad
        }
        return real(model, *arguments, **options)

    monkeypatch.setattr(stages, "fit", spy)
    found = fit(dataset, pretrained_preset())
    before, after = found.stages
    assert (before["stage"], before["epochs"]) == ("pretrain", 3)
    assert before["best"] is None
    assert after["stage"] == "vector" and after["best"] > 0.9
    assert {line.split(",")[0] for line in found.curves.splitlines()[1:]} == {"vector"}
    assert learnt["pretrain stage"] == set()
    assert {name.split(".")[0] for name in learnt["vector stage"]} == {"attributes", "pretext"}


@pytest.mark.parametrize(("stage", "step"), [("pretrain", 30), ("vector", 5)])
def test_a_run_killed_in_either_stage_ends_where_the_whole_one_does(
    stage: str, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    dataset, preset = ring_with_kinds(), pretrained_preset(dropout=0.3)
    preset = replace(preset, vector=replace(preset.vector, epochs=3))
    whole = fit(dataset, preset).model.state_dict()
    loss = {"pretrain": "pretraining_loss", "vector": "training_loss"}[stage]
    real, steps = getattr(S3Rec, loss), []

    def die(model: S3Rec, batch: Any) -> torch.Tensor:
        steps.append(batch)
        if len(steps) == step:
            raise KeyboardInterrupt
        return real(model, batch)

    monkeypatch.setattr(S3Rec, loss, die)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(dataset, preset, tmp_path)
    resumed = fit(dataset, preset, tmp_path).model.state_dict()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
