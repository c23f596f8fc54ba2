"""Lite-LLM4Rec: item vectors → Recommendation LLM → mean pooling → item projection head.

Source: *Rethinking Large Language Model Architectures for Sequential Recommendations*,
arXiv 2402.09543, §4.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn
from transformers import AutoConfig

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.losses import full_cross_entropy
from lite_llm4rec.models.backbone import Backbone, mean_pool
from lite_llm4rec.models.base import CatalogueFacts, EncoderModel, ModelConfig
from lite_llm4rec.models.item_table import ItemTable
from lite_llm4rec.text.encoder import ItemLLM


@dataclass(frozen=True)
class LiteConfig(ModelConfig):
    """Settings of Lite-LLM4Rec.

    Attributes
    ----------
    backbone : str
        The Recommendation LLM: a Hub name, a local folder or the packaged MiniLM.
    from_scratch : bool
        Draw the Recommendation LLM's weights anew (the paper's ablation `scratch`).
    shape : dict
        Settings of the backbone's own config to change, e.g. {"num_layers": 2}.
    history_length : int
        How many items go in, at most.
    dropout : float
        The backbone's own dropout, at each place where it has one.
    vector_dropout : float
        Dropout of the item vectors that go in and of the user vector that comes out.
    items : "text" or "id"
        What the item vectors start from: encoded text, or random numbers.
    id_width : int
        Width of an id-only table.
    fix_backbone, fix_head : bool
        The paper's ablations `fixT5` and `fixHead`.
    """

    kind: Literal["lite"] = "lite"
    backbone: str = "google-t5/t5-small"
    from_scratch: bool = False
    shape: dict[str, Any] = field(default_factory=dict)
    history_length: int = 20
    dropout: float = 0.1
    vector_dropout: float = 0.0
    items: Literal["text", "id"] = "text"
    id_width: int = 512
    fix_backbone: bool = False
    fix_head: bool = False

    def __post_init__(self) -> None:
        check_shares(self, "dropout", "vector_dropout")
        check_at_least(self, 1, "history_length", "id_width")


class LiteLLM4Rec(EncoderModel):
    """The paper's model.

    Parameters
    ----------
    backbone : Backbone
    vectors : torch.Tensor
        (N, text width) item vectors to start from.
    config : LiteConfig
    """

    def __init__(self, backbone: Backbone, vectors: torch.Tensor, config: LiteConfig) -> None:
        super().__init__()
        self.config = config
        self.history_length = config.history_length
        self.backbone = backbone
        self.items = ItemTable(backbone.width, vectors)
        self.dropout = nn.Dropout(config.vector_dropout)
        self.head = nn.Linear(backbone.width, len(vectors), bias=False)
        self.backbone.requires_grad_(not config.fix_backbone)
        self.head.requires_grad_(not config.fix_head)
        self.text: JointText | None = None

    @classmethod
    def create(cls, config: LiteConfig, facts: CatalogueFacts) -> "LiteLLM4Rec":
        """Load the backbone that `config` names and build the model around it."""
        vectors = facts.vectors
        if config.items == "id":
            # As long as text vectors, which are of length one: longer ones would hardly turn.
            vectors = torch.randn(len(vectors), config.id_width) / config.id_width**0.5
        backbone = Backbone.load(
            config.backbone,
            from_scratch=config.from_scratch,
            shape=config.shape,
            dropout=config.dropout,
            length=config.history_length,
        )
        return cls(backbone, vectors, config)

    @classmethod
    def skeleton(cls, config: LiteConfig, described: dict[str, Any]) -> "LiteLLM4Rec":
        """Build the model with weights to be filled in, from what `describe` gave."""
        values = dict(described["backbone"])
        loaded = AutoConfig.for_model(values.pop("model_type"), **values)
        backbone = Backbone.build(loaded, dropout=config.dropout)
        return cls(backbone, torch.zeros(*described["shape"]), config)

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs to build this model again."""
        backbone = self.backbone.model.config.to_dict()
        assert self.items.vectors is not None
        return {"backbone": backbone, "shape": list(self.items.vectors.shape)}

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode histories, (batch, width); in the joint stage from their items' text."""
        if self.text is None:
            return super().user_vectors(items, mask)
        return self.encode(self._encode_distinct(items, mask), mask)

    def input_vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up."""
        found: torch.Tensor = self.items(items)
        return found

    def encode(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode item vectors, (batch, length, width) → (batch, width). Source: paper Eq. 4."""
        states = self.backbone(self.dropout(vectors), mask)
        users: torch.Tensor = self.dropout(mean_pool(states, mask))
        return users

    def item_matrix(self) -> torch.Tensor:
        """Return W_proj, (N, width). Source: paper Eq. 5."""
        weight: torch.Tensor = self.head.weight
        return weight

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy over the whole catalogue. Source: paper Eq. 6."""
        users = self.user_vectors(batch.items, batch.mask)
        return full_cross_entropy(users, self.item_matrix(), batch.targets)

    def _encode_distinct(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Run the Item LLM once on each distinct item of the batch: (batch, length, width)."""
        assert self.text is not None
        shown = items.masked_fill(~mask, int(items[0, 0]))
        distinct, inverse = torch.unique(shown, return_inverse=True)
        vectors: torch.Tensor = self.items.project(self.text(distinct))
        return vectors[inverse]


class JointText(nn.Module):
    """The Item LLM in the training loop: item numbers → vectors of their text.

    Parameters
    ----------
    llm : ItemLLM
    input_ids, attention_mask : torch.Tensor
        (N, tokens) every item's text, tokenised once.
    """

    def __init__(self, llm: ItemLLM, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> None:
        super().__init__()
        self.llm = llm
        self.input_ids: torch.Tensor
        self.attention_mask: torch.Tensor
        self.register_buffer("input_ids", input_ids, persistent=False)
        self.register_buffer("attention_mask", attention_mask, persistent=False)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """Encode distinct items: (n,) → (n, text width)."""
        tokens, mask = self.input_ids[items], self.attention_mask[items]
        longest = int(mask.sum(1).max())
        vectors: torch.Tensor = self.llm(tokens[:, :longest], mask[:, :longest])
        return vectors
