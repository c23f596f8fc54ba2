"""One training run from data set to run folder, as `lite-llm4rec train` does it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lite_llm4rec.config import to_dict
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.evaluate import Evaluation, evaluate
from lite_llm4rec.machine import Machine
from lite_llm4rec.models import (
    GenerativeRec,
    NearestText,
    NextNumber,
    Popularity,
    RankingModel,
    title,
)
from lite_llm4rec.paths import alone, is_main_process
from lite_llm4rec.preset import Preset, preset_split
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_record
from lite_llm4rec.store import changing, check_replaceable
from lite_llm4rec.training_folder import has_learnt


@dataclass(frozen=True)
class TrainingRun:
    """What a run measured: what needs no training, and the trained model on the test targets.

    A stage has what selected its weights, the validation's best Recall@10; test is read once.
    """

    model: str
    baselines: dict[str, Evaluation]
    evaluation: Evaluation
    stages: list[dict[str, Any]]
    seconds: float

    def rows(self) -> list[tuple[str, dict[str, float]]]:
        """Name the test metrics to be shown, what needs no training first."""
        before = [(name, found.metrics) for name, found in self.baselines.items()]
        return [*before, (self.model, self.evaluation.metrics)]

    def cold_rows(self) -> list[tuple[str, dict[str, float]]]:
        """Name the test metrics of warm and of cold targets, where both kinds exist."""
        systems = {**self.baselines, self.model: self.evaluation}
        return [
            (f"{name}, {slice_}", found.slices[slice_])
            for name, found in systems.items()
            for slice_ in ("warm", "cold")
            if {"warm", "cold"} <= found.slices.keys()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return {
            "model": self.model,
            "baselines": {name: found.to_dict() for name, found in self.baselines.items()},
            "evaluation": self.evaluation.to_dict(),
            "stages": self.stages,
            "seconds": self.seconds,
        }


def train_run(
    dataset: Dataset,
    preset: Preset,
    out: Path,
    *,
    vectors: npt.NDArray[np.float32] | None = None,
    init_from: Path | None = None,
    device: str = "auto",
    devices: int = 1,
    restart: bool = False,
    record: Path | None = None,
    details: dict[str, Any] | None = None,
    max_seconds: float | None = None,
    progress: bool = True,
) -> TrainingRun:
    """Train, evaluate, and save a run folder; go on with an interrupted run of the same settings.

    While it lasts, checkpoints lie in `<out>.training` beside the run folder.

    Parameters
    ----------
    vectors : numpy.ndarray, optional
        (N, width) brought item vectors, in the catalogue's order.
    init_from : Path, optional
        A run folder to go on from.
    details : dict, optional
        What else the record says.
    max_seconds : float, optional
        Time for training; when it is over the best so far is kept, and the stage is marked `cut`.

    Raises
    ------
    ConfigError
        When the interrupted run there had other settings or other data, or the record is not to be
        a .json.
    StoreError
        When `out` is something else than a run folder, or another training is at work on it.
    """
    out = Path(os.path.abspath(out))  # "." has no name
    check_replaceable(out)
    if record is not None and record.suffix != ".json":
        raise ConfigError(f"The record is to be {record}.", f"A file as {record}.json")
    state = out.with_name(f"{out.name}.training")
    with alone(state, 0) if is_main_process() else nullcontext():
        if restart and state.exists() and is_main_process():
            shutil.rmtree(state)
        split = preset_split(preset, dataset)
        with _nothing_left(state):
            recommender = Recommender.fit(
                dataset,
                preset,
                init_from=init_from,
                split=split,
                vectors=vectors,
                folder=state,
                device=device,
                devices=devices,
                progress=progress,
                max_seconds=max_seconds,
            )
        run = _measure(recommender, dataset, split, Machine(device, devices).name())
        if is_main_process():
            with changing(out):
                recommender.save(out)
            if record is not None:
                _record(record, run, preset, details or {})
            _remove(state)
    return run


def _remove(state: Path) -> None:
    """Remove a training's folder, so that a kill leaves the whole of it or nothing of its name."""
    gone = state.with_name(f"{state.name}.done")
    shutil.rmtree(gone, ignore_errors=True)
    state.replace(gone)
    shutil.rmtree(gone)


@contextmanager
def _nothing_left(state: Path) -> Iterator[None]:
    """Remove a new folder of checkpoints where training fails before there is one to go on from."""
    was_there = state.exists()
    try:
        yield
    except Exception:
        if not was_there and not has_learnt(state) and is_main_process():
            shutil.rmtree(state, ignore_errors=True)
        raise


def _measure(recommender: Recommender, dataset: Dataset, split: Split, device: str) -> TrainingRun:
    recommender.evaluate(dataset, split, "valid", device=device)
    evaluation = recommender.evaluate(dataset, split, "test", device=device)
    return TrainingRun(
        title(to_dict(recommender.preset.model)),
        _baselines(dataset, split, recommender),
        evaluation,
        recommender.stages,
        sum(row["seconds"] for row in recommender.stages),
    )


def _baselines(dataset: Dataset, split: Split, trained: Recommender) -> dict[str, Evaluation]:
    """Measure what needs no training: popularity, nearest text, and what ids alone tell."""
    models: dict[str, RankingModel] = {
        "popularity": Popularity(torch.from_numpy(split.train_counts()))
    }
    if trained.vectors.shape[1]:
        models["nearest text"] = NearestText(torch.from_numpy(trained.vectors))
    if isinstance(trained.model, GenerativeRec) and trained.model.numbers.ndim == 1:
        models["next number"] = NextNumber(trained.model.numbers)
    seen_filter = not trained.preset.repeats
    return {
        name: evaluate(model, dataset, split, seen_filter=seen_filter)
        for name, model in models.items()
    }


def _record(path: Path, run: TrainingRun, preset: Preset, details: dict[str, Any]) -> None:
    write_record(
        path,
        run.evaluation,
        model=run.model,
        preset=preset.name,
        seed=preset.seed,
        seconds=run.seconds,
        details={"stages": run.stages, "settings": to_dict(preset), **details},
    )
    for name, found in run.baselines.items():
        write_record(
            path.with_name(f"{path.stem}.{name.replace(' ', '-')}.json"),
            found,
            model=name.capitalize(),
            preset="",
            seed=None,
            seconds=0.0,
        )
