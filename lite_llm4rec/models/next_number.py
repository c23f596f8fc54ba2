"""The items whose numbers follow the last one's: what a numbering tells without any learning."""

from pathlib import Path

import torch

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.models.base import GenerativeModel, RankedLists


class NextNumber(GenerativeModel):
    """Write the last item's number + 1, + 2, and so on.

    Under the original numbering (`item_numbers.number_items`) it finds test items that nothing in
    the training data points to; under a random one no more than chance does.

    Parameters
    ----------
    numbers : torch.Tensor
        (N,) int64 the numbers 1…N that items are written with.
    """

    history_length = 1
    beams = 20
    validation_cases = 1000

    def __init__(self, numbers: torch.Tensor) -> None:
        super().__init__()
        self.n_items = len(numbers)
        self.numbers: torch.Tensor
        self.items: torch.Tensor
        self.register_buffer("numbers", numbers)
        self.register_buffer("items", numbers.argsort())

    def ranked_lists(
        self, users: torch.Tensor | None, items: torch.Tensor, mask: torch.Tensor, k: int
    ) -> RankedLists:
        """List the next k numbers' items; beyond the last number there are none."""
        last = items.gather(1, mask.sum(1, keepdim=True) - 1)
        places = self.numbers[last] + torch.arange(k, device=items.device)
        beyond = places >= self.n_items
        found = self.items[places.clamp(max=self.n_items - 1)].masked_fill(beyond, -1)
        scores = -torch.arange(1.0, k + 1, device=items.device).expand(found.shape)
        return RankedLists(found, scores.masked_fill(beyond, -torch.inf), 0, 0, 0)

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Nothing is learnt: always 0."""
        return torch.zeros(())

    def leaks(self) -> list[str]:
        """It is there to measure what the numbers tell."""
        return []

    def save_tokenizer(self, folder: Path) -> None:
        """It has none."""

    def load_tokenizer(self, folder: Path) -> None:
        """It has none."""
