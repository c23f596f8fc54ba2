"""FDSA: two causal encoders side by side, one over items and one over their attributes.

Source: Zhang et al., *Feature-level Deeper Self-Attention Network for Sequential Recommendation*,
IJCAI 2019. The paper has no code of its authors; where it leaves something open, this follows
RecBole's implementation, which is the usual one.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.losses import LossConfig, catalogue_loss
from lite_llm4rec.models.attribute_table import AttributeTable
from lite_llm4rec.models.base import CatalogueFacts, EveryPositionModel, ModelConfig
from lite_llm4rec.models.layers import (
    BERT_STD,
    NORM_EPS,
    PostNormTransformer,
    draw_bert_weights,
)


@dataclass(frozen=True)
class FDSAConfig(ModelConfig):
    """Settings of FDSA; the defaults are RecBole's.

    Attributes
    ----------
    width, blocks, heads, inner : int
        Of each encoder; `inner` is the feed-forward part's width.
    history_length : int
        How many items go in, at most.
    dropout : float
        Of both encoders' inputs, what their parts add and their attention weights, and of the
        user vector.
    loss : LossConfig
        "full" is RecBole's; "bce" with one negative is the paper's.
    """

    kind: Literal["fdsa"] = "fdsa"
    width: int = 64
    blocks: int = 2
    heads: int = 2
    inner: int = 256
    history_length: int = 50
    dropout: float = 0.5
    loss: LossConfig = field(default_factory=LossConfig)

    reads_attributes = True

    def __post_init__(self) -> None:
        check_shares(self, "dropout")
        check_at_least(self, 1, "history_length", "width", "blocks", "heads", "inner")


class FDSA(EveryPositionModel):
    """Two causal transformers whose states are joined; items are scored by their id embeddings.

    An item's attributes are pooled by the paper's vanilla attention, here over all of them;
    RecBole averages within a field first, which leaves nothing to weigh where there is one field.
    Every position is taught its next item, as in the paper; RecBole teaches one target per history.

    Parameters
    ----------
    config : FDSAConfig
    n_items : int
    attributes : AttributeTable
    """

    def __init__(self, config: FDSAConfig, n_items: int, attributes: AttributeTable) -> None:
        super().__init__()
        self.config = config
        self.history_length = config.history_length
        width = config.width
        self.items = nn.Parameter(torch.randn(n_items, width) * BERT_STD)
        self.positions = nn.Parameter(torch.randn(config.history_length, width) * BERT_STD)
        self.attributes = attributes
        self.weigh = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.item_encoder = _encoder(config)
        self.attribute_encoder = _encoder(config)
        self.join = nn.Linear(2 * width, width)
        # One for both encoders' inputs and the user vector. Source: RecBole.
        self.norm = nn.LayerNorm(width, NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)
        self.counts: torch.Tensor
        self.register_buffer("counts", torch.ones(n_items, dtype=torch.int64))
        self.apply(draw_bert_weights)

    @classmethod
    def create(cls, config: FDSAConfig, facts: CatalogueFacts) -> "FDSA":
        """Build it for a catalogue whose items have attributes.

        Raises
        ------
        ConfigError
            When they have none.
        """
        attributes = AttributeTable.of(facts.attributes, config.width, "FDSA")
        model = cls(config, len(facts.counts), attributes)
        model.counts.copy_(facts.counts)
        return model

    @classmethod
    def skeleton(cls, config: FDSAConfig, described: dict[str, Any]) -> "FDSA":
        """Build it with weights to be filled in, from what `describe` gave."""
        n_items, (n_attributes, n_entries) = described["shape"][0], described["attributes"]
        attributes = AttributeTable(n_items, n_attributes, n_entries, config.width)
        return cls(config, n_items, attributes)

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs to build this model again."""
        shape = [len(self.items), 0]
        return {"shape": shape, "attributes": self.attributes.describe()}

    def input_vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up: (…) → id embedding and pooled attributes, (…, 2 · width)."""
        pooled = self.pool_attributes(items.reshape(-1)).view(*items.shape, -1)
        return torch.cat([self.items[items], pooled], -1)

    def pool_attributes(self, items: torch.Tensor) -> torch.Tensor:
        """Average each item's attribute vectors by learned weights, (n,) → (n, width).

        An attribute's weight is the softmax among the item's own. An item without any gets 0.
        """
        rows, numbers = self.attributes.entries(items)
        vectors = self.attributes.vectors
        scores = self.weigh(vectors).float()[numbers]
        highest = scores.detach().new_full((len(items), 1), -torch.inf)
        highest.scatter_reduce_(0, rows[:, None], scores.detach(), "amax")
        weights = (scores - highest[rows]).exp()
        weighted = torch.cat([weights * vectors[numbers], weights], 1)
        sums = weighted.new_zeros(len(items), weighted.shape[1]).index_add(0, rows, weighted)
        return sums[:, :-1] / sums[:, -1:].clamp_min(torch.finfo(sums.dtype).tiny)

    def position_vectors(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode both streams and join them, (batch, length, 2 · width) → (…, width)."""
        items, attributes = vectors.chunk(2, -1)
        joined = torch.cat(
            [
                self.item_encoder(self._enter(items)),
                self.attribute_encoder(self._enter(attributes)),
            ],
            -1,
        )
        users: torch.Tensor = self.dropout(self.norm(self.join(joined)))
        return users

    def item_matrix(self) -> torch.Tensor:
        """Return the id embeddings, (N, width)."""
        return self.items

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Teach every position its next item."""
        users = self.position_vectors(self.input_vectors(batch.items), batch.mask)[batch.mask]
        targets = batch.following[batch.mask]
        return catalogue_loss(users, self.items, targets, self.counts, self.config.loss)

    def _enter(self, vectors: torch.Tensor) -> torch.Tensor:
        entered: torch.Tensor = self.dropout(
            self.norm(vectors + self.positions[: vectors.shape[1]])
        )
        return entered


def _encoder(config: FDSAConfig) -> PostNormTransformer:
    return PostNormTransformer(
        config.width, config.blocks, config.heads, config.inner, config.dropout, config.dropout
    )
