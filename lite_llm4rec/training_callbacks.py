"""What `train.fit` hangs on Lightning: progress, checkpoints to resume from, a clean Ctrl-C."""

import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from tqdm import tqdm

from lite_llm4rec.errors import Interrupted
from lite_llm4rec.paths import flush

PLAIN_SECONDS = 60.0  # between lines inside an epoch where there is no terminal


class AtomicCheckpoints(TorchCheckpointIO):  # type: ignore[misc]
    """Write a checkpoint beside its place, then rename: a kill leaves the old one or the new."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Save to `path` in one step; Lightning would take the system's temporary folder."""
        written = io.BytesIO()  # where the disk is full, torch's own writer does not say so
        torch.save(checkpoint, written)
        partial = Path(f"{path}.part")
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(written.getbuffer())
            flush(partial)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


class Resume(pl.Callback):  # type: ignore[misc]
    """Keep one checkpoint to go on from; stop at the end of a step when Ctrl-C asks for it.

    Parameters
    ----------
    path : Path
    every_seconds : float
        Time between checkpoints inside an epoch.
    """

    def __init__(self, path: Path, every_seconds: float) -> None:
        self.path = path
        self.every_seconds = every_seconds
        self.seconds = 0.0
        self._asked_to_stop = False
        self._saved = self._ticked = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Carry the time spent over a resume."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the time spent before."""
        self.seconds = state_dict["seconds"]

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save from time to time. An epoch's last step is saved after its validation instead."""
        if trainer.is_last_batch:
            return
        due = self._asked_to_stop or time.monotonic() - self._saved > self.every_seconds
        if trainer.strategy.reduce_boolean_decision(due, all=False):  # all save at one step
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Save after the epoch's validation and selection."""
        self._save(trainer)

    def spent(self) -> float:
        """Count the seconds of training so far, those before a resume among them."""
        return self.seconds + time.monotonic() - self._ticked

    @contextmanager
    def catching_interrupts(self) -> Iterator[None]:
        """Let the first Ctrl-C finish the step and save; a second one stops at once."""
        try:
            before = signal.signal(signal.SIGINT, self._on_interrupt)
        except ValueError:  # not in the main thread: leave signals to whoever is
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _on_interrupt(self, number: int, frame: Any) -> None:
        if self._asked_to_stop:
            raise Interrupted("Stopped at once.", self._remedy())
        self._asked_to_stop = True
        print(
            "\nStopping after this step (Ctrl-C again to stop at once)…",
            file=sys.stderr,
            flush=True,
        )

    def _save(self, trainer: Any) -> None:
        now = time.monotonic()
        self.seconds += now - self._ticked
        self._ticked = now
        asked = trainer.strategy.reduce_boolean_decision(self._asked_to_stop, all=False)
        self._asked_to_stop = asked  # and all stop
        trainer.save_checkpoint(self.path)
        self._saved = time.monotonic()
        if self._asked_to_stop:
            where = f"epoch {trainer.current_epoch + 1}, after {trainer.global_step} steps in all"
            raise Interrupted(f"Stopped at {where}; nothing is lost.", self._remedy())

    def _remedy(self) -> str:
        return "Run the same command again: it goes on from the last checkpoint."


class Best(ModelCheckpoint):  # type: ignore[misc]
    """Keep the weights of the best validation; the last epoch is always validated.

    The folder may have been moved since a checkpoint was written.
    """

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Do so in a resumed epoch, too, which is not told that it starts."""
        super().on_train_start(trainer, module)
        self.on_train_epoch_start(trainer, module)

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        """See that what is learnt last can be chosen, too."""
        if trainer.current_epoch == trainer.max_epochs - 1:
            trainer.check_val_every_n_epoch = 1

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Look for what was kept in this folder, wherever it was then."""
        here = str(self.dirpath)

        def moved(path: str) -> str:
            return os.path.join(here, os.path.basename(path)) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        state = {**state_dict, "dirpath": here}
        state |= {name: moved(state[name]) for name in paths}
        state["best_k_models"] = {moved(p): value for p, value in state["best_k_models"].items()}
        super().load_state_dict(state)


