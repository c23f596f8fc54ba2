"""Go on from a trained model: its weights, and by their ids those of the items still there."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.base import ReadsCatalogue
from lite_llm4rec.models.causal import CausalLLM4Rec

# What has one row per item, by name in the models' states.
PER_ITEM = ("items", "items.vectors", "items.ids", "head", "head.weight")
# What the new training data decide.
OWN = ("counts", "cold_offset")


@torch.no_grad()
def take_over(
    model: nn.Module, old: nn.Module, places: npt.NDArray[np.int64], vectors: torch.Tensor
) -> None:
    """Copy a trained model's weights into a new one of the same settings.

    Parameters
    ----------
    model, old : SequenceModel
        Of one class and shape; their catalogues may differ.
    places : numpy.ndarray
        (N,) for each item of `model` its number in `old`, −1 for a new one. A new item's id part
        starts from nothing where there is text, else as drawn.
    vectors : torch.Tensor
        (N, text width) the text's vectors.

    Raises
    ------
    ConfigError
        When the models are not of one shape, or of a model that reads items as text the
        catalogues are not the same.
    """
    if isinstance(model, ReadsCatalogue) and not np.array_equal(places, np.arange(len(places))):
        raise ConfigError(
            "A model that reads items as text can only go on with the same catalogue.",
            "Train it anew.",
        )
    before, state = old.state_dict(), model.state_dict()
    _check(state, before)
    new = torch.from_numpy(places < 0)
    known = torch.from_numpy(places[places >= 0])
    for name, value in state.items():
        if name in PER_ITEM:
            value[~new] = before[name][known]
        elif name not in OWN:
            value.copy_(before[name])
    if isinstance(model, CausalLLM4Rec) and model.items.vectors is not None:
        model.items.describe(vectors)
        if model.items.ids is not None:
            model.items.ids[new] = 0.0


def _check(state: dict[str, torch.Tensor], before: dict[str, torch.Tensor]) -> None:
    for name, value in state.items():
        first = 1 if name in PER_ITEM else 0
        same = name in before and value.shape[first:] == before[name].shape[first:]
        if not same and name not in OWN:
            raise ConfigError(
                f"The model to go on from differs in {name}.",
                "Train with the preset and settings that it was trained with.",
            )
