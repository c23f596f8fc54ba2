"""Taught targets per second, and the time to a good R@10, side by side with RecTools 0.19.

    python benchmarks/train_against_rectools.py --data amazon-toys-2014 --work /tmp/rectools

RecTools gets an environment of its own in the work folder, made once with pip, with the torch
release of this process: its dependencies (numpy 1, an older Lightning) are not ours. Where pip
should take another build of that release, its own settings (PIP_FIND_LINKS, PIP_INDEX_URL) say so.

The systems train in turn, one epoch each, so that a busy machine slows all of them. A target
counts when it is taught: padding does not. Data preparation and validation are off the clock; the
checkpoints that `fit` writes are on ours, RecTools writes none. `FlatSASRecNet` comes without a
training loop or initial values: see the worker. Its feed-forward part is four times as wide as
the others', which cannot be set.
With --to-98 each epoch is validated, and a system stops when R@10 no longer rises.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from lite_llm4rec import train
from lite_llm4rec.data.sources import load
from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.losses import LossConfig
from lite_llm4rec.machine import Machine
from lite_llm4rec.models.sasrec import SASRec, SASRecConfig
from lite_llm4rec.records import write_benchmark
from lite_llm4rec.stage_config import StageConfig

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"
WORKER = Path(__file__).with_name("rectools_worker.py")
REQUIRED = ["rectools[torch]==0.19.*", "pyarrow<20"]  # a later pyarrow may refuse numpy 1
LOSSES = {"softmax": "full"}  # RecTools' name, ours
Record = dict[str, Any]


class TimedTask(train.Task):
    """Notes of each epoch the seconds of all but validation, the targets and R@10."""

    def __init__(self, notes: list[Record], *arguments: Any) -> None:
        super().__init__(*arguments)
        self.notes = notes

    def on_train_epoch_start(self) -> None:
        self.targets, self.began = 0, time.perf_counter()

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.targets += self.taught
        return loss

    def on_validation_start(self) -> None:
        self.seconds = time.perf_counter() - self.began

    def on_validation_epoch_end(self) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        self.notes.append(
            {
                "seconds": self.seconds + time.perf_counter() - self.began,
                "targets": self.targets,
                "recall@10": float(self.trainer.callback_metrics[train.SELECTED_BY]),
            }
        )


class Ours:
    """`SASRec` by `fit`, which is called anew for each epoch and goes on from its checkpoint."""

    def __init__(self, split: Split, settings: Record, precision: str, folder: Path) -> None:
        torch.manual_seed(settings["seed"])
        self.split, self.settings, self.folder = split, settings, folder
        self.precision: Any = precision
        loss: Any = LOSSES[settings["loss"]]
        config = SASRecConfig(
            width=settings["width"],
            blocks=settings["blocks"],
            heads=settings["heads"],
            history_length=settings["length"],
            dropout=settings["dropout"],
            loss=LossConfig(loss),
        )
        self.model = SASRec(config, split.interactions.n_items)
        self.notes: list[Record] = []

    def epoch(self, validating: bool) -> Record:
        stage = StageConfig(
            strategy="positions",
            epochs=len(self.notes) + 1,
            batch=self.settings["batch"],
            lr=self.settings["lr"],
            warmup=0.0,
            patience=self.settings["epochs"],
            precision=self.precision,
        )
        self.model.train()  # the epoch before ended with a model for use
        train.fit(
            self.model, self.split, stage, self.folder, seed=self.settings["seed"],
            machine=Machine("cpu"), progress=False, kind=partial(TimedTask, self.notes),
        )  # fmt: skip
        described = {
            "items": len(self.model.items),
            "parameters": sum(each.numel() for each in self.model.parameters()),
            "versions": {"torch": torch.__version__},
        }
        return {**self.notes[-1], **described}


class Theirs:
    """A model of RecTools in a process of its own."""

    def __init__(self, python: Path, name: str, work: Path, settings: Record) -> None:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(settings["threads"]))
        self.process = subprocess.Popen(
            [python, WORKER, name, work, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads},
        )

    def epoch(self, validating: bool) -> Record:
        return {**self._ask("train"), **(self._ask("validate") if validating else {})}

    def _ask(self, word: str) -> Record:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(word, file=self.process.stdin, flush=True)
        answer: Record = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        self.process.communicate()  # the end of its input ends it


def make_environment(folder: Path) -> Path:
    """Return the Python that has RecTools, installing it where it is not there yet."""
    python, done = folder / "bin" / "python", folder / "installed"
    wanted = [*REQUIRED, f"torch=={torch.__version__.partition('+')[0]}"]
    if not done.is_file() or done.read_text(encoding="utf-8").split() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
        done.write_text("\n".join(wanted), encoding="utf-8")
    return python


def write_data(split: Split, work: Path) -> None:
    """Write the training part and the validation targets, as numbers, for the worker."""
    log = split.interactions
    order = torch.arange(len(log)).numpy()
    taught = order < split.train_ends[log.users]
    training = {"user": log.users[taught], "item": log.items[taught], "order": order[taught]}
    valid = {"user": split.valid.users, "item": log.items[split.valid.positions]}
    for name, columns in (("train", training), ("valid", valid)):
        whole = {key: column.astype("int64") for key, column in columns.items()}
        pq.write_table(pa.table(whole), work / f"{name}.parquet")


def count_targets(split: Split, length: int) -> tuple[int, int]:
    """Count what an epoch teaches: all training items but a user's first, or the latest alone."""
    following = (split.train_ends - split.interactions.offsets[:-1] - 1).clip(0)
    return int(following.sum()), int(following.clip(0, length).sum())


