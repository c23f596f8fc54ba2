"""What a model must offer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.data.interactions import Interactions


class RankingModel(nn.Module, ABC):
    """A model that can be trained, evaluated and asked: a `SequenceModel` or a `GenerativeModel`.

    Attributes
    ----------
    history_length : int
        How many of the latest items it reads.
    """

    history_length: int

    @abstractmethod
    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""


class SequenceModel(RankingModel):
    """A model that scores items by user vector · item vector.

    Scoring, ranking, evaluation and serving are written once on these methods.
    """

    @abstractmethod
    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode histories.

        Parameters
        ----------
        items : torch.Tensor
            (batch, length) int64 item numbers in time order.
        mask : torch.Tensor
            (batch, length) bool, True where there is an item; each row has at least one.

        Returns
        -------
        torch.Tensor
            (batch, dim).
        """

    @abstractmethod
    def item_matrix(self) -> torch.Tensor:
        """Return the matrix whose product with a user vector gives the scores, (N, dim)."""

    def behaviour_vectors(self) -> torch.Tensor:
        """Return what tells which items are recommended alike, (N, dim)."""
        return self.item_matrix()

    def scores(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Score the whole catalogue, (batch, N) logits. `rank` does this in bounded memory."""
        return self.user_vectors(items, mask) @ self.item_matrix().T


class EveryPositionModel(SequenceModel):
    """A causal model: one pass gives the user vector after each position, and teaches each."""

    @abstractmethod
    def input_vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up as they go in, (…) int64 → (…, width)."""

    @abstractmethod
    def position_vectors(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Give the user vector after each position.

        Parameters
        ----------
        vectors : torch.Tensor
            (batch, length, width) item vectors as they go in.
        mask : torch.Tensor
            (batch, length) bool.

        Returns
        -------
        torch.Tensor
            (batch, length, dim); at each position what the history up to there alone would give.
        """

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Give the user vector after the last position, (batch, dim)."""
        found = self.position_vectors(self.input_vectors(items), mask)
        last = mask.sum(1) - 1
        return found[torch.arange(len(found), device=found.device), last]


@dataclass(frozen=True)
class RankedLists:
    """What a model wrote, each output in its place.

    Attributes
    ----------
    items : torch.Tensor
        (batch, k) int64 item numbers, best first; −1 where the output was no item, or one that
        stands further up.
    scores : torch.Tensor
        (batch, k) log-probabilities of the outputs, −inf where there was none.
    malformed, unknown, repeated : int
        Of all outputs those that are no item's text, that name an item which is not in the
        catalogue, and that name one again.
    """

    items: torch.Tensor
    scores: torch.Tensor
    malformed: int
    unknown: int
    repeated: int


class GenerativeModel(RankingModel):
    """A model that writes the next item as text: it gives lists, not a score for every item.

    Attributes
    ----------
    n_items : int
        The size of the catalogue.
    beams : int
        How many outputs it writes side by side.
    validation_cases : int
        How many validation targets select the best epoch: writing takes thousands of times as
        long as scoring, and all of them after each epoch would outlast the training.
    """

    n_items: int
    beams: int
    validation_cases: int

    @abstractmethod
    def leaks(self) -> list[str]:
        """Say how its numbers tell what is to be predicted; empty where they do not."""

    @abstractmethod
    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer's files: without them the weights cannot be used."""

    @abstractmethod
    def load_tokenizer(self, folder: Path) -> None:
        """Read what `save_tokenizer` wrote."""

    @abstractmethod
    def ranked_lists(
        self, users: torch.Tensor | None, items: torch.Tensor, mask: torch.Tensor, k: int
    ) -> RankedLists:
        """Write the best items of each history.

        Parameters
        ----------
        users : torch.Tensor, optional
            (batch,) int64 user numbers of the log that it was trained on.
        items : torch.Tensor
            (batch, length) int64 item numbers in time order.
        mask : torch.Tensor
            (batch, length) bool, True where there is an item; each row has at least one.
        k : int
            How many outputs.
        """


class ReadsCatalogue(ABC):
    """A model that takes more from the data than the number of items."""

    @abstractmethod
    def read_catalogue(self, log: Interactions, titles: list[str]) -> None:
        """Take what it needs, before any training.

        Parameters
        ----------
        log : Interactions
            Items as the model counts them, 0…N−1.
        titles : list of str
            (N,).
        """
