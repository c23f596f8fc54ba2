"""`fit()`: one training stage of a RankingModel on Lightning, that can be killed and resumed.

A step is a function of (seed, epoch, step): which examples it sees and its dropout. So resuming
needs no hidden state and ends where the uninterrupted run would.
"""

import contextlib
import errno
import logging
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lite_llm4rec.curves import next_version
from lite_llm4rec.data.batching import Batch, make_batch
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.sampling import STRATEGIES, Examples, bucket
from lite_llm4rec.data.split import Split, Targets
from lite_llm4rec.errors import DataError, TrainingError
from lite_llm4rec.evaluate import rank_cases
from lite_llm4rec.machine import Machine
from lite_llm4rec.metrics import CASE_METRICS
from lite_llm4rec.models.base import GenerativeModel, PretrainedModel, RankingModel
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.training_callbacks import (
    AtomicCheckpoints,
    Best,
    Budget,
    Patience,
    Progress,
    Resume,
)

SELECTED_BY = "recall@10"
ANEW = "and begin anew: --restart, in Python another folder"  # other settings do not go on


@dataclass(frozen=True)
class Fitted:
    """How a stage ended; `cut` says that its time was over before its epochs were.

    An epoch that it ended in counts as the part that was done of it. `best` is the validation's
    metric that selected the weights; None where nothing was validated.
    """

    epochs: float
    best: float | None
    seconds: float
    cut: bool = False


