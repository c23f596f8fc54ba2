"""A preset's stages in order, each optional and resumable.

Pre-training for a model that has some; the paper's joint stage; the vector stage, which all have.
"""

import copy
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split
from lite_llm4rec.errors import TrainingError
from lite_llm4rec.item_vectors import catalogue_texts
from lite_llm4rec.machine import Machine
from lite_llm4rec.models import LiteConfig, LiteLLM4Rec, PretrainedModel, RankingModel
from lite_llm4rec.models.lite import JointText
from lite_llm4rec.paths import flush, is_main_process
from lite_llm4rec.preset import Preset, TextConfig
from lite_llm4rec.stage_config import STAGES, StageConfig
from lite_llm4rec.text.encoder import (
    ItemLLM,
    encode_texts,
    load_tokenizer,
    tokenize,
)
from lite_llm4rec.train import Fitted, fit

FITTED = "fitted"  # key of a finished stage's metadata


def run_stages(
    model: RankingModel,
    dataset: Dataset,
    split: Split,
    preset: Preset,
    folder: Path,
    *,
    machine: Machine,
    progress: bool = True,
    max_seconds: float | None = None,
    tuned: ItemLLM | None = None,
) -> tuple[list[dict[str, Any]], ItemLLM | None]:
    """Train the preset's stages one after the other; stages done before are taken from `folder`.

    Parameters
    ----------
    max_seconds : float, optional
        Time for all stages together; each may take its share of what is left, then it is cut.
    tuned : ItemLLM, optional
        What the joint stage begins with in place of the preset's Item LLM.

    Returns
    -------
    results : list of dict
        One per stage: its name, and how it ended (`Fitted`).
    item_llm : ItemLLM or None
        The Item LLM as the joint stage left it, where there was one.
    """
    results: list[dict[str, Any]] = []
    item_llm = None
    names = [name for name in STAGES if getattr(preset, name) is not None]
    for number, name in enumerate(names):
        stage: StageConfig = getattr(preset, name)
        done = folder / f"{name}.safetensors"
        if isinstance(model, LiteLLM4Rec):
            _set_up(model, dataset, preset, name, stage, tuned)
        if isinstance(model, PretrainedModel):
            for part in model.pretraining_only():
                part.requires_grad_(name == "pretrain")
        if done.is_file():
            load_model(model, done)
            fitted = _read_fitted(done)
        else:
            left = max_seconds
            if left is not None:
                left = (left - sum(result["seconds"] for result in results)) / (len(names) - number)
            fitted = fit(
                model, split, stage, folder / name, seed=preset.seed, machine=machine,
                progress=progress, name=f"{name} stage", seen_filter=not preset.repeats,
                max_seconds=left, pretraining=name == "pretrain",
            )  # fmt: skip
            if is_main_process():
                _save(model, done, fitted)
        if name == "joint" and isinstance(model, LiteLLM4Rec):
            item_llm = _fold(model, dataset, preset.text, machine.name())
        results.append({"stage": name, **asdict(fitted)})
    model.eval()
    return results, item_llm


def _set_up(
    model: LiteLLM4Rec,
    dataset: Dataset,
    preset: Preset,
    name: str,
    stage: StageConfig,
    tuned: ItemLLM | None,
) -> None:
    """Say what of the paper's model learns in this stage."""
    if name == "joint":
        _join(model, dataset, preset.text, tuned)
    assert model.items.vectors is not None and isinstance(preset.model, LiteConfig)
    model.items.vectors.requires_grad_(name == "vector" and stage.train_items)
    model.head.requires_grad_(stage.train_head and not preset.model.fix_head)


def _join(model: LiteLLM4Rec, dataset: Dataset, config: TextConfig, tuned: ItemLLM | None) -> None:
    """Put the Item LLM into the model."""
    llm = copy.deepcopy(tuned) if tuned else ItemLLM.load(config.model, config.pooling)
    tokenizer = load_tokenizer(config.model)
    tokens, mask = tokenize(
        tokenizer, catalogue_texts(dataset.catalogue, config), config.max_tokens
    )
    model.text = JointText(llm, tokens, mask)


@torch.no_grad()
def _fold(model: LiteLLM4Rec, dataset: Dataset, config: TextConfig, device: str) -> ItemLLM:
    """Encode every item with the trained Item LLM into the table, and take the Item LLM out."""
    assert model.text is not None
    tokenizer = load_tokenizer(config.model)
    vectors = encode_texts(
        model.text.llm,
        tokenizer,
        catalogue_texts(dataset.catalogue, config),
        max_tokens=config.max_tokens,
        device=device,
        progress=False,
    )
    assert model.items.vectors is not None
    model.items.vectors.copy_(torch.from_numpy(vectors))
    item_llm, model.text = model.text.llm, None
    item_llm.tokenizer = tokenizer
    return item_llm


def _save(model: RankingModel, path: Path, fitted: Fitted) -> None:
    partial = path.with_suffix(".part")
    ended = {FITTED: json.dumps(asdict(fitted))}
    try:
        save_model(model, str(partial), ended)  # not save_file: T5's Item LLM shares its embedding
        flush(partial)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise TrainingError(
            f"{path} cannot be written: {error}",
            "Make room and run the same command again: it goes on from the last checkpoint.",
        ) from error


def _read_fitted(path: Path) -> Fitted:
    """Read how a finished stage ended."""
    with safe_open(path, "pt") as file:
        return Fitted(**json.loads(file.metadata()[FITTED]))
