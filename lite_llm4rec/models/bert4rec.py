"""BERT4Rec: a two-way encoder that learns to fill in masked items of a history.

Source: Sun et al., *BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations
from Transformer*, CIKM 2019; what the paper leaves open, from the authors' code.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.losses import LossConfig, catalogue_loss
from lite_llm4rec.models.base import CatalogueFacts, EncoderModel, ModelConfig, at_places
from lite_llm4rec.models.layers import (
    BERT_STD,
    NORM_EPS,
    PostNormTransformer,
    draw_bert_weights,
)


@dataclass(frozen=True)
class BERT4RecConfig(ModelConfig):
    """Settings of BERT4Rec; the defaults are the authors' for ML-1M.

    Attributes
    ----------
    width, blocks, heads, inner : int
        `inner` is the feed-forward part's width.
    history_length : int
        How many items go in, at most; the mask behind them has a position of its own.
    dropout, attention_dropout : float
    mask_rate : float
        Share of a window's items that are masked, at least one. The paper's best: 0.2 on ML-1M,
        0.6 on Beauty.
    last_share : float
        Share of the windows in which only the last item is masked, as when recommending. The
        authors add one such copy to ten of the other kind.
    loss : LossConfig
        Over the masked items; "full" is the original.
    """

    kind: Literal["bert4rec"] = "bert4rec"
    width: int = 64
    blocks: int = 2
    heads: int = 2
    inner: int = 256
    history_length: int = 200
    dropout: float = 0.2
    attention_dropout: float = 0.2
    mask_rate: float = 0.2
    last_share: float = 1 / 11
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        check_shares(self, "dropout", "attention_dropout", "mask_rate", "last_share")
        check_at_least(self, 1, "history_length", "width", "blocks", "heads", "inner")


class BERT4Rec(EncoderModel):
    """A two-way transformer over id embeddings, used once more as the head, with a bias per item.

    A window of a user's training part, the item after it included, is one sequence. Which of its
    items are masked comes from torch's generator, which training seeds by (seed, epoch, step). A
    masked item is always replaced by the mask's vector, as in the authors' settings.

    Parameters
    ----------
    config : BERT4RecConfig
    n_items : int
    """

    bias_columns = 1

    def __init__(self, config: BERT4RecConfig, n_items: int) -> None:
        super().__init__()
        self.config = config
        self.history_length = config.history_length
        width = config.width
        self.items = nn.Parameter(torch.randn(n_items, width) * BERT_STD)
        self.mask_vector = nn.Parameter(torch.randn(width) * BERT_STD)
        self.positions = nn.Parameter(torch.randn(config.history_length + 1, width) * BERT_STD)
        self.norm_in = nn.LayerNorm(width, NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = PostNormTransformer(
            width,
            config.blocks,
            config.heads,
            config.inner,
            config.dropout,
            config.attention_dropout,
        )
        self.output = nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(width, NORM_EPS)
        self.item_bias = nn.Parameter(torch.zeros(n_items))
        self.counts: torch.Tensor
        self.register_buffer("counts", torch.ones(n_items, dtype=torch.int64))
        self.apply(draw_bert_weights)

    @classmethod
    def create(cls, config: BERT4RecConfig, facts: CatalogueFacts) -> "BERT4Rec":
        """Build it for a catalogue, of which only the training counts matter."""
        model = cls(config, len(facts.counts))
        model.counts.copy_(facts.counts)
        return model

    @classmethod
    def skeleton(cls, config: BERT4RecConfig, described: dict[str, Any]) -> "BERT4Rec":
        """Build it with weights to be filled in, from what `describe` gave."""
        return cls(config, described["shape"][0])

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs to build this model again."""
        return {"shape": [len(self.items), 0]}

    def input_vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up."""
        return self.items[items]

    def encode(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode histories, each with one mask behind it, (batch, width + 1). Source: §3.6."""
        longer, real = (
            functional.pad(vectors, (0, 0, 0, 1)),
            functional.pad(mask, (1, 0), value=True),
        )
        behind = mask.sum(1)
        places = torch.arange(longer.shape[1], device=mask.device)
        states = self._states(longer, real, places == behind[:, None])
        return self._fill(at_places(states, behind))

    def item_matrix(self) -> torch.Tensor:
        """Return the id embeddings and behind each its bias, (N, width + 1)."""
        return torch.cat([self.items, self.item_bias[:, None]], 1)

    def taught(self, batch: Batch) -> int:
        """Count the masked items, as if no window masked its last one alone."""
        return int(self._mask_counts(batch.mask.sum(1) + 1).sum())

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Teach the masked items, and nothing else. Source: Eq. 8."""
        items, mask = batch.whole()
        masked = self.draw_masked(mask)
        users = self._fillings(items, mask, masked)
        loss = self.config.loss
        return catalogue_loss(users, self.item_matrix(), items[masked], self.counts, loss)

    def draw_masked(self, mask: torch.Tensor) -> torch.Tensor:
        """Draw which real positions to mask, (batch, length) bool → the same."""
        lengths = mask.sum(1)
        only_last = torch.rand(len(mask), device=mask.device) < self.config.last_share
        counts = self._mask_counts(lengths).masked_fill(only_last, 1)
        order = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, 2.0)
        last = functional.one_hot(lengths - 1, mask.shape[1]).bool()
        order = order.masked_fill(last & only_last[:, None], -1.0)
        return order.argsort(1).argsort(1) < counts[:, None]

    def _mask_counts(self, lengths: torch.Tensor) -> torch.Tensor:
        return (lengths * self.config.mask_rate).round().long().clamp_min(1)

    def _fillings(
        self, items: torch.Tensor, mask: torch.Tensor, masked: torch.Tensor
    ) -> torch.Tensor:
        """Give what would fill each masked position and a 1, (masked, width + 1)."""
        return self._fill(self._states(self.input_vectors(items), mask, masked)[masked])

    def _states(
        self, vectors: torch.Tensor, mask: torch.Tensor, masked: torch.Tensor
    ) -> torch.Tensor:
        """Encode item vectors some of which are masked, (batch, length, width) → the same."""
        vectors = torch.where(masked[..., None], self.mask_vector, vectors)
        entered = self.dropout(self.norm_in(vectors + self.positions[: vectors.shape[1]]))
        states: torch.Tensor = self.encoder(entered, mask)
        return states

    def _fill(self, states: torch.Tensor) -> torch.Tensor:
        """Give what would fill masked positions and a 1, (n, width + 1). Source: Eq. 7."""
        users = self.norm_out(functional.gelu(self.output(states)))
        return torch.cat([users, torch.ones_like(users[:, :1])], 1)
