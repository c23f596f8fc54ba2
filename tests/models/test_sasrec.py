"""SASRec: the contract, and what it shares with every causal model."""

import torch

from lite_llm4rec.losses import LossConfig
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.models.sasrec import SASRec, SASRecConfig
from lite_llm4rec.stage_config import StageConfig
from tests.models.contract import N_ITEMS, EveryPositionContract


def make(loss: LossConfig) -> SASRec:
    config = SASRecConfig(width=32, blocks=1, history_length=5, dropout=0.0, loss=loss)
    return SASRec.create(config, CatalogueFacts(torch.empty(N_ITEMS, 0), torch.ones(N_ITEMS)))


class TestFull(EveryPositionContract):
    def make_model(self) -> SASRec:
        return make(LossConfig("full"))


class TestOriginal(EveryPositionContract):
    stage = StageConfig(strategy="positions", epochs=80, batch=64, lr=1e-2, warmup=0.05)

    def make_model(self) -> SASRec:
        return make(LossConfig("bce", negatives=1))


class TestSampled(EveryPositionContract):
    def make_model(self) -> SASRec:
        return make(LossConfig("sampled", negatives=20, shared=True))


class TestGBCE(EveryPositionContract):
    stage = StageConfig(strategy="positions", epochs=80, batch=64, lr=1e-2, patience=80)

    def make_model(self) -> SASRec:
        return make(LossConfig("gbce", negatives=5))
