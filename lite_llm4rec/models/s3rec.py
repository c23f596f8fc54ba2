"""S3-Rec: a transformer that four pretext tasks teach about items, attributes and segments first.

Source: Zhou et al., *S3-Rec: Self-Supervised Learning for Sequential Recommendation with Mutual
Information Maximization*, CIKM 2020; the losses as in the authors' code. Positions count from a
history's beginning, as SASRec's do here.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.losses import LossConfig, catalogue_loss
from lite_llm4rec.models.attribute_table import AttributeTable
from lite_llm4rec.models.base import CatalogueFacts, ModelConfig, PretrainedModel
from lite_llm4rec.models.layers import (
    BERT_STD,
    NORM_EPS,
    PostNormTransformer,
    draw_bert_weights,
)


@dataclass(frozen=True)
class S3RecConfig(ModelConfig):
    """Settings of S3-Rec; the defaults are the authors'.

    Attributes
    ----------
    width, blocks, heads, inner : int
        `inner` is the feed-forward part's width.
    history_length : int
        How many items go in, at most.
    dropout : float
        Of the input, what the blocks' parts add and their attention weights.
    mask_rate : float
        Share of a sequence's items that are masked in pre-training, besides its last.
    aap, mip, map, sp : float
        Weights of the four pretext losses: associated attributes, masked items, masked attributes,
        segments.
    loss : LossConfig
        Of the fine-tuning; "bce" with one negative is the original.
    """

    kind: Literal["s3rec"] = "s3rec"
    width: int = 64
    blocks: int = 2
    heads: int = 2
    inner: int = 256
    history_length: int = 50
    dropout: float = 0.5
    mask_rate: float = 0.2
    aap: float = 0.2
    mip: float = 1.0
    map: float = 1.0
    sp: float = 0.5
    loss: LossConfig = field(default_factory=lambda: LossConfig("bce", negatives=1))

    reads_attributes = True

    def __post_init__(self) -> None:
        check_shares(self, "dropout", "mask_rate")
        check_at_least(self, 1, "history_length", "width", "blocks", "heads", "inner")
        check_at_least(self, 0, "aap", "mip", "map", "sp")


class S3Rec(PretrainedModel):
    """One transformer over id embeddings: two-way in pre-training, causal when it recommends.

    In pre-training a window of a user's training part, the item after it included, is one sequence,
    which has one position more than a history. What is masked comes from torch's generator.

    Parameters
    ----------
    config : S3RecConfig
    n_items : int
    attributes : AttributeTable
    """

    def __init__(self, config: S3RecConfig, n_items: int, attributes: AttributeTable) -> None:
        super().__init__()
        self.config = config
        self.history_length = config.history_length
        width, dropout = config.width, config.dropout
        self.items = nn.Parameter(torch.randn(n_items, width) * BERT_STD)
        self.positions = nn.Parameter(torch.randn(config.history_length + 1, width) * BERT_STD)
        self.norm_in = nn.LayerNorm(width, NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.encoder = PostNormTransformer(
            width, config.blocks, config.heads, config.inner, dropout, dropout
        )
        self.attributes = attributes
        self.pretext = Pretext(width)
        self.counts: torch.Tensor
        self.register_buffer("counts", torch.ones(n_items, dtype=torch.int64))
        self.apply(draw_bert_weights)

    @classmethod
    def create(cls, config: S3RecConfig, facts: CatalogueFacts) -> "S3Rec":
        """Build it for a catalogue whose items have attributes.

        Raises
        ------
        ConfigError
            When they have none.
        """
        attributes = AttributeTable.of(facts.attributes, config.width, "S3-Rec")
        model = cls(config, len(facts.counts), attributes)
        model.counts.copy_(facts.counts)
        return model

    @classmethod
    def skeleton(cls, config: S3RecConfig, described: dict[str, Any]) -> "S3Rec":
        """Build it with weights to be filled in, from what `describe` gave."""
        n_items, (n_attributes, n_entries) = described["shape"][0], described["attributes"]
        attributes = AttributeTable(n_items, n_attributes, n_entries, config.width)
        return cls(config, n_items, attributes)

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs to build this model again."""
        shape = [len(self.items), 0]
        return {"shape": shape, "attributes": self.attributes.describe()}

    def input_vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up."""
        return self.items[items]

    def position_vectors(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode item vectors, (batch, length, width) → (batch, length, width)."""
        states: torch.Tensor = self.encoder(self._enter(vectors))
        return states

    def item_matrix(self) -> torch.Tensor:
        """Return the id embeddings, (N, width)."""
        return self.items

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Teach every position its next item."""
        users = self.position_vectors(self.items[batch.items], batch.mask)[batch.mask]
        targets = batch.following[batch.mask]
        return catalogue_loss(users, self.items, targets, self.counts, self.config.loss)

    def pretraining_only(self) -> list[nn.Module]:
        """Return the pretext tasks' own parts."""
        return [self.attributes, self.pretext]

    def pretraining_loss(self, batch: Batch) -> torch.Tensor:
        """Weigh the four pretext losses of a batch, summed over it and divided by its sequences.

        Sums over positions and attributes, not means, are what the authors' weights go with.
        """
        items, mask = batch.whole()
        total = self._items_and_attributes(items, mask, self.draw_masked(mask))
        total = total + self.config.sp * self._segments(items, mask, draw_segments(mask))
        return total / len(items)

    def draw_masked(self, mask: torch.Tensor) -> torch.Tensor:
        """Draw which real positions to mask, the last always: (batch, length) bool → the same."""
        drawn = torch.rand(mask.shape, device=mask.device) < self.config.mask_rate
        last = functional.one_hot(mask.sum(1) - 1, mask.shape[1]).bool()
        return drawn & mask | last

    def _items_and_attributes(
        self, items: torch.Tensor, mask: torch.Tensor, masked: torch.Tensor
    ) -> torch.Tensor:
        """Associated attributes, masked items and masked attributes. Source: §4.2.

        The wrong items come from the whole catalogue, the authors' from outside the sequence.
        """
        states = self._two_way(items, mask, masked)
        shown, hidden = mask & ~masked, states[masked]
        vectors, owned = self.attributes.vectors, self.attributes.multi_hot
        others = torch.randint(len(self.items), (len(hidden),), device=items.device)
        aap = attribute_loss(self.pretext.aap(states[shown]), vectors, owned(items[shown]))
        mip = pairwise_loss(self.pretext.mip(hidden), self.items[items[masked]], self.items[others])
        map_ = attribute_loss(self.pretext.map(hidden), vectors, owned(items[masked]))
        return self.config.aap * aap + self.config.mip * mip + self.config.map * map_

    def _segments(
        self, items: torch.Tensor, mask: torch.Tensor, inside: torch.Tensor
    ) -> torch.Tensor:
        """Tell what was cut out of a sequence from another segment. Source: §4.2."""
        rows, last = torch.arange(len(items), device=items.device), mask.sum(1) - 1
        others = draw_other_segments(items, mask, inside)
        context = self._two_way(items, mask, inside)[rows, last]
        own = self._two_way(items, mask, mask & ~inside)[rows, last]
        other = self._two_way(others, mask, mask & ~inside)[rows, last]
        return pairwise_loss(self.pretext.sp(context), own, other)

    def _two_way(
        self, items: torch.Tensor, mask: torch.Tensor, masked: torch.Tensor
    ) -> torch.Tensor:
        """Encode sequences some of whose items are masked, (batch, length, width)."""
        vectors = torch.where(masked[..., None], self.pretext.mask_vector, self.items[items])
        states: torch.Tensor = self.encoder(self._enter(vectors), mask)
        return states

    def _enter(self, vectors: torch.Tensor) -> torch.Tensor:
        placed = self.norm_in(vectors + self.positions[: vectors.shape[1]])
        entered: torch.Tensor = self.dropout(placed)
        return entered


