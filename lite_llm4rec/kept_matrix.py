"""A model's item matrix, kept from call to call: to make it takes longer than to rank one user."""

from itertools import chain

import torch

from lite_llm4rec.models import CausalLLM4Rec, ExportedModel
from lite_llm4rec.models.base import SequenceModel
from lite_llm4rec.models.room import Room

Weight = tuple[int, torch.Size, int]


class KeptMatrix:
    """Makes a model's item matrix anew only when a weight has changed in place or been replaced."""

    def __init__(self) -> None:
        self._matrix = torch.empty(0)
        self._made_of: list[Weight] | None = None
        self._room = Room()

    @torch.no_grad()
    def of(self, model: SequenceModel) -> torch.Tensor:
        """Return `model.item_matrix()`, (N, dim)."""
        weights = _weights(model)
        if weights != self._made_of:
            self._matrix, self._made_of = model.item_matrix(), weights
        return self._matrix

    def add_items(self, model: CausalLLM4Rec | ExportedModel, vectors: torch.Tensor) -> None:
        """Have a model add items, and where its matrix is kept, keep their rows with it."""
        was_kept = self._made_of == _weights(model)
        rows = model.add_items(vectors)
        if was_kept and isinstance(model, CausalLLM4Rec):  # an export has its matrix at hand
            self._matrix = self._room.append(self._matrix, rows)
            self._made_of = _weights(model)


def _weights(model: SequenceModel) -> list[Weight]:
    weights = chain(model.parameters(), model.buffers())
    return [(weight.data_ptr(), weight.shape, _version(weight)) for weight in weights]


def _version(weight: torch.Tensor) -> int:
    """Count a tensor's changes in place; one made in inference mode does not."""
    return 0 if weight.is_inference() else weight._version
