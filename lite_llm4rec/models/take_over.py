"""Go on from a trained model: its weights, and by their ids those of the items still there."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lite_llm4rec.config import difference, to_dict
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.models.causal import CausalLLM4Rec
from lite_llm4rec.models.exported import ExportedModel
from lite_llm4rec.models.generative import GenerativeRec
from lite_llm4rec.models.prompt_encoder import PromptEncoder

# What has one row per item or per attribute, by name in the models' states.
PER_ITEM = ("items", "items.vectors", "items.ids", "item_bias", "head", "head.weight")
PER_ATTRIBUTE = ("attributes.vectors",)
# What the new training data and catalogue decide.
OWN = ("counts", "cold_offset", "attributes.offsets", "attributes.numbers")


@torch.no_grad()
def take_over(
    model: nn.Module, facts: CatalogueFacts, old: nn.Module, places: Ints, attribute_places: Ints
) -> None:
    """Copy a trained model's weights into a new one of the same settings.

    Parameters
    ----------
    model, old : SequenceModel
        Of one class and shape; their catalogues may differ.
    facts : CatalogueFacts
        What `model` was made from.
    places : numpy.ndarray
        (N,) for each item of `model` its number in `old`, −1 for a new one. A new item's id part
        starts from nothing where there is text, with ids that started from text (`init`) from its
        text's place among the known items', else as drawn; so does that of an item without any
        interaction in the new training data.
    attribute_places : numpy.ndarray
        (A,) the same for attributes; of a model that reads none, empty.

    Raises
    ------
    ConfigError
        When the models are not of one shape, the old one is an export, or of a model that reads
        items as text the catalogues are not the same.
    """
    if isinstance(old, ExportedModel):
        raise ConfigError(
            "An export cannot be gone on from.", "Name the run folder that it was made of."
        )
    if isinstance(model, GenerativeRec | PromptEncoder) and not np.array_equal(
        places, np.arange(len(places))
    ):
        raise ConfigError(
            "A model that reads items as text can only go on with the same catalogue.",
            "Train it anew.",
        )
    _check(model, old)
    before, state = old.state_dict(), model.state_dict()
    for name, value in state.items():
        if name in PER_ITEM:
            _copy_rows(value, before[name], places)
        elif name in PER_ATTRIBUTE:
            _copy_rows(value, before[name], attribute_places)
        elif name not in OWN:
            value.copy_(before[name])
    if isinstance(model, CausalLLM4Rec):
        _settle(model, facts, torch.from_numpy(places < 0))


def _settle(model: CausalLLM4Rec, facts: CatalogueFacts, new: torch.Tensor) -> None:
    """Give the items their text's vectors, and new ones an id part to start from."""
    ids = model.items.ids
    if ids is not None and model.config.items == "init":
        ids.copy_(_placed(ids, facts.vectors, ~new))
    if model.items.vectors is None:
        return
    model.items.replace_texts(facts.vectors)
    if ids is not None:
        ids[new] = 0.0
        if model.scores_text:  # an item that is cold now must not bring what it once learnt
            ids[facts.counts == 0] = 0.0


def _placed(ids: torch.Tensor, vectors: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Put new items where their text stands among the known ones, by least squares, (N, width)."""
    text = functional.pad(vectors.double(), (0, 1), value=1.0)
    way = torch.linalg.lstsq(text[known], ids[known].double(), driver="gelsd").solution
    return torch.where(known[:, None], ids, (text @ way).to(ids))


def _copy_rows(value: torch.Tensor, before: torch.Tensor, places: Ints) -> None:
    known = places >= 0
    value[torch.from_numpy(known)] = before[torch.from_numpy(places[known])]


def _check(model: nn.Module, old: nn.Module) -> None:
    state, before = model.state_dict(), old.state_dict()
    for name, value in state.items():
        first = 1 if name in PER_ITEM + PER_ATTRIBUTE else 0
        same = name in before and value.shape[first:] == before[name].shape[first:]
        if not same and name not in OWN:
            change = difference(_settings(old), _settings(model), "model.")
            raise ConfigError(
                f"The model to go on from differs: {change or f'{name} is of another shape'}.",
                "Train with the preset and settings that it was trained with"
                + ("." if change else ", and bring item vectors where it had such."),
            )


def _settings(model: nn.Module) -> dict[str, Any]:
    config = getattr(model, "config", None)
    return {} if config is None else to_dict(config)
