"""What hangs on Lightning: progress, what is kept and gone on with, a clean Ctrl-C."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lite_llm4rec.curves import write_curves
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.errors import Interrupted
from lite_llm4rec.machine import Machine
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.train import Task, fit
from lite_llm4rec.training_callbacks import Budget, Progress, Resume
from tests.models.test_causal import make as make_causal
from tests.models.test_lite import make

STAGE = StageConfig(strategy="all", epochs=3, batch=64, lr=1e-2, warmup=0.1)
CPU = Machine("cpu")


def test_a_folder_that_was_moved_keeps_its_best(ring: Dataset, tmp_path: Path, monkeypatch):
    """Validation is made up: best in the first epoch. It is stopped in the third."""
    made_up = iter([0.9, 0.5, 0.4, 0.3])
    monkeypatch.setattr(
        Task,
        "ranks",
        lambda self, cases: np.where(np.arange(len(cases)) < len(cases) * next(made_up), 1, 99),
    )
    seen: dict[str, Any] = {}

    class Stopped(Task):
        def on_train_epoch_start(self) -> None:
            if self.trainer.current_epoch == 1:
                seen["first"] = {k: v.clone() for k, v in self.model.state_dict().items()}
            if self.trainer.current_epoch == 2 and "moved" not in seen:
                raise RuntimeError("the plug")

    def learn(folder: Path) -> tuple[Any, float]:
        torch.manual_seed(0)
        model, split = make("t5"), leave_one_out(ring.interactions)
        stage = replace(STAGE, epochs=4)
        fitted = fit(model, split, stage, folder, machine=CPU, progress=False, kind=Stopped)
        return model, fitted.best

    with pytest.raises(RuntimeError, match="the plug"):
        learn(tmp_path / "first")
    seen["moved"] = (tmp_path / "first").rename(tmp_path / "second")
    model, best = learn(tmp_path / "second")
    assert best == pytest.approx(0.9)
    assert all(torch.equal(v, seen["first"][k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(("epochs", "validated"), [(1, [0]), (3, [1, 2]), (4, [1, 3])])
def test_the_last_epoch_is_validated(
    epochs: int, validated: list[int], ring: Dataset, tmp_path: Path
):
    model, split = make("t5"), leave_one_out(ring.interactions)
    stage = replace(STAGE, epochs=epochs, validate_every=2)
    fitted = fit(model, split, stage, tmp_path / "state", machine=CPU, progress=False)
    assert fitted.best > 0
    rows = write_curves(tmp_path, ["state"]).splitlines()[1:]
    assert [int(row.split(",")[1]) for row in rows] == validated


def test_the_last_epoch_is_validated_when_a_kill_came_within_it(ring: Dataset, tmp_path: Path):
    validated = []

    class Killed(Task):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            if self.trainer.current_epoch == 2 and batch_idx == 2 and not validated[1:]:
                validated.append("the plug")
                raise RuntimeError("the plug")

        def on_validation_start(self) -> None:
            validated.append(self.trainer.current_epoch)

    model, split = make("t5"), leave_one_out(ring.interactions)
    stage = replace(STAGE, validate_every=2)
    often = {"machine": CPU, "progress": False, "kind": Killed, "checkpoint_seconds": 0}
    with pytest.raises(RuntimeError, match="the plug"):
        fit(model, split, stage, tmp_path, **often)
    fit(make("t5"), split, stage, tmp_path, **often)
    assert validated == [1, "the plug", 2]


def test_progress_counts_every_position(ring: Dataset, tmp_path: Path, monkeypatch):
    """8 interactions per user, 2 held out, the first of 6 is no target: 5 per user."""
    taught = []
    monkeypatch.setattr(
        Progress, "on_train_batch_end", lambda _, __, task, *___: taught.append(task.taught)
    )
    stage = StageConfig(strategy="positions", epochs=1, batch=80)
    fit(make_causal(), leave_one_out(ring.interactions), stage, tmp_path, machine=CPU)
    assert taught == [80 * 5, 80 * 5, 40 * 5]


def test_the_time_before_a_resume_counts_for_the_schedule_at_once():
    class Module:
        device, time_spent = "cpu", 0.0

    class Strategy:
        def reduce(self, value: torch.Tensor, reduce_op: str) -> torch.Tensor:
            return value

    clock = Resume(Path("unused"), 60.0)
    clock.load_state_dict({"seconds": 50.0})
    trainer, module = SimpleNamespace(strategy=Strategy()), Module()
    Budget(100.0, clock).on_train_start(trainer, module)
    assert 0.5 <= module.time_spent < 0.51


def test_progress_prints_plain_lines_and_can_be_silent(ring: Dataset, tmp_path: Path, capfd):
    split = leave_one_out(ring.interactions)
    stage = StageConfig(epochs=2, batch=200)
    fit(make("t5"), split, stage, tmp_path / "a", machine=CPU, name="vector stage")
    lines = [line for line in capfd.readouterr().err.splitlines() if "epoch" in line]
    assert len(lines) == 2
    assert "vector stage epoch 2/2" in lines[1]
    assert "targets/s" in lines[1]
    fit(make("t5"), split, stage, tmp_path / "b", machine=CPU, progress=False)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_the_time_left_is_what_may_be_spent(ring: Dataset, tmp_path: Path, capfd):
    split, stage = leave_one_out(ring.interactions), StageConfig(epochs=100_000, batch=200)
    fit(make("t5"), split, stage, tmp_path, machine=CPU, name="short", max_seconds=2.0)
    lines = [line for line in capfd.readouterr().err.splitlines() if "epoch" in line]
    assert lines[0].endswith(("at most 0:00:02 to go", "0:00:01 to go", "the time is over"))
    # Between two epochs the time can run out, too, of which no line tells.
    assert lines[-1].endswith(("the time is over", "at most 0:00:00 to go"))


def test_a_long_epoch_says_how_far_it_is(ring: Dataset, tmp_path: Path, capfd, monkeypatch):
    monkeypatch.setattr("lite_llm4rec.training_callbacks.PLAIN_SECONDS", -1.0)
    stage = StageConfig(epochs=1, batch=100)
    fit(make("t5"), leave_one_out(ring.interactions), stage, tmp_path, machine=CPU, name="long")
    lines = capfd.readouterr().err.splitlines()
    assert [line.split("  ")[:2] for line in lines[:2]] == [
        ["long epoch 1/1", "step 1/2"],
        ["long epoch 1/1", "step 2/2"],
    ]
    assert all("targets/s" in line and "to the epoch's end" in line for line in lines[:2])


def test_an_epoch_that_is_gone_on_with_is_timed_from_there(
    ring: Dataset, tmp_path: Path, capfd, monkeypatch
):
    monkeypatch.setattr("lite_llm4rec.training_callbacks.PLAIN_SECONDS", -1.0)
    stage, split = StageConfig(epochs=2, batch=50), leave_one_out(ring.interactions)
    model = make("t5")
    loss, steps = model.training_loss, []

    def interrupted_loss(batch):
        steps.append(batch)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(batch)

    model.training_loss = interrupted_loss
    with pytest.raises(Interrupted, match="epoch 1, after 2 steps"):
        fit(model, split, stage, tmp_path, machine=CPU, name="long")
    capfd.readouterr()
    fit(make("t5"), split, stage, tmp_path, machine=CPU, name="long")
    lines = [line for line in capfd.readouterr().err.splitlines() if "epoch" in line]
    assert [line.split("  ")[0] for line in lines].count("long epoch 1/2") == 3
    assert lines[0].split("  ")[1] == "step 3/4"
    rates = [float(line.split(" targets/s")[0].split("  ")[-1].replace(",", "")) for line in lines]
    assert min(rates) >= 1
    assert "at most 0:00:" in lines[2]


def test_an_interrupt_outside_saving_waits_for_the_step(ring: Dataset, tmp_path: Path):
    """A signal in the middle of a step does not tear it."""
    model = make("t5")
    loss = model.training_loss
    steps = []

    def interrupted_loss(batch):
        steps.append(time.monotonic())
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return loss(batch)

    model.training_loss = interrupted_loss
    with pytest.raises(Interrupted, match="after 5 steps in all; nothing is lost"):
        fit(model, leave_one_out(ring.interactions), STAGE, tmp_path, machine=CPU, progress=False)
    assert len(steps) == 5
    assert (tmp_path / "last.ckpt").is_file()
