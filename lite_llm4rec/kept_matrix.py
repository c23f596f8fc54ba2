"""A model's item matrix, kept from call to call: to make it takes longer than to rank one user."""

from itertools import chain

import torch

from lite_llm4rec.models.base import SequenceModel


class KeptMatrix:
    """Makes a model's item matrix anew only when a weight has changed in place or been replaced."""

    def __init__(self) -> None:
        self._matrix = torch.empty(0)
        self._made_of: list[tuple[int, torch.Size, int]] | None = None

    @torch.no_grad()
    def of(self, model: SequenceModel) -> torch.Tensor:
        """Return `model.item_matrix()`, (N, dim)."""
        weights = chain(model.parameters(), model.buffers())
        made_of = [(weight.data_ptr(), weight.shape, _version(weight)) for weight in weights]
        if made_of != self._made_of:
            self._matrix, self._made_of = model.item_matrix(), made_of
        return self._matrix


def _version(weight: torch.Tensor) -> int:
    """Count a tensor's changes in place; one made in inference mode does not."""
    return 0 if weight.is_inference() else weight._version
