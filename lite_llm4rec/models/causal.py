"""Lite-LLM4Rec looking back only, so that one pass teaches every position of a history.

Item vectors from text and id → causal Recommendation LLM → pooling up to each position → tied or
free head. The paper's model (`lite.py`) learns one target per pass.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.losses import LossConfig, catalogue_loss
from lite_llm4rec.models.backbone import Backbone
from lite_llm4rec.models.base import CatalogueFacts, EveryPositionModel, ModelConfig
from lite_llm4rec.models.item_table import ItemTable, principal_components
from lite_llm4rec.models.layers import CausalTransformer, build_transformer, running_mean

OWN = "transformer"
INIT_STD = 0.02


@dataclass(frozen=True)
class CausalConfig(ModelConfig):
    """Settings of the causal model.

    Attributes
    ----------
    backbone : str
        "transformer" is this library's own small one; else as in `LiteConfig`.
    from_scratch : bool
        Draw the weights of another backbone anew.
    shape : dict
        Of the own transformer: width, blocks, heads, inner, positions ("learned" or "rotary"). Of
        another: settings of its config.
    history_length : int
        How many items go in, at most.
    dropout : float
        The backbone's.
    items : "both", "text", "id" or "init"
        Where item vectors come from: text and id together, one of them, or ids that start as the
        text's principal components.
    id_dropout : float
        Rate at which an item's id part is left out in training.
    text_dim : int
        Principal components of the text vectors to keep, whitened; 0 keeps the vectors as they
        are.
    pooling : "last", "mean" or "mix"
        User vector: the last position's, the mean up to it (paper Eq. 4), or a learned mix.
    head : "tied" or "free"
        Whether items are scored by the vectors that go in, or by rows of their own.
    temperature : float
        Where positive, scores are cosines divided by it; else dot products.
    loss : LossConfig
    """

    kind: Literal["causal"] = "causal"
    backbone: str = OWN
    from_scratch: bool = True
    shape: dict[str, Any] = field(default_factory=dict)
    history_length: int = 50
    dropout: float = 0.2
    items: Literal["both", "text", "id", "init"] = "both"
    id_dropout: float = 0.0
    text_dim: int = 0
    pooling: Literal["last", "mean", "mix"] = "last"
    head: Literal["tied", "free"] = "tied"
    temperature: float = 0.0
    loss: LossConfig = field(default_factory=LossConfig)

    def __post_init__(self) -> None:
        check_shares(self, "dropout", "id_dropout")
        check_at_least(self, 1, "history_length")
        check_at_least(self, 0, "text_dim", "temperature")


class CausalLLM4Rec(EveryPositionModel):
    """The causal model.

    Parameters
    ----------
    config : CausalConfig
    backbone : CausalTransformer or Backbone
    items : ItemTable
    counts : torch.Tensor
        (N,) int64 training interactions. Where items can be scored by their text, only warm ones
        compete in the loss, so that cold ones are not taught to be wrong.

    Attributes
    ----------
    cold_offset : torch.Tensor
        Scalar, added to the scores of cold items: the knob between lists without them and lists
        full of them. `calibrate.calibrate_cold` sets it.
    """

    bias_columns = 1

    def __init__(
        self,
        config: CausalConfig,
        backbone: CausalTransformer | Backbone,
        items: ItemTable,
        counts: torch.Tensor,
    ) -> None:
        super().__init__()
        self.config = config
        self.history_length = config.history_length
        self.backbone = backbone
        self.items = items
        self.mix = nn.Parameter(torch.zeros(backbone.width)) if config.pooling == "mix" else None
        free = torch.randn(len(counts), backbone.width) * INIT_STD
        self.head = nn.Parameter(free) if config.head == "free" else None
        self.counts: torch.Tensor
        self.cold_offset: torch.Tensor
        self.register_buffer("counts", counts.to(torch.int64))
        self.register_buffer("cold_offset", torch.zeros(()))

    @classmethod
    def create(cls, config: CausalConfig, facts: CatalogueFacts) -> "CausalLLM4Rec":
        """Build it around the text's vectors and the training counts."""
        backbone = _load_backbone(config)
        items = _make_items(config, facts.vectors, facts.counts, backbone.width)
        return cls(config, backbone, items, facts.counts)

    @classmethod
    def skeleton(cls, config: CausalConfig, described: dict[str, Any]) -> "CausalLLM4Rec":
        """Build it with weights to be filled in, from what `describe` gave."""
        n_items, text_width = described["shape"]
        vectors = torch.zeros(n_items, text_width)
        if described["backbone"]:
            values = dict(described["backbone"])
            loaded = AutoConfig.for_model(values.pop("model_type"), **values)
            backbone: Any = Backbone.build(loaded, dropout=config.dropout, causal=True)
        else:
            backbone = _load_backbone(config)
        counts = torch.ones(n_items)
        table = replace(config, items="id") if config.items == "init" else config
        return cls(config, backbone, _make_items(table, vectors, counts, backbone.width), counts)

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs to build this model again."""
        backbone = self.backbone
        other = backbone.model.config.to_dict() if isinstance(backbone, Backbone) else {}
        return {"backbone": other, "shape": [len(self.counts), self.items.text_width]}

    def input_vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up."""
        found: torch.Tensor = self.items(items)
        return found

    def position_vectors(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode item vectors, (batch, length, width) → (batch, length, width)."""
        states = self.backbone(vectors, mask)
        if self.config.pooling == "mean":
            states = running_mean(states)
        elif self.mix is not None:
            states = states + torch.sigmoid(self.mix) * (running_mean(states) - states)
        if self.config.temperature > 0:
            return functional.normalize(states.float(), dim=-1) / self.config.temperature
        pooled: torch.Tensor = states
        return pooled

    def encode(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Give the user vector after the last position and a 1, (batch, width + 1)."""
        users = super().encode(vectors, mask)
        return torch.cat([users, torch.ones_like(users[:, :1])], 1)

    def item_matrix(self) -> torch.Tensor:
        """Return what items are scored by and the cold items' offset, (N, width + 1)."""
        matrix = self._scored_by(self.items.matrix())
        return torch.cat([matrix, self.cold_offset * ~self.warm[:, None]], 1)

    def matrix_without_ids(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return `item_matrix` as if these items were cold, without their offset."""
        masked = torch.ones(len(self.warm), 1, device=self.warm.device)
        masked[numbers] = 0.0
        matrix = self._scored_by(self.items.matrix(masked))
        return torch.cat([matrix, torch.zeros_like(matrix[:, :1])], 1)

    @torch.no_grad()
    def add_items(self, vectors: torch.Tensor) -> torch.Tensor:
        """Append cold items with these text vectors, (n, text width).

        Returns
        -------
        torch.Tensor
            (n, width + 1) their rows of `item_matrix`.

        Raises
        ------
        ConfigError
            When this model cannot score an item by its text.
        """
        if not self.scores_text:
            raise ConfigError(
                f'A model with items = "{self.config.items}" and a {self.config.head} head cannot'
                " score items that it never learnt.",
                'Train one with model.items = "both" or "text", and model.head = "tied".',
            )
        rows = self._scored_by(self.items.append(vectors))
        self.counts = torch.cat([self.counts, self.counts.new_zeros(len(vectors))])
        return torch.cat([rows, self.cold_offset.expand(len(rows), 1)], 1)

    def set_cold_offset(self, value: float) -> None:
        """Add `value` to the scores of cold items."""
        self.cold_offset.fill_(value)

    @property
    def warm(self) -> torch.Tensor:
        """Which items occur in training, (N,) bool."""
        return self.counts > 0

    @property
    def scores_text(self) -> bool:
        """Whether an item can be scored by its text alone."""
        return self.config.items in ("both", "text") and self.config.head == "tied"

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Teach every position its next item."""
        table = self.items.matrix()
        users = self.position_vectors(table[batch.items], batch.mask)[batch.mask]
        matrix, targets = self._scored_by(table), batch.following[batch.mask]
        counts, warm = self.counts, self.warm
        if self.scores_text and not warm.all():
            place = warm.cumsum(0) - 1
            matrix, targets, counts = matrix[warm], place[targets], counts[warm]
        return catalogue_loss(users, matrix, targets, counts, self.config.loss)

    def _scored_by(self, table: torch.Tensor) -> torch.Tensor:
        matrix = table if self.head is None else self.head
        return functional.normalize(matrix, dim=1) if self.config.temperature > 0 else matrix


def _load_backbone(config: CausalConfig) -> CausalTransformer | Backbone:
    if config.backbone == OWN:
        return build_transformer(config.shape, config.history_length, config.dropout)
    return Backbone.load(
        config.backbone,
        from_scratch=config.from_scratch,
        shape=config.shape,
        dropout=config.dropout,
        causal=True,
        length=config.history_length,
    )


def _make_items(
    config: CausalConfig, vectors: torch.Tensor, counts: torch.Tensor, width: int
) -> ItemTable:
    """Build the item table; where there is text, a cold item's id part is zero."""
    if config.items == "init":
        return ItemTable(width, ids=principal_components(vectors, width) * INIT_STD)
    ids = torch.randn(len(counts), width) * INIT_STD
    if config.items == "id":
        return ItemTable(width, ids=ids)
    return ItemTable(
        width,
        vectors,
        trainable=False,
        ids=ids * (counts > 0)[:, None] if config.items == "both" else None,
        id_dropout=config.id_dropout,
        components=config.text_dim,
    )
