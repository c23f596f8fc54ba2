import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lite_llm4rec import training_callbacks
from lite_llm4rec.config import from_dict
from lite_llm4rec.curves import write_curves
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.errors import ConfigError, TrainingError
from lite_llm4rec.machine import Machine
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.train import Task, fit, learning_rate_factor
from tests.models.test_causal import make as make_causal
from tests.models.test_lite import make

STAGE = StageConfig(strategy="all", epochs=3, batch=64, lr=1e-2, warmup=0.1)
CPU = Machine("cpu")

# Trains with dropout, saving at every step; the environment says at which step to die.
SCRIPT = """
import os, signal, sys
from pathlib import Path
import torch
from safetensors.torch import load_file
from safetensors.torch import save_file
import lite_llm4rec.training_callbacks as callbacks
from lite_llm4rec import Dataset, leave_one_out
from lite_llm4rec.machine import Machine
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.train import fit
from tests.conftest import ring_tables
from lite_llm4rec.losses import LossConfig
from tests.models.test_causal import make as make_causal
from tests.models.test_lite import make

die_at, how = int(os.environ["DIE_AT"]), os.environ["HOW"]
save = callbacks.Resume._save
def save_then_die(self, trainer):
    save(self, trainer)
    if trainer.global_step == die_at:
        os.kill(os.getpid(), getattr(signal, how))
callbacks.Resume._save = save_then_die

torch.manual_seed(0)
split = leave_one_out(Dataset.from_tables(*ring_tables(200, 60, 8, 0)).interactions)
if os.environ["MODEL"] == "lite":
    model = make("t5", vector_dropout=0.3)
    stage = StageConfig(strategy="all", epochs=3, batch=64, lr=1e-2, warmup=0.1)
else:
    loss = LossConfig("sampled", negatives=20, shared=True)
    model = make_causal(dropout=0.3, id_dropout=0.3, loss=loss)
    stage = StageConfig(strategy="positions", epochs=3, batch=13, lr=1e-2, average=0.9)
fit(model, split, stage, Path(sys.argv[1]), machine=Machine("cpu"), progress=False,
    checkpoint_seconds=0.0)
save_file(model.state_dict(), sys.argv[2])
"""


def train(
    folder: Path, out: Path, die_at: int = -1, how: str = "SIGKILL", model: str = "lite"
) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(out)],
        env={
            **os.environ,
            "DIE_AT": str(die_at),
            "HOW": how,
            "MODEL": model,
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    for model in ("lite", "causal"):
        done = train(folder / model, folder / f"{model}.safetensors", model=model)
        assert done.returncode == 0, done.stderr
    return {model: folder / f"{model}.safetensors" for model in ("lite", "causal")}


# 16 steps an epoch: in the middle of the first, at the end of the second, which is the best.
@pytest.mark.parametrize(("model", "die_at"), [("lite", 7), ("lite", 32), ("causal", 20)])
def test_killed_and_resumed_ends_at_the_same_weights(
    model: str, die_at: int, uninterrupted: dict[str, Path], tmp_path: Path
):

    weights = tmp_path / "weights.safetensors"
    killed = train(tmp_path / "state", weights, die_at, model=model)
    assert killed.returncode == -signal.SIGKILL
    assert not weights.exists()
    resumed = train(tmp_path / "state", weights, model=model)
    assert resumed.returncode == 0, resumed.stderr
    expected, found = load_file(uninterrupted[model]), load_file(weights)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    rows = write_curves(tmp_path, ["state"]).splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [["state", str(epoch)] for epoch in range(3)]


def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(
    uninterrupted: dict[str, Path], tmp_path: Path
):

    weights = tmp_path / "weights.safetensors"
    stopped = train(tmp_path / "state", weights, 9, "SIGINT")
    assert stopped.returncode != 0
    assert "nothing is lost" in stopped.stderr
    assert "Run the same command again" in stopped.stderr
    assert train(tmp_path / "state", weights).returncode == 0
    expected, found = load_file(uninterrupted["lite"]), load_file(weights)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_the_average_of_the_weights_is_kept(ring: Dataset, tmp_path: Path):
    """With a decay near 1 the average stays near the start, where the weights themselves move."""
    split = leave_one_out(ring.interactions)
    moved = []
    for decay in (0.0, 0.9999):
        torch.manual_seed(0)
        model = make_causal()
        before = model.items.ids.detach().clone()
        stage = StageConfig(strategy="positions", epochs=3, batch=16, lr=1e-2, average=decay)
        fit(model, split, stage, tmp_path / str(decay), machine=CPU, progress=False)
        moved.append(float((model.items.ids.detach() - before).abs().mean()))
    assert moved[1] < 0.3 * moved[0]


def test_dropout_works_from_the_first_step_whatever_the_models_mode(ring: Dataset, tmp_path: Path):
    split = leave_one_out(ring.interactions)
    stage = StageConfig(strategy="positions", epochs=1, batch=64, lr=1e-2)
    weights = []
    for mode in (True, False):
        torch.manual_seed(0)
        model = make_causal(dropout=0.5).train(mode)
        fit(model, split, stage, tmp_path / str(mode), machine=CPU, progress=False)
        weights.append(model.items.ids.detach())
    assert torch.equal(*weights)


def test_same_seed_same_weights_other_seed_others(ring: Dataset, tmp_path: Path):
    split = leave_one_out(ring.interactions)

    def trained(name: str, seed: int) -> torch.Tensor:
        torch.manual_seed(0)
        model = make("t5", vector_dropout=0.3)
        stage = StageConfig(epochs=2, batch=64, lr=1e-2)
        fit(model, split, stage, tmp_path / name, seed=seed, machine=CPU, progress=False)
        return model.head.weight.detach()

    first = trained("a", 1)
    assert torch.equal(first, trained("b", 1))
    assert not torch.equal(first, trained("c", 2))


def test_the_best_validation_is_kept(ring: Dataset, tmp_path: Path):
    from lite_llm4rec.evaluate import rank_cases

    split, model = leave_one_out(ring.interactions), make("t5")
    fitted = fit(model, split, STAGE, tmp_path, machine=CPU, progress=False)
    ranks, _ = rank_cases(model, split.interactions.items, split.valid)
    assert (ranks <= 10).mean() == pytest.approx(fitted.best)


def test_a_budget_ends_training_with_a_last_validation(ring: Dataset, tmp_path: Path):
    torch.manual_seed(0)
    model, split = make("t5"), leave_one_out(ring.interactions)
    stage = StageConfig(strategy="all", epochs=500, batch=64, lr=1e-2, validate_every=400)
    fitted = fit(model, split, stage, tmp_path, machine=CPU, progress=False, max_seconds=0.5)
    assert fitted.cut and fitted.epochs < 400 and fitted.best > 0
    assert 0.5 < fitted.seconds < 60


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_where_no_time_is_left_training_ends_after_a_step(
    ring: Dataset, tmp_path: Path, seconds: float
):
    model, split = make("t5"), leave_one_out(ring.interactions)
    stage = StageConfig(strategy="all", epochs=3, batch=64, schedule="linear")
    fitted = fit(model, split, stage, tmp_path, machine=CPU, progress=False, max_seconds=seconds)
    assert fitted.cut
    assert fitted.epochs == 0.06  # one step of 16: 200 users with 5 prefixes each


def test_a_linear_schedule_falls_to_nothing_within_the_budget(ring: Dataset, tmp_path: Path):
    rates = []

    class Watched(Task):
        def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
            rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])

    model, split = make("t5"), leave_one_out(ring.interactions)
    stage = StageConfig(
        strategy="all", epochs=9999, lr=1e-2, validate_every=9999, schedule="linear", warmup=0.0
    )
    once = {"machine": CPU, "progress": False, "max_seconds": 1.0}
    fitted = fit(model, split, stage, tmp_path, kind=Watched, **once)
    assert fitted.cut
    assert max(rates) > 0.009 and rates[-1] < 0.002
    assert rates == sorted(rates, reverse=True)