class Task(pl.LightningModule):  # type: ignore[misc]
    """One stage of training: which batch a step sees, its loss, the optimiser, the validation."""

    def __init__(
        self,
        model: RankingModel,
        split: Split,
        stage: StageConfig,
        seed: int,
        seen_filter: bool = True,
        pretraining: bool = False,
    ) -> None:
        super().__init__()
        self.seen_filter = seen_filter
        self.pretraining = pretraining
        self.model = model
        self.split = split
        self.stage = stage
        self.seed = seed
        self.taught = 0
        self.time_spent = 0.0
        self._epoch_examples: tuple[int, Examples] | None = None

    def examples(self, epoch: int) -> Examples:
        """Return an epoch's examples in their order."""
        if self._epoch_examples is None or self._epoch_examples[0] != epoch:
            draw = STRATEGIES[self.stage.strategy]
            drawn = draw(self.split, self.model.history_length, self.seed, epoch)
            if self.stage.strategy == "positions":
                drawn = bucket(drawn, self.stage.batch, self.seed, epoch)
            self._epoch_examples = (epoch, drawn)
        return self._epoch_examples[1]

    def steps_per_epoch(self) -> int:
        """Count an epoch's steps; it is the same for every epoch."""
        return -(-len(self.examples(0)) // self.stage.batch)

    def train_dataloader(self) -> Any:
        """Count steps: the batch itself is made from (seed, epoch, step) in `training_step`."""
        return range(self.steps_per_epoch())

    def val_dataloader(self) -> Any:
        """Validate in one step; never in pre-training, which teaches no ranking."""
        return [] if self.pretraining else [0]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by (seed, epoch, step, device)."""
        key = np.random.SeedSequence((self.seed, self.current_epoch, batch_idx, self.global_rank))
        torch.manual_seed(int(key.generate_state(1, np.uint64)[0]) >> 1)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Return the loss of this device's share of the step's batch."""
        rows = np.arange(batch_idx * self.stage.batch, (batch_idx + 1) * self.stage.batch)
        examples = self.examples(self.current_epoch)
        rows = rows[rows < len(examples)]
        share = rows[self.global_rank :: self.trainer.world_size]
        tensors = self.batch(examples.take(share if len(share) else rows[:1]))
        self.taught = self.model.taught(tensors)
        loss = self.loss(tensors.to(self.device))
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss is {float(loss.detach())} at epoch {self.current_epoch},"
                f" step {batch_idx}.",
                f"Lower lr, raise warmup, or train in fp32, {ANEW}.",
            )
        self.log("loss", loss, on_step=False, on_epoch=True, batch_size=self.taught, sync_dist=True)
        # Gradients are averaged over devices; the shares of an epoch's last batch differ, down to
        # none at all, where the others wait for this device's gradient.
        weighted: torch.Tensor = loss * (len(share) * self.trainer.world_size / len(rows))
        return weighted

    def batch(self, examples: Examples) -> Batch:
        """Put examples side by side."""
        log = self.split.interactions
        return make_batch(log.items, examples.starts, examples.targets, log.users)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return what this stage minimises."""
        if self.pretraining:
            assert isinstance(self.model, PretrainedModel)
            return self.model.pretraining_loss(batch)
        return self.model.training_loss(batch)

    def validation_targets(self) -> Targets:
        """Return all validation targets; for a model that writes ids the same few each time."""
        valid = self.split.valid
        if not isinstance(self.model, GenerativeModel):
            return valid
        drawn = np.random.default_rng(0).permutation(len(valid))[: self.model.validation_cases]
        return valid.take(np.sort(drawn))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Rank this device's share of the validation targets; sums are exact over devices."""
        valid = self.validation_targets()
        cases = valid.take(np.arange(self.global_rank, len(valid), self.trainer.world_size))
        with torch.autocast(self.device.type, enabled=False):  # bf16 scores would tie
            ranks = self.ranks(cases) if len(cases) else np.empty(0, np.int64)
        for name, metric in CASE_METRICS.items():
            total = torch.tensor(float(metric(ranks).sum()), device=self.device)
            mean = self.trainer.strategy.reduce(total, reduce_op="sum") / len(valid)
            self.log(name, mean, batch_size=1)

    def ranks(self, cases: Targets) -> Ints:
        """Rank the targets of cases, (cases,)."""
        return rank_cases(
            self.model,
            self.split.interactions.items,
            cases,
            seen_filter=self.seen_filter,
            device=str(self.device),
        )[0]

    def on_validation_model_train(self) -> None:
        """Go back to training mode, frozen parts with their dropout among it."""
        self.model.train()

    def configure_optimizers(self) -> Any:
        """AdamW with linear warm-up, then constant or linear to 0."""
        stage = self.stage
        optimizer = torch.optim.AdamW(
            [parameter for parameter in self.model.parameters() if parameter.requires_grad],
            lr=stage.lr,
            weight_decay=stage.weight_decay,
            eps=stage.adam_eps,
            fused=True,  # one pass over the item table instead of several
        )
        total = stage.epochs * self.steps_per_epoch()
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: learning_rate_factor(max(step, self.time_spent * total), total, stage),
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def learning_rate_factor(step: float, total: int, stage: StageConfig) -> float:
    """Give the share of the learning rate at a step: up over the warm-up, then as scheduled.

    >>> stage = StageConfig(warmup=0.5, schedule="linear")
    >>> [learning_rate_factor(step, 4, stage) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    rise = round(total * stage.warmup)
    if step < rise:
        return min(1.0, (step + 1) / rise)  # by the clock a step is a fraction
    if stage.schedule == "constant":
        return 1.0
    return (total - step) / max(total - rise, 1)


def fit(
    model: RankingModel,
    split: Split,
    stage: StageConfig,
    folder: Path,
    *,
    seed: int = 0,
    machine: Machine | None = None,
    progress: bool = True,
    name: str = "training",
    checkpoint_seconds: float = 60.0,
    max_seconds: float | None = None,
    seen_filter: bool = True,
    pretraining: bool = False,
    kind: Callable[..., Task] = Task,
) -> Fitted:
    """Train one stage; the model ends with the weights of the best validation.

    Parameters
    ----------
    folder : Path
        Checkpoints and curves. What an interrupted run left there is gone on with.
    name : str
        What the progress calls it.
    checkpoint_seconds : float
        Time between checkpoints; one is written after each epoch's validation too.
    max_seconds : float, optional
        Time after which training ends, whatever epochs are left; a linear schedule falls to 0 by
        then.
    seen_filter : bool
        Whether validation removes what a user has had from the ranking.
    pretraining : bool
        Minimise a `PretrainedModel`'s pretraining loss. No ranking is learnt, so nothing is
        validated and the last weights are kept.
    kind : callable
        Makes the `Task`: what a batch is, and what ranks select by.

    Raises
    ------
    DataError
        When no user has two training interactions, of which one can be learnt from the other.
    TrainingError
        On a non-finite loss, no memory, a full disk, or Ctrl-C (`Interrupted`).
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        return Fitted(0, None, 0.0, False)  # it counts, as item-kNN does, when it is made
    machine = machine or Machine()
    task = kind(model, split, stage, seed, seen_filter, pretraining)
    if not task.steps_per_epoch():
        raise DataError(
            f"{split.name} leaves no user two interactions to train on, so that there is no next"
            " item to learn.",
            "Use a log with longer histories (leave_one_out needs 4), or a split with fewer"
            " targets.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    model.train()  # it may come from an evaluation, and Lightning leaves its mode alone
    resume = Resume(folder / "last.ckpt", checkpoint_seconds)
    best = Best(
        folder,
        "best",
        monitor=SELECTED_BY,
        mode="max",
        save_weights_only=not stage.average,  # Lightning puts the average into whole ones only
        save_on_train_epoch_end=False,  # at the validation, before `resume` saves what it selected
        enable_version_counter=False,
    )
    stop = Patience(
        SELECTED_BY,
        mode="max",
        patience=stage.patience,
        check_finite=True,
        check_on_train_epoch_end=False,  # at the validation, as `best`
    )
    selection = [] if pretraining else [stop, best]
    average = [EMAWeightAveraging(use_buffers=False, decay=stage.average)] if stage.average else []
    budget = Budget(math.inf if max_seconds is None else max_seconds, resume)
    shown = [Progress(name, stage.epochs, SELECTED_BY, budget)] if progress else []
    trainer = _trainer(stage, machine, folder, [*average, budget, *selection, resume, *shown])
    _run(trainer, task, resume)
    if Path(best.best_model_path).is_file():
        state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)[
            "state_dict"
        ]
        task.load_state_dict(state)
    model.eval()
    score = None if best.best_model_score is None else float(best.best_model_score)
    return Fitted(_epochs(trainer), score, resume.seconds, budget.cut)


