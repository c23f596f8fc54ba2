"""A model of your own in one file: GRU4Rec, with the library's loss, ranking and protocol.

    lite-llm4rec --model-file examples/own_model.py train --data ml-100k \
        --preset examples/own_model.toml --out runs/gru4rec
    lite-llm4rec --model-file examples/own_model.py reproduce table4 --data ml-100k \
        --also examples/own_model.toml --budget 5

Source: Hidasi et al., *Session-based Recommendations with Recurrent Neural Networks*, ICLR 2016.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.losses import LossConfig, catalogue_loss
from lite_llm4rec.models import CatalogueFacts, EveryPositionModel, ModelConfig, register


@dataclass(frozen=True)
class GRU4RecConfig(ModelConfig):
    kind: Literal["gru4rec"] = "gru4rec"
    width: int = 64
    history_length: int = 50
    dropout: float = 0.2
    loss: LossConfig = field(default_factory=LossConfig)


class GRU4Rec(EveryPositionModel):
    def __init__(self, config: GRU4RecConfig, n_items: int) -> None:
        super().__init__()
        self.config = config
        self.history_length = config.history_length
        self.items = nn.Parameter(torch.randn(n_items, config.width) * 0.02)
        self.gru = nn.GRU(config.width, config.width, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("counts", torch.ones(n_items, dtype=torch.int64))

    @classmethod
    def create(cls, config: GRU4RecConfig, facts: CatalogueFacts) -> "GRU4Rec":
        model = cls(config, len(facts.counts))
        model.counts.copy_(facts.counts)
        return model

    @classmethod
    def skeleton(cls, config: GRU4RecConfig, described: dict[str, Any]) -> "GRU4Rec":
        return cls(config, described["shape"][0])

    def describe(self) -> dict[str, Any]:
        return {"shape": [len(self.items), 0]}

    def input_vectors(self, items: torch.Tensor) -> torch.Tensor:
        return self.items[items]

    def position_vectors(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.gru(self.dropout(vectors))[0])

    def item_matrix(self) -> torch.Tensor:
        return self.items

    def training_loss(self, batch: Batch) -> torch.Tensor:
        users = self.position_vectors(self.items[batch.items], batch.mask)[batch.mask]
        targets = batch.following[batch.mask]
        return catalogue_loss(users, self.items, targets, self.counts, self.config.loss)


register(GRU4Rec, GRU4RecConfig, "GRU4Rec")
