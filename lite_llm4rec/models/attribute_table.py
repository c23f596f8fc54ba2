"""Vectors of attributes, and which item has which attributes."""

import torch
from torch import nn

from lite_llm4rec.data.attributes import Attributes
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.layers import BERT_STD


class AttributeTable(nn.Module):
    """One vector per attribute; what items have goes with the weights, so that it is saved too.

    Parameters
    ----------
    n_items, n_attributes, n_entries : int
        Entries are (item, attribute) pairs.
    width : int
    """

    def __init__(self, n_items: int, n_attributes: int, n_entries: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(n_attributes, width) * BERT_STD)
        self.offsets: torch.Tensor
        self.numbers: torch.Tensor
        self.register_buffer("offsets", torch.zeros(n_items + 1, dtype=torch.int64))
        self.register_buffer("numbers", torch.zeros(n_entries, dtype=torch.int64))

    @classmethod
    def of(cls, attributes: Attributes | None, width: int, kind: str) -> "AttributeTable":
        """Build it for a catalogue.

        Raises
        ------
        ConfigError
            When no item has any attribute that a model of this kind could learn.
        """
        if attributes is None or not attributes.names:
            raise ConfigError(
                f"{kind} learns from the items' attributes, and these items have none that at"
                " least two of them share.",
                "Pass an items table with columns such as genres, categories or brand beside the"
                " title; or take a model without attributes: --preset sasrec",
            )
        numbers = attributes.numbers
        table = cls(len(attributes.offsets) - 1, len(attributes.names), len(numbers), width)
        table.offsets.copy_(torch.from_numpy(attributes.offsets))
        table.numbers.copy_(torch.from_numpy(numbers))
        return table

    def describe(self) -> list[int]:
        """Return the numbers of attributes and entries."""
        return [len(self.vectors), len(self.numbers)]

    def entries(self, items: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """List what items have: (n,) → rows in `items` and attribute numbers, both (entries,)."""
        first, count = self.offsets[items], self.offsets[items + 1] - self.offsets[items]
        rows = torch.repeat_interleave(count)
        within = torch.arange(len(rows), device=items.device) - (count.cumsum(0) - count)[rows]
        return rows, self.numbers[first[rows] + within]

    def multi_hot(self, items: torch.Tensor) -> torch.Tensor:
        """Mark what items have, (n,) → (n, A) of 0 and 1."""
        marks = self.vectors.new_zeros(len(items), len(self.vectors))
        marks[self.entries(items)] = 1.0
        return marks