def _epochs(trainer: pl.Trainer) -> float:
    """Count the epochs, whole ones as an int."""
    epochs = float(trainer.global_step / max(trainer.num_training_batches, 1))
    return int(epochs) if epochs.is_integer() else round(epochs, 2)


def _trainer(
    stage: StageConfig, machine: Machine, folder: Path, callbacks: list[Any]
) -> pl.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(machine.name(), machine.name()),
        devices=machine.devices,
        strategy="auto" if machine.devices == 1 else "ddp",
        precision="bf16-mixed" if _is_bf16(stage, machine) else "32-true",
        max_epochs=stage.epochs,
        check_val_every_n_epoch=stage.validate_every,
        # Else Lightning adds a checkpoint of its own where there is none to select by.
        enable_checkpointing=any(isinstance(one, ModelCheckpoint) for one in callbacks),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        logger=_loggers(folder),
        callbacks=callbacks,
        plugins=[AtomicCheckpoints()],
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=None,
    )


def _is_bf16(stage: StageConfig, machine: Machine) -> bool:
    return machine.has_bf16() if stage.precision == "auto" else stage.precision == "bf16"


def _loggers(folder: Path) -> list[Any]:
    """Curves as CSV, and for TensorBoard where it is installed."""
    loggers: list[Any] = [
        CSVLogger(folder, name="", version=next_version(folder), flush_logs_every_n_steps=1)
    ]
    with contextlib.suppress(ModuleNotFoundError):
        loggers.append(TensorBoardLogger(str(folder), name="", version="tensorboard"))
    return loggers


def _run(trainer: pl.Trainer, task: Task, resume: Resume) -> None:
    with warnings.catch_warnings():
        # The loader only counts steps, so Lightning's advice about workers and about resuming in
        # the middle of an epoch does not apply.
        warnings.filterwarnings("ignore", module="lightning")
        checkpoint = str(resume.path) if resume.path.is_file() else None
        try:
            with resume.catching_interrupts():
                trainer.fit(task, ckpt_path=checkpoint, weights_only=False)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise TrainingError("Out of memory.", _OUT_OF_MEMORY) from error
        except RuntimeError as error:
            if "allocate memory" in str(error) or "out of memory" in str(error):
                raise TrainingError("Out of memory.", _OUT_OF_MEMORY) from error
            raise
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise TrainingError(
                f"The disk is full: {resume.path.parent} cannot be written.",
                "Make room and run the same command again: it goes on from the last checkpoint.",
            ) from error


_OUT_OF_MEMORY = (
    "Lower the stage's batch, model.history_length or the loss's negatives, use bf16, or take a"
    f" smaller backbone, {ANEW}."
)
