"""SASRec: the peer to beat, with its own loss and with better ones.

Source: Kang & McAuley, *Self-Attentive Sequential Recommendation*, ICDM 2018; the losses that made
it strong again: Klenitskiy & Vasilev 2023 (cross-entropy), Petrov & Macdonald 2023 (gBCE).
Positions count from a history's beginning; its authors pad in front, so that the newest item always
has the last one.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.losses import LossConfig, catalogue_loss
from lite_llm4rec.models.base import CatalogueFacts, EveryPositionModel, ModelConfig
from lite_llm4rec.models.layers import Attention, check_heads


@dataclass(frozen=True)
class SASRecConfig(ModelConfig):
    """Settings of SASRec.

    Attributes
    ----------
    width, blocks, heads : int
    history_length : int
        How many items go in, at most.
    dropout : float
        Of the item vectors, the attention weights and the feed-forward parts.
    loss : LossConfig
        "bce" with one negative is the original.
    """

    kind: Literal["sasrec"] = "sasrec"
    width: int = 50
    blocks: int = 2
    heads: int = 1
    history_length: int = 200
    dropout: float = 0.2
    loss: LossConfig = field(default_factory=lambda: LossConfig("bce", negatives=1))

    def __post_init__(self) -> None:
        check_shares(self, "dropout")
        check_at_least(self, 1, "history_length", "width", "blocks", "heads")


class SASRec(EveryPositionModel):
    """A causal transformer over id embeddings, used once more as the head.

    Parameters
    ----------
    config : SASRecConfig
    n_items : int
    """

    def __init__(self, config: SASRecConfig, n_items: int) -> None:
        super().__init__()
        check_heads(config.width, config.heads)
        self.config = config
        self.history_length = config.history_length
        self.items = nn.Parameter(torch.randn(n_items, config.width) * 0.02)
        self.positions = nn.Parameter(torch.randn(config.history_length, config.width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(SASRecBlock(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.width)
        self.counts: torch.Tensor
        self.register_buffer("counts", torch.ones(n_items, dtype=torch.int64))

    @classmethod
    def create(cls, config: SASRecConfig, facts: CatalogueFacts) -> "SASRec":
        """Build it for a catalogue, of which only the training counts matter."""
        model = cls(config, len(facts.counts))
        model.counts.copy_(facts.counts)
        return model

    @classmethod
    def skeleton(cls, config: SASRecConfig, described: dict[str, Any]) -> "SASRec":
        """Build it with weights to be filled in, from what `describe` gave."""
        return cls(config, described["shape"][0])

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs to build this model again."""
        return {"shape": [len(self.items), 0]}

    def position_vectors(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode item vectors, (batch, length, width) → (batch, length, width)."""
        scaled = vectors * self.config.width**0.5
        states = self.dropout(scaled + self.positions[: vectors.shape[1]])
        for block in self.blocks:
            states = block(states)
        normed: torch.Tensor = self.norm(states)
        return normed

    def input_vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up."""
        return self.items[items]

    def item_matrix(self) -> torch.Tensor:
        """Return the id embeddings, (N, width)."""
        return self.items

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Teach every position its next item."""
        users = self.position_vectors(self.items[batch.items], batch.mask)[batch.mask]
        targets = batch.following[batch.mask]
        return catalogue_loss(users, self.items, targets, self.counts, self.config.loss)


class SASRecBlock(nn.Module):
    """Self-attention and a feed-forward part of the same width, each added to its normed input.

    Source: the authors' code adds to the normalised queries, not to what came in. Other than there
    the heads' outputs go through one more linear layer.
    """

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.width)
        self.attention = Attention(config.width, config.heads, config.dropout)
        self.norm_inner = nn.LayerNorm(config.width)
        self.inner = nn.Linear(config.width, config.width)
        self.outer = nn.Linear(config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Encode, (batch, length, width)."""
        queries = self.norm_attention(states)
        states = self.norm_inner(queries + self.attention(queries, states))
        inner = self.dropout(functional.relu(self.inner(states)))
        added: torch.Tensor = self.dropout(self.outer(inner))
        return states + added
