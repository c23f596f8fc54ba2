import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError

from lite_llm4rec import fitting, stages, store
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.errors import (
    ConfigError,
    Interrupted,
    LiteLLM4RecError,
    StoreError,
    TrainingError,
)
from lite_llm4rec.evaluate import evaluate
from lite_llm4rec.preset import Preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import read_records
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.train import Task
from lite_llm4rec.training_run import TrainingRun, train_run
from tests.conftest import elsewhere, ring_tables, text_preset

STAGE = StageConfig(strategy="all", epochs=2, batch=40, lr=5e-3)


@pytest.fixture
def preset(text_model: Path) -> Preset:
    return text_preset(text_model, vector=STAGE)


def run(dataset: Dataset, preset: Preset, out: Path, **options: Any) -> TrainingRun:
    return train_run(dataset, preset, out, device="cpu", progress=False, **options)


def interrupt(monkeypatch: pytest.MonkeyPatch, *arguments: Any, trained: bool = True) -> None:
    """Begin a run that is stopped after training, or before it."""

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((fitting, "write_curves") if trained else (stages, "fit")), stop)
        with pytest.raises(KeyboardInterrupt):
            run(*arguments)


def test_a_run_is_measured_saved_and_leaves_nothing_else(
    small_ring: Dataset, preset: Preset, tmp_path: Path
):
    result = run(small_ring, preset, tmp_path / "runs" / "one")
    assert list((tmp_path / "runs").iterdir()) == [tmp_path / "runs" / "one"]
    loaded = Recommender.load(tmp_path / "runs" / "one")
    assert [found.protocol.part for found in loaded.evaluations] == ["valid", "test"]
    again = evaluate(loaded.model, small_ring, leave_one_out(small_ring.interactions))
    assert again.metrics == result.evaluation.metrics == loaded.evaluations[1].metrics
    assert again.cases.equals(store.read_cases(tmp_path / "runs" / "one"))
    assert result.evaluation.leaks == []
    assert result.seconds == sum(row["seconds"] for row in result.stages) > 0


def test_popularity_is_measured_beside_it(small_ring: Dataset, preset: Preset, tmp_path: Path):
    two = replace(preset, joint=replace(STAGE, epochs=1))
    result = run(small_ring, two, tmp_path / "run")
    assert [name for name, _ in result.rows()] == [
        "popularity",
        "nearest text",
        "Lite-LLM4Rec",
    ]
    assert result.rows()[0][1] == result.baselines["popularity"].metrics
    assert result.rows()[2][1] == result.evaluation.metrics
    popular, own = result.baselines["popularity"].protocol, result.evaluation.protocol
    assert replace(popular, history_length=5) == own
    assert json.loads(json.dumps(result.to_dict()))["evaluation"] == json.loads(
        json.dumps(result.evaluation.to_dict())
    )