class Patience(EarlyStopping):  # type: ignore[misc]
    """Stop where validation has long not risen; a training that had stopped so does not go on."""

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """End before the first step where the checkpoint says so."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class Budget(pl.Callback):  # type: ignore[misc]
    """End training, with a last validation, once so much time is spent on it.

    A schedule that falls over the epochs falls over the time instead where that is over sooner.

    Parameters
    ----------
    seconds : float
        None are left at 0 and below, as after stages that took longer: one step is taken.
    clock : Resume
        What counts the time, over resumes too.
    """

    def __init__(self, seconds: float, clock: Resume) -> None:
        self.seconds = max(seconds, 1e-9)
        self.clock = clock
        self.cut = False

    def left(self) -> float:
        """Tell how many seconds are left."""
        return max(self.seconds - self.clock.spent(), 0.0)

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Tell the schedule what was spent before a resume."""
        self._tell(trainer, module)

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop after this step when the time is over; all devices stop at the same step."""
        self._tell(trainer, module)
        if module.time_spent == 1:
            self.cut = trainer.should_stop = True
            trainer.check_val_every_n_epoch = 1  # so that what is kept is chosen among all

    def _tell(self, trainer: Any, module: Any) -> None:
        spent = torch.tensor(self.clock.spent() / self.seconds, device=module.device)
        spent = trainer.strategy.reduce(spent, reduce_op="max")
        module.time_spent = min(float(spent), 1.0)


class Progress(pl.Callback):  # type: ignore[misc]
    """A line per validation, with rate and ETA; on a terminal also a bar inside the epoch.

    Parameters
    ----------
    name : str
        What is being trained.
    epochs : int
        At most.
    metric : str
        The logged value by which the best epoch is selected.
    budget : Budget
        What may end it sooner.
    """

    def __init__(self, name: str, epochs: int, metric: str, budget: Budget) -> None:
        self.budget = budget
        self.name = name
        self.epochs = epochs
        self.metric = metric
        self.best = 0.0
        self._bar: Any = None
        self._began = self._epoch_began = 0.0
        self._first_epoch = 0
        self._taught = self._steps = 0
        self._validated = False
        self._said = 0.0

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        """Note that this epoch has a validation value of its own."""
        self._validated = True

    def on_train_start(self, trainer: Any, module: Any) -> None:
        """Start the clocks; an epoch that a resume goes on with has no start of its own."""
        self._first_epoch = trainer.current_epoch
        known = [one.best_model_score for one in trainer.checkpoint_callbacks]
        self.best = max([float(score) for score in known if score is not None], default=0.0)
        self._start_epoch()
        self._began = self._epoch_began

    def _start_epoch(self) -> None:
        self._epoch_began = self._said = time.monotonic()
        self._taught = self._steps = 0

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        """Open the epoch's bar."""
        self._start_epoch()
        if trainer.is_global_zero and sys.stderr.isatty():
            total = trainer.num_training_batches * module.stage.batch
            self._bar = tqdm(
                total=total,
                desc=f"{self.name} {trainer.current_epoch + 1}/{self.epochs}",
                unit=" targets",
                unit_scale=True,
                leave=False,
            )

    def on_train_batch_end(
        self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance by the targets taught; without a bar, say so about once a minute."""
        self._taught += module.taught
        self._steps += 1
        if self._bar is not None:
            self._bar.update(module.taught)
        elif trainer.is_global_zero and time.monotonic() - self._said > PLAIN_SECONDS:
            self._say_step(trainer, batch_idx + 1)

    def _say_step(self, trainer: Any, done: int) -> None:
        now = time.monotonic()
        spent, steps = now - self._epoch_began, trainer.num_training_batches
        print(
            f"{self.name} epoch {trainer.current_epoch + 1}/{self.epochs}  step {done:,}/{steps:,}"
            f"  {self._taught / spent:,.0f} targets/s"
            f"  {_clock(spent / self._steps * (steps - done))} to the epoch's end",
            file=sys.stderr,
            flush=True,
        )
        self._said = now

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Print the epoch's line."""
        if self._bar is not None:
            self._bar.close()
        if not trainer.is_global_zero or not self._steps:  # saved when it had ended
            return
        values = trainer.callback_metrics
        now = time.monotonic()
        epoch = trainer.current_epoch + 1
        per_epoch = (now - self._began) / (epoch - self._first_epoch)
        parts = [f"{self.name} epoch {epoch}/{self.epochs}", f"loss {float(values['loss']):.4f}"]
        if self._validated:
            self._validated = False
            value = float(values[self.metric])
            parts.append(f"valid {self.metric} {value:.4f}{' *' if value > self.best else ''}")
            self.best = max(self.best, value)
        rate = self._taught / max(now - self._epoch_began, 1e-9)
        parts.append(f"{rate:,.0f} targets/s")
        left = min(per_epoch * (self.epochs - epoch), self.budget.left())
        parts.append("the time is over" if self.budget.cut else f"at most {_clock(left)} to go")
        print("  ".join(parts), file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
