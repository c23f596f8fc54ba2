"""All that a trained model is → a run folder, and back. `store` knows the files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lite_llm4rec import store
from lite_llm4rec.card import model_card
from lite_llm4rec.config import from_dict, override, to_dict
from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.errors import DataError, StoreError
from lite_llm4rec.evaluate import Evaluation
from lite_llm4rec.index import Index
from lite_llm4rec.models import (
    MODELS,
    ExportedConfig,
    ExportedModel,
    GenerativeModel,
    RankingModel,
    SequenceModel,
)
from lite_llm4rec.paths import is_main_process
from lite_llm4rec.preset import Preset, preset_from_dict
from lite_llm4rec.text.encoder import ItemLLM

READS = 5  # tries to read a folder that others replace


@dataclass
class Run:
    """All that a trained model is.

    Attributes
    ----------
    preset : Preset
    model : RankingModel
    catalogue : Catalogue
    counts : numpy.ndarray
        (N,) training interactions of each item, for histories that are empty.
    vectors : numpy.ndarray
        (N, text width) the item vectors that training began with.
    stages : list of dict
        What each training stage took and scored.
    evaluations : list of Evaluation
        What `evaluate` measured, saved with the model.
    item_llm : ItemLLM or None
        The Item LLM as a joint stage left it.
    curves : str
        The validated epochs of all stages as CSV.
    retired : numpy.ndarray
        (N,) bool, the items that are no longer recommended.
    brought : bool
        Whether `vectors` were brought, so that new items must bring theirs.
    users_sha256 : str
        `Interactions.users_sha256` of the log it was trained on; of an older run folder empty.
    sequences_sha256 : str
        `Interactions.sequences_sha256` of what its split split; of an older run folder empty.
    split : str
        The split that it was trained with, as the protocol prints it; of an older run folder empty.
    index : Index or None
        What finds items in a large catalogue; without it search is exact.
    """

    preset: Preset
    model: RankingModel
    catalogue: Catalogue
    counts: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    stages: list[dict[str, Any]]
    evaluations: list[Evaluation]
    item_llm: ItemLLM | None = None
    curves: str = ""
    retired: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    brought: bool = False
    users_sha256: str = ""
    sequences_sha256: str = ""
    split: str = ""
    index: Index | None = None

    def __post_init__(self) -> None:
        if len(self.retired) != len(self.catalogue):
            self.retired = np.zeros(len(self.catalogue), bool)

    @property
    def ids(self) -> list[Any]:
        """The catalogue's ids as Python values, (N,)."""
        if not hasattr(self, "_ids"):
            self._ids: list[Any] = self.catalogue.ids.to_pylist()
        return self._ids

    @property
    def titles(self) -> list[str]:
        """The catalogue's titles, (N,)."""
        if not hasattr(self, "_titles"):
            self._titles: list[str] = self.catalogue.titles()
        return self._titles

    def check_users(self, log: Interactions) -> None:
        """See that a log numbers users as the model knows them, if it knows them at all.

        Raises
        ------
        DataError
            When a model that writes ids was trained on other users, or in another order.
        """
        known = isinstance(self.model, GenerativeModel) and self.users_sha256
        if known and log.users_sha256 != self.users_sha256:
            raise DataError(
                "This model knows users by their place in the log that it was trained on; this log"
                " has other users, or the same ones in another order.",
                "Give the interactions in the order of the training's table, or train it anew.",
            )


