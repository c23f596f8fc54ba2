"""The item vectors that a Recommendation LLM reads."""

import torch
from torch import nn


class ItemTable(nn.Module):
    """One vector per item, brought to the Recommendation LLM's width.

    Parameters
    ----------
    vectors : torch.Tensor
        (N, text width): encoded text, or random numbers for an id-only table.
    width : int
        The Recommendation LLM's width; one linear layer where it differs (paper §5.5.2).
    trainable : bool
        Whether the vectors themselves are learnt. Source: paper §5.1.4, "fine-tuning the
        context-aware embeddings".
    """

    def __init__(self, vectors: torch.Tensor, width: int, *, trainable: bool) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors.to(torch.float32), requires_grad=trainable)
        same = vectors.shape[1] == width
        self.project: nn.Module = nn.Identity() if same else nn.Linear(vectors.shape[1], width)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up: (…) int64 → (…, width)."""
        projected: torch.Tensor = self.project(self.vectors[items])
        return projected