def test_an_interrupted_run_of_other_settings_is_not_taken_over(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    interrupt(monkeypatch, small_ring, preset, out)
    assert not out.exists()
    state = tmp_path / "run.training"
    assert state.is_dir()
    other = replace(preset, vector=replace(STAGE, lr=1e-3))
    with pytest.raises(
        ConfigError, match=r"settings or data: preset\.vector\.lr was 0\.005 and is 0\.001 now\."
    ):
        run(small_ring, other, out)
    seeded = replace(preset, seed=5)
    with pytest.raises(ConfigError, match=r"preset\.seed was 0 and is 5 now[\s\S]*--restart"):
        run(small_ring, seeded, out)
    with pytest.raises(ConfigError, match=r"preset\.joint was None and is "):
        run(small_ring, replace(preset, joint=STAGE), out)
    data = Dataset.from_tables(*ring_tables(41, 20, 6, seed=0), name="small-ring")
    with pytest.raises(ConfigError, match="its interactions were others"):
        run(data, preset, out)
    rows = np.arange(len(small_ring.catalogue))[::-1].copy()
    log, items = small_ring.interactions, small_ring.catalogue
    reordered = Dataset.align("small-ring", log, items.take(rows), "interacted")
    with pytest.raises(ConfigError, match="its items, or their texts, were"):
        run(reordered, preset, out)
    assert state.is_dir() and not out.exists()
    run(small_ring, other, out, restart=True)
    assert Recommender.load(out).preset == other
    assert not state.exists()


def test_a_run_that_was_stopped_before_it_learnt_anything_stands_in_nobodys_way(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    interrupt(monkeypatch, small_ring, preset, tmp_path / "run", trained=False)
    other = replace(preset, seed=5)
    interrupt(monkeypatch, small_ring, other, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"preset\.seed was 5 and is 0 now"):
        run(small_ring, preset, tmp_path / "run")


def test_a_refused_training_leaves_nothing(small_ring: Dataset, preset: Preset, tmp_path: Path):
    two = np.ones((2, 16), np.float32)  # of more items
    with pytest.raises(LiteLLM4RecError):
        train_run(small_ring, preset, tmp_path / "run", vectors=two, progress=False)
    with pytest.raises(ConfigError, match=r"result\.json"):
        run(small_ring, preset, tmp_path / "run", record=tmp_path / "result")
    assert not list(tmp_path.iterdir())


def test_whoever_trains_there_is_left_alone(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "run"
    interrupt(monkeypatch, small_ring, preset, out)
    state = out.with_name("run.training")
    before = sorted(state.rglob("*"))
    with elsewhere(state):
        for options in ({}, {"restart": True}):
            with pytest.raises(StoreError, match=f"Another process is at work on {state}"):
                run(small_ring, preset, out, **options)
    assert sorted(state.rglob("*")) == before
    run(small_ring, preset, out)
    assert not state.exists()


def test_the_settings_of_a_run_are_written_whole_or_not_at_all(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lite_llm4rec.training_folder.os.replace", crash)
        with pytest.raises(KeyboardInterrupt):
            run(small_ring, preset, tmp_path / "run")
    assert not (tmp_path / "run.training" / "settings.json").exists()
    interrupt(monkeypatch, small_ring, preset, tmp_path / "run")
    left = {path.name for path in (tmp_path / "run.training").glob("settings.*")}
    assert left == {"settings.json"}


def test_an_interrupted_run_goes_on(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole = run(small_ring, preset, tmp_path / "whole")
    interrupt(monkeypatch, small_ring, preset, tmp_path / "run")
    resumed = run(small_ring, preset, tmp_path / "run")
    assert resumed.evaluation.metrics == whole.evaluation.metrics


def test_a_run_stopped_in_a_validation_goes_on_and_is_saved(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    longer = replace(preset, vector=replace(STAGE, epochs=3))
    whole = run(small_ring, longer, tmp_path / "whole")
    validate = Task.validation_step

    def interrupted(task: Task, *arguments: Any) -> None:
        if task.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGINT)
        validate(task, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Task, "validation_step", interrupted)
        with pytest.raises(Interrupted, match="nothing is lost"):
            run(small_ring, longer, tmp_path / "run")
    resumed = run(small_ring, longer, tmp_path / "run")
    assert resumed.evaluation.metrics == whole.evaluation.metrics
    assert "| vector | 3 |" in (tmp_path / "run" / "README.md").read_text()


def test_what_was_trained_outlives_a_full_disk(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write_weights", full)
        with pytest.raises(StoreError, match="No space left"):
            run(small_ring, preset, tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run.training"]
    monkeypatch.setattr(stages, "fit", fail)
    result = run(small_ring, preset, tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert result.stages[0]["epochs"] == 2


def test_a_disk_that_is_full_at_the_end_of_a_stage_loses_nothing(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(model: Any, path: str, *_: Any) -> None:
        Path(path).write_bytes(b"the first half")
        raise SafetensorError("I/O error: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(stages, "save_model", full)
        with pytest.raises(TrainingError, match=r"No space left[\s\S]*goes on from the last"):
            run(small_ring, preset, tmp_path / "run")
    assert not list(tmp_path.rglob("*.part"))
    assert run(small_ring, preset, tmp_path / "run").stages[0]["epochs"] == 2


def test_a_place_that_is_taken_is_refused_before_training(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr(Recommender, "fit", fail)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "one.pdf").touch()
    with pytest.raises(StoreError, match="is not a run folder"):
        run(small_ring, preset, tmp_path / "papers")
    assert [path.name for path in tmp_path.iterdir()] == ["papers"]


def test_a_finished_run_is_replaced(small_ring: Dataset, preset: Preset, tmp_path: Path):
    run(small_ring, preset, tmp_path / "run")
    other = replace(preset, seed=1)
    run(small_ring, other, tmp_path / "run")
    assert Recommender.load(tmp_path / "run").preset == other


def test_other_processes_of_a_run_do_not_restart_it(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    interrupt(monkeypatch, small_ring, preset, tmp_path / "run")
    checkpoint = tmp_path / "run.training" / "checkpoint"
    checkpoint.touch()
    monkeypatch.setenv("LOCAL_RANK", "1")
    run(small_ring, preset, tmp_path / "run", restart=True)
    assert checkpoint.exists()
    assert not (tmp_path / "run").exists()


def test_records_of_the_run_and_of_popularity(small_ring: Dataset, preset: Preset, tmp_path: Path):
    path = tmp_path / "results" / "mine" / "cell.json"
    result = run(small_ring, preset, tmp_path / "run", record=path)
    own, nearest, popular = read_records(tmp_path / "results")
    assert (own["experiment"], own["cell"], own["model"]) == ("mine", "cell", "Lite-LLM4Rec")
    assert (nearest["cell"], nearest["model"]) == ("cell.nearest-text", "Nearest text")
    assert (popular["cell"], popular["model"]) == ("cell.popularity", "Popularity")
    assert own["metrics"] == result.evaluation.metrics
    assert popular["metrics"] == result.baselines["popularity"].metrics
    assert (own["seed"], popular["seed"]) == (0, None)
    assert own["settings"]["vector"]["epochs"] == 2
    assert [row["stage"] for row in own["stages"]] == ["vector"]


def test_the_test_targets_are_read_once(
    small_ring: Dataset, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    read: list[str] = []
    real = Recommender.evaluate

    def watched(self: Recommender, data: Any, split: Any, part: Any, **how: Any) -> Any:
        read.append(part)
        return real(self, data, split, part, **how)

    monkeypatch.setattr(Recommender, "evaluate", watched)
    two = replace(preset, joint=replace(STAGE, epochs=1))
    result = run(small_ring, two, tmp_path / "run")
    assert read == ["valid", "test"]
    assert all(set(row) == {"stage", "epochs", "best", "seconds", "cut"} for row in result.stages)
