"""All settings of one training stage."""

from dataclasses import dataclass
from typing import Literal

from lite_llm4rec.config import check_at_least, check_shares
from lite_llm4rec.data.sampling import STRATEGIES
from lite_llm4rec.errors import ConfigError, nearest

STAGES = ("pretrain", "joint", "vector")  # in the order in which they run


@dataclass(frozen=True)
class StageConfig:
    """Settings of one training stage. Source: paper §5.1.4, where it gives them.

    Attributes
    ----------
    strategy : "sampling", "all" or "positions"
        Which examples an epoch visits: see `data/sampling.py`.
    epochs : int
        At most; warm-up is a share of these.
    batch : int
        Examples per step, over all devices.
    lr : float
        AdamW's learning rate after warm-up.
    schedule : "constant" or "linear"
        What the learning rate does after warm-up: stay, or fall to 0 at the last epoch.
    warmup : float
        Share of all steps in which the learning rate rises linearly from 0.
    weight_decay, adam_eps : float
        AdamW's.
    patience : int
        Validations without a better Recall@10 before it stops.
    validate_every : int
        Epochs between validations.
    train_head : bool
        Whether the head learns in this stage; of the paper's model alone, which has one apart.
    train_items : bool
        Whether the item vectors learn in this stage; of the paper's model alone.
    precision : "fp32", "bf16" or "auto"
        bf16 is for GPUs and processors that have it; elsewhere it is slow. "auto" looks whether
        the device has it. fp16 is not offered: T5 overflows in it.
    average : float
        Where positive, an exponential moving average of the weights with this decay per step is
        what is validated and kept.
    """

    strategy: Literal["sampling", "all", "positions"] = "sampling"
    epochs: int = 200
    batch: int = 256
    lr: float = 5e-4
    schedule: Literal["constant", "linear"] = "constant"
    warmup: float = 0.1
    weight_decay: float = 0.0
    adam_eps: float = 1e-8
    patience: int = 20
    validate_every: int = 1
    train_head: bool = True
    train_items: bool = True
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    average: float = 0.0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ConfigError(f"No strategy '{self.strategy}'", nearest(self.strategy, STRATEGIES))
        check_shares(self, "average", "warmup")
        check_at_least(self, 0, "weight_decay", "adam_eps")
        for name in ("epochs", "batch", "patience", "validate_every", "lr"):
            if not getattr(self, name) > 0:
                raise ConfigError(
                    f"{name} must be positive, not {getattr(self, name)}.",
                    f"For example: {name} = {getattr(StageConfig, name)}",
                )