def test_early_stop_counts_validations(ring: Dataset, tmp_path: Path):
    model = make("t5")
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.head.weight.requires_grad_(True)
    stage = StageConfig(strategy="sampling", epochs=50, batch=200, lr=1e-12, patience=3)
    fitted = fit(
        model, leave_one_out(ring.interactions), stage, tmp_path, machine=CPU, progress=False
    )
    assert fitted.epochs == 4  # the first is the best, three more are not better


def test_what_has_stopped_early_does_not_go_on(ring: Dataset, tmp_path: Path):
    stage = StageConfig(strategy="sampling", epochs=50, batch=200, lr=1e-12, patience=2)
    split = leave_one_out(ring.interactions)
    found = [fit(make("t5"), split, stage, tmp_path, machine=CPU, progress=False) for _ in range(2)]
    assert found[0].epochs == found[1].epochs < 50


def test_a_non_finite_loss_stops_and_names_the_step(ring: Dataset, tmp_path: Path):
    model = make("t5")
    with torch.no_grad():
        model.head.weight[3] = float("nan")
    with pytest.raises(TrainingError, match=r"The loss is nan at epoch 0, step 0"):
        fit(model, leave_one_out(ring.interactions), STAGE, tmp_path, machine=CPU, progress=False)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Out of memory"),
        (MemoryError(), "Out of memory"),
        (OSError(28, "No space left on device"), "The disk is full"),
    ],
)
def test_memory_and_disk_are_said_in_words(
    error, words, ring: Dataset, tmp_path: Path, monkeypatch
):
    model = make("t5")

    def fail(batch):
        raise error

    monkeypatch.setattr(model, "training_loss", fail)
    with pytest.raises(TrainingError, match=words):
        fit(model, leave_one_out(ring.interactions), STAGE, tmp_path, machine=CPU, progress=False)


def test_a_checkpoint_that_does_not_fit_leaves_no_part(
    ring: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training_callbacks, "flush", full)
    with pytest.raises(TrainingError, match="The disk is full"):
        fit(make("t5"), leave_one_out(ring.interactions), STAGE, tmp_path, machine=CPU,
            progress=False)  # fmt: skip
    assert not list(tmp_path.rglob("*.part"))


def test_bf16_trains(ring: Dataset, tmp_path: Path):
    stage = StageConfig(strategy="all", epochs=6, batch=64, lr=1e-2, precision="bf16")
    split = leave_one_out(ring.interactions)
    fitted = fit(make("t5"), split, stage, tmp_path, machine=CPU, progress=False)
    assert fitted.best > 0.5  # chance is 10 of 54


def test_fp16_is_refused():
    with pytest.raises(ConfigError, match="precision should be 'fp32' or 'bf16'"):
        from_dict(StageConfig, {"precision": "fp16"})


def test_warm_up_then_constant():
    stage = StageConfig(warmup=0.2, schedule="constant")
    factors = [learning_rate_factor(step, 10, stage) for step in range(10)]
    assert factors == [0.5] + [1.0] * 9
    assert learning_rate_factor(1.9, 10, stage) == 1.0  # by the clock: never above the rate