def is_done(epochs: list[Record], settings: Record) -> bool:
    """Tell whether R@10 has stopped rising."""
    if not settings["to_98"] or not epochs:
        return False
    reached = [epoch["recall@10"] for epoch in epochs]
    since_best = len(reached) - 1 - reached.index(max(reached))
    return since_best >= int(settings["patience"])


def take_turns(
    systems: dict[str, Ours | Theirs], split: Split, settings: Record
) -> dict[str, list[Record]]:
    """Train the systems in turn, one epoch each."""
    everything, latest = count_targets(split, settings["length"])
    records: dict[str, list[Record]] = {name: [] for name in systems}
    for number in range(1, settings["epochs"] + 1):
        for name, system in systems.items():
            if is_done(records[name], settings):
                continue
            epoch = system.epoch(settings["to_98"])
            right = everything if isinstance(system, Ours) else latest
            assert epoch["targets"] == right, f"{name} taught {epoch['targets']}, not {right}"
            records[name].append(epoch)
            print(number, name, epoch, file=sys.stderr, flush=True)
    return records


def summary(epochs: list[Record], settings: Record) -> Record:
    """Put a system's epochs together; the first is a warm-up for the rate, not for the time."""
    seconds = [epoch["seconds"] for epoch in epochs]
    rate = statistics.median(epoch["targets"] / epoch["seconds"] for epoch in epochs[1:])
    found = {
        "targets_per_second": round(rate),
        "targets_per_epoch": epochs[0]["targets"],
        **{key: epochs[0][key] for key in ("items", "parameters", "versions")},
        "seconds": [round(value, 3) for value in seconds],
    }
    if not settings["to_98"]:
        return found
    reached = [epoch["recall@10"] for epoch in epochs]
    enough = next(at for at, value in enumerate(reached) if value >= 0.98 * max(reached))
    return {
        **found,
        "best_recall@10": max(reached),
        "stopped_rising": is_done(epochs, settings),
        "seconds_to_98": round(list(accumulate(seconds))[enough], 1),
        "epochs_to_98": enough + 1,
        "recall@10": reached,
    }


def run(settings: Record, work: Path) -> dict[str, list[Record]]:
    torch.set_num_threads(settings["threads"])
    python = make_environment(work / "environment")
    split = leave_one_out(load(settings["data"]).interactions)
    write_data(split, work)
    names = ("SASRecModel", "FlatSASRecNet")
    with tempfile.TemporaryDirectory() as folder:
        precisions = {"ours": "auto"}
        if Machine("cpu").has_bf16():  # elsewhere "auto" is fp32
            precisions["ours_fp32"] = "fp32"
        ours = {
            name: Ours(split, settings, precision, Path(folder) / name)
            for name, precision in precisions.items()
        }
        theirs = {name: Theirs(python, name, work, settings) for name in names}
        try:
            return take_turns({**ours, **theirs}, split, settings)
        finally:
            for system in theirs.values():
                system.close()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="amazon-toys-2014")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--loss", choices=LOSSES, default="softmax")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--epochs", type=int, default=4, help="at most")
    parser.add_argument("--to-98", action="store_true", help="validate each epoch")
    parser.add_argument("--patience", type=int, default=10, help="epochs without a better R@10")
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs must be at least 2: the first is a warm-up")
    return options


def main() -> None:
    options = vars(parse())
    work, out = options.pop("work").absolute(), options.pop("out")
    work.mkdir(parents=True, exist_ok=True)
    records = run(options, work)
    systems = {name: summary(epochs, options) for name, epochs in records.items()}
    rates = {name: system["targets_per_second"] for name, system in systems.items()}
    print(
        write_benchmark(
            out or RESULTS / f"train_against_rectools_{options['data']}.json",
            f"training SASRec with full cross-entropy on {options['data']}, at equal width, depth"
            " and length: targets taught per second by `fit` ÷ by RecTools' `SASRecModel`, in turn"
            f" on {options['threads']} thread(s)",
            rates["ours"] / rates["SASRecModel"],
            {
                "ratios": {
                    f"{mine} ÷ {name}": round(rates[mine] / rates[name], 2)
                    for mine in sorted({"ours", "ours_fp32"} & systems.keys())
                    for name in ("SASRecModel", "FlatSASRecNet")
                },
                "settings": options,
                "systems": systems,
            },
        )
    )


if __name__ == "__main__":
    main()
