"""Attributes of the contract's items, for the models that read some."""

import numpy as np
import torch

from lite_llm4rec.data.attributes import Attributes
from lite_llm4rec.models.base import CatalogueFacts
from tests.models.contract import N_ITEMS


def made_up(owned: list[list[int]] | None = None) -> CatalogueFacts:
    """Item i has the attributes i % 7 and 7 + i % 3, and every tenth has none."""
    if owned is None:
        owned = [[] if i % 10 == 0 else [i % 7, 7 + i % 3] for i in range(N_ITEMS)]
    lengths = [len(own) for own in owned]
    numbers = np.array([number for own in owned for number in own], np.int64)
    names = [f"a: {number}" for number in range(numbers.max(initial=0) + 1)]
    attributes = Attributes(np.concatenate([[0], np.cumsum(lengths)]), numbers, names)
    return CatalogueFacts(torch.empty(len(owned), 0), torch.ones(len(owned)), attributes)
