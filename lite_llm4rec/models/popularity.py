"""The most popular items, the same for everybody: the baseline that any model must pass."""

import torch

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.models.base import SequenceModel


class Popularity(SequenceModel):
    """Score an item by its number of training interactions.

    Parameters
    ----------
    counts : torch.Tensor
        (N,) training interactions of each item.
    """

    history_length = 1

    def __init__(self, counts: torch.Tensor) -> None:
        super().__init__()
        self.counts: torch.Tensor
        self.register_buffer("counts", counts.to(torch.float32))

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Give everybody the same vector, (batch, 1)."""
        return torch.ones(len(items), 1, device=self.counts.device)

    def item_matrix(self) -> torch.Tensor:
        """Return the counts, (N, 1)."""
        return self.counts[:, None]

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Nothing is learnt by gradient: always 0."""
        return torch.zeros(())
