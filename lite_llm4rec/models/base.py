"""What a model must offer."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from lite_llm4rec.data.attributes import Attributes
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.data.split import Split


class ModelConfig:
    """Settings of a model: a frozen dataclass that inherits this.

    Attributes
    ----------
    kind : str
        The model's name in presets.
    history_length : int
        How many of the latest items it reads.
    kinds : dict
        Each kind's config, the default first; `registry.register` adds to it.
    """

    kind: str
    history_length: int
    kinds: ClassVar[dict[str, type["ModelConfig"]]] = {}


@dataclass(frozen=True)
class CatalogueFacts:
    """What a model may be made from besides its config.

    Attributes
    ----------
    vectors : torch.Tensor
        (N, text width) the items' text vectors, of width 0 for a model that reads none.
    counts : torch.Tensor
        (N,) training interactions of each item.
    attributes : Attributes, optional
        Given to a model whose config says `reads_attributes`.
    split : Split, optional
        What it is trained on, for a model that numbers items by it.
    titles : sequence of str
        (N,).
    """

    vectors: torch.Tensor
    counts: torch.Tensor
    attributes: Attributes | None = None
    split: Split | None = None
    titles: Sequence[str] = ()


class RankingModel(nn.Module, ABC):
    """A model that can be evaluated and asked: a `SequenceModel` or a `GenerativeModel`.

    One that is trained has `create`, `skeleton` and `describe` besides.

    Attributes
    ----------
    history_length : int
        How many of the latest items it reads.
    """

    history_length: int

    @classmethod
    def create(cls, config: Any, facts: CatalogueFacts) -> "RankingModel":
        """Make it from its config, to be trained on a catalogue."""
        raise NotImplementedError(f"{cls.__name__} is not made from settings")

    @classmethod
    def skeleton(cls, config: Any, described: dict[str, Any]) -> "RankingModel":
        """Build it with weights to be filled in, from what `describe` gave."""
        raise NotImplementedError(f"{cls.__name__} is not kept in a run folder")

    def describe(self) -> dict[str, Any]:
        """Return what `skeleton` needs beside the config, "shape": [items, text width] at least."""
        raise NotImplementedError(f"{type(self).__name__} is not kept in a run folder")

    def leaks(self) -> list[str]:
        """Say how what it knows of items tells what is to be predicted; empty where it does not."""
        return []

    @abstractmethod
    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""

    def taught(self, batch: Batch) -> int:
        """Count the targets that a batch teaches."""
        return len(batch.items)


def weights_sha256(model: RankingModel) -> str:
    """Hash a model's weights and what it is made of."""
    described = model.describe()
    backbone = described.get("backbone")
    if isinstance(backbone, dict):  # which version of transformers wrote it is no part of it
        backbone = {key: of for key, of in backbone.items() if key != "transformers_version"}
        described = {**described, "backbone": backbone}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


class SequenceModel(RankingModel):
    """A model that scores items by user vector · item vector.

    Scoring, ranking, evaluation and serving are written once on these methods.

    Attributes
    ----------
    bias_columns : int
        How many of the item matrix' last columns are no part of an item's vector, but are added to
        its score for every user.
    """

    bias_columns: int = 0

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

    def scores(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Score the whole catalogue, (batch, N) logits. `rank` does this in bounded memory."""
        return self.user_vectors(items, mask) @ self.item_matrix().T


class EncoderModel(SequenceModel):
    """A model that knows a history by its items' vectors; its encoder can be exported.

    Attributes
    ----------
    compiled : callable, optional
        What `user_vectors` encodes by in place of `encode`; see `compiled.FixedShapes`.
    """

    compiled: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None

    @abstractmethod
    def input_vectors(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up as they go in, (…) int64 → (…, width)."""

    @abstractmethod
    def encode(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode histories of item vectors.

        Parameters
        ----------
        vectors : torch.Tensor
            (batch, length, width) item vectors as they go in.
        mask : torch.Tensor
            (batch, length) bool, as in `user_vectors`.

        Returns
        -------
        torch.Tensor
            (batch, dim).
        """

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Look the items up and encode them, (batch, dim)."""
        encode = self.compiled or self.encode
        return encode(self.input_vectors(items), mask)


class EveryPositionModel(EncoderModel):
    """A causal model: one pass gives the user vector after each position, and teaches each."""

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

    def encode(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Give the user vector after the last position, (batch, dim)."""
        found = self.position_vectors(vectors, mask)
        return at_places(found, mask.sum(1) - 1)

    def taught(self, batch: Batch) -> int:
        """Count the positions, each of which is taught its next item."""
        return int(batch.mask.sum())


def at_places(states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Take the state at one place of each row: (batch, length, dim), (batch,) → (batch, dim)."""
    places = places[:, None, None].expand(-1, 1, states.shape[2])
    return states.gather(1, places)[:, 0]


class PretrainedModel(EveryPositionModel):
    """A causal model that other tasks teach first, in a stage of their own."""

    @abstractmethod
    def pretraining_loss(self, batch: Batch) -> torch.Tensor:
        """Return the pre-training's loss of a batch, a scalar."""

    @abstractmethod
    def pretraining_only(self) -> list[nn.Module]:
        """Return the parts that learn in pre-training alone."""


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