def write_run(run: Run, target: Path) -> Path:
    """Write the run folder, whole or not at all; an older one at `target` is replaced."""
    if not is_main_process():
        return target
    with store.replacing(target) as folder:
        facts = {
            "preset": to_dict(run.preset),
            "brought_vectors": run.brought,
            "users_sha256": run.users_sha256,
            "sequences_sha256": run.sequences_sha256,
            "split": run.split,
        }
        store.write_config(folder, {**facts, **run.model.describe()})
        store.write_weights(folder, run.model.state_dict())
        store.write_vectors(folder, run.vectors)
        store.write_catalogue(folder, run.catalogue, run.counts, run.retired)
        (folder / store.CURVES).write_text(run.curves, encoding="utf-8")
        store.write_evaluations(folder, run.stages, run.evaluations)
        card = model_card(run.preset, run.evaluations, len(run.catalogue), run.curves, run.brought)
        (folder / store.CARD).write_text(card, encoding="utf-8")
        if isinstance(run.model, GenerativeModel):
            run.model.save_tokenizer(folder / store.TOKENIZER)
        if isinstance(run.model, ExportedModel):
            run.model.save_graph(folder / store.EXPORT)
        if run.index is not None:
            run.index.save(folder / store.INDEX)
        if run.item_llm is not None:
            run.item_llm.save(folder / store.ITEM_LLM)
    return target


def read_run(folder: Path) -> Run:
    """Read a run folder; where it is replaced meanwhile, the new one, and never parts of both.

    Raises
    ------
    StoreError
        When it is no run folder, is damaged, or is of a newer format.
    """
    for _ in range(READS):
        before = _identity(folder)
        try:
            run = _read_once(folder)
        except Exception:  # whatever half a folder leads to
            if _identity(folder) == before:
                raise
        else:
            if _identity(folder) == before:
                return run
    raise StoreError(
        f"{folder} was replaced again and again while it was read.", "Wait for who writes there."
    )


def _identity(folder: Path) -> tuple[int, int]:
    """Tell a folder from another one of its name; writing a run makes a new one."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_ino, found.st_ctime_ns


def _read_once(folder: Path) -> Run:
    config = store.read_config(folder)
    preset = preset_from_dict(config["preset"])
    catalogue, counts, retired = store.read_catalogue(folder)
    model = _read_model(folder, config, preset).eval()
    metrics = store.read_metrics(folder)
    vectors = store.read_vectors(folder)
    sizes = {len(catalogue), len(vectors), config.get("shape", [len(vectors)])[0]}
    if len(sizes) > 1:
        raise StoreError(
            f"{folder} is damaged: its parts hold {', '.join(map(str, sorted(sizes)))} items.",
            "Copy or train it again.",
        )
    curves = folder / store.CURVES
    return Run(
        preset=preset,
        model=model,
        catalogue=catalogue,
        counts=counts,
        vectors=vectors,
        stages=metrics.get("stages", []),
        evaluations=store.read_evaluations(folder, metrics),
        item_llm=store.read_item_llm(folder, preset.text.pooling),
        curves=curves.read_text(encoding="utf-8") if curves.is_file() else "",
        retired=retired,
        brought=config.get("brought_vectors", False),
        users_sha256=config.get("users_sha256", ""),
        sequences_sha256=config.get("sequences_sha256", ""),
        split=config.get("split", ""),
        index=_read_index(folder / store.INDEX, model),
    )


def read_preset(folder: Path, assignments: Sequence[str] = (), seed: int | None = None) -> Preset:
    """Read the settings of a run, changed as `load_preset` changes a preset's.

    Raises
    ------
    StoreError, ConfigError
        When `folder` is no run folder; on an unknown setting or value.
    """
    values = override(store.read_config(folder)["preset"], list(assignments))
    return preset_from_dict(values if seed is None else {**values, "seed": seed})


def _read_model(folder: Path, config: dict[str, Any], preset: Preset) -> RankingModel:
    weights = store.read_weights(folder)
    if "exported" in config:
        exported = from_dict(ExportedConfig, config["exported"])
        return ExportedModel(exported, weights, folder / store.EXPORT)
    model = MODELS[preset.model.kind].skeleton(preset.model, config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise StoreError(f"{folder}: the weights do not fit the config: {error}") from error
    if isinstance(model, GenerativeModel):
        model.load_tokenizer(folder / store.TOKENIZER)
    return model


@torch.no_grad()
def _read_index(folder: Path, model: RankingModel) -> Index | None:
    if not folder.is_dir() or not isinstance(model, SequenceModel):
        return None
    return Index.load(folder, model.item_matrix())