class Pretext(nn.Module):
    """What the pretext tasks need: the mask's vector, and a linear layer for each task."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mask_vector = nn.Parameter(torch.randn(width) * BERT_STD)
        self.aap = nn.Linear(width, width)
        self.mip = nn.Linear(width, width)
        self.map = nn.Linear(width, width)
        self.sp = nn.Linear(width, width)


def attribute_loss(
    states: torch.Tensor, attributes: torch.Tensor, owned: torch.Tensor
) -> torch.Tensor:
    """Sum the binary cross-entropy of every attribute of every state.

    Parameters
    ----------
    states : torch.Tensor
        (n, width).
    attributes : torch.Tensor
        (A, width).
    owned : torch.Tensor
        (n, A) of 0 and 1.
    """
    logits = (states @ attributes.T).float()
    return functional.binary_cross_entropy_with_logits(logits, owned, reduction="sum")


def pairwise_loss(states: torch.Tensor, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Sum −log σ(σ(state · own) − σ(state · other)) over the rows, all (n, width).

    Of two probabilities, not of two logits: so has the authors' code.
    """
    first, second = ((states * one).sum(1).float().sigmoid() for one in (own, other))
    return -functional.logsigmoid(first - second).sum()


def draw_segments(mask: torch.Tensor) -> torch.Tensor:
    """Draw a segment of each sequence, of one item to half of them: (batch, length) bool."""
    lengths = mask.sum(1)
    sizes = 1 + _draw_below(lengths // 2)
    starts = _draw_below(lengths - sizes + 1)
    places = torch.arange(mask.shape[1], device=mask.device)
    return (places >= starts[:, None]) & (places < (starts + sizes)[:, None])


def draw_other_segments(
    items: torch.Tensor, mask: torch.Tensor, inside: torch.Tensor
) -> torch.Tensor:
    """Put as many items from elsewhere where the segments stand, (batch, length).

    The batch's sequences one behind the other are what they are drawn from, as the authors draw
    from all users' sequences one behind the other.
    """
    flat, sizes = items[mask], inside.sum(1)
    starts = _draw_below(len(flat) - sizes + 1)
    within = (inside.cumsum(1) - 1).clamp_min(0)
    return torch.where(inside, flat[(starts[:, None] + within).clamp_max(len(flat) - 1)], items)


def _draw_below(limits: torch.Tensor) -> torch.Tensor:
    """Draw a whole number from 0 to each limit − 1, uniformly."""
    return (torch.rand(limits.shape, device=limits.device) * limits).long()
