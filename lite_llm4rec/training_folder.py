"""The folder of a training that can be gone on with: whose it is."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lite_llm4rec.config import difference, to_dict
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.base import RankingModel, weights_sha256
from lite_llm4rec.paths import alone, is_main_process
from lite_llm4rec.preset import Preset

HASHED = {  # what no setting names, and what to say when it is not what it was
    "sequences_sha256": "its interactions were others",
    "catalogue_sha256": "its items, or their texts, were others",
    "split_sha256": "its validation and test targets were others",
    "vectors_sha256": "its item vectors were others",
    "init_from_sha256": "it went on from another run, or from none",
}


@contextmanager
def opened(folder: str | Path | None) -> Iterator[Path]:
    """Give a folder to one training at a time, or a passing one where none is named.

    Raises
    ------
    StoreError
        When another training is at work there.
    """
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    with alone(path, 0) if is_main_process() else nullcontext():
        yield path


def claim(
    folder: Path,
    dataset: Dataset,
    preset: Preset,
    split: Split,
    vectors: npt.NDArray[np.float32] | None,
    init_from: RankingModel | None,
    max_seconds: float | None = None,
) -> None:
    """Make a folder this training's own, or see that it is.

    Parameters
    ----------
    vectors : numpy.ndarray, optional
        Brought ones.
    init_from : RankingModel, optional
        What the training goes on from.
    max_seconds : float, optional
        The time that it has: a linear schedule falls within it.

    Raises
    ------
    ConfigError
        When what was learnt there was learnt from other settings or other data.
    """
    mark = folder / "settings.json"
    wanted = _settings(dataset, preset, split, vectors, init_from, max_seconds)
    if has_learnt(folder):
        change = _difference(mark, wanted)
        if change:
            raise ConfigError(
                f"{folder} holds an interrupted run of other settings or data: {change}.",
                "Run it again with its own settings, take another folder, or give it up: --restart,"
                " in Python by deleting the folder.",
            )
    elif is_main_process():
        folder.mkdir(parents=True, exist_ok=True)
        partial = mark.with_suffix(".part")
        partial.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, mark)


def has_learnt(folder: Path) -> bool:
    """Whether there is a checkpoint to go on from, or a finished stage."""
    return any(folder.rglob("*.ckpt")) or any(folder.rglob("*.safetensors"))


def _difference(mark: Path, wanted: dict[str, Any]) -> str:
    if not mark.is_file():
        return f"it has no {mark.name}, which tells them"
    before = json.loads(mark.read_text(encoding="utf-8"))
    changed = [told for name, told in HASHED.items() if before.get(name) != wanted[name]]
    old, new = (_time(of.get("max_seconds")) for of in (before, wanted))
    if old != new:
        changed.append(f"its time was {old}, is {new} now (--minutes, in Python max_seconds)")
    settings = difference(_named(before), _named(wanted))
    return settings or "; ".join(changed)


def _time(seconds: float | None) -> str:
    return "without a limit" if seconds is None else f"{seconds / 60:g} minutes"


def _named(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: of for key, of in settings.items() if key not in (*HASHED, "max_seconds")}


def _settings(
    dataset: Dataset,
    preset: Preset,
    split: Split,
    vectors: npt.NDArray[np.float32] | None,
    init_from: RankingModel | None,
    max_seconds: float | None,
) -> dict[str, Any]:
    """Gather all that a training must keep to when it goes on."""
    brought = None if vectors is None else _sha256(np.asarray(vectors, np.float32).tobytes())
    cuts = (split.train_ends, split.valid.positions, split.test.positions)
    settings = {
        "preset": to_dict(preset),
        "dataset": dataset.name,
        "sequences_sha256": dataset.interactions.sequences_sha256,
        "catalogue_sha256": dataset.catalogue.sha256,
        "candidates": dataset.candidates,
        "split": split.name,
        "split_sha256": _sha256(b"".join(cut.tobytes() for cut in cuts)),
        "vectors_sha256": brought,
        "init_from_sha256": None if init_from is None else weights_sha256(init_from),
        "max_seconds": max_seconds,
    }
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
