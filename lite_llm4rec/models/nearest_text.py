"""The items whose text is nearest to the last one's: what text does without any learning."""

import torch
from torch.nn import functional

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.models.base import SequenceModel


class NearestText(SequenceModel):
    """Score an item by the cosine of its text vector with the last item's.

    Parameters
    ----------
    vectors : torch.Tensor
        (N, text width).
    """

    history_length = 1

    def __init__(self, vectors: torch.Tensor) -> None:
        super().__init__()
        self.vectors: torch.Tensor
        self.register_buffer("vectors", functional.normalize(vectors.to(torch.float32), dim=1))

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Give the last item's vector, (batch, text width)."""
        last = items.gather(1, mask.sum(1, keepdim=True) - 1)[:, 0]
        return self.vectors[last]

    def item_matrix(self) -> torch.Tensor:
        """Return the text vectors, of length 1."""
        return self.vectors

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Nothing is learnt: always 0."""
        return torch.zeros(())
