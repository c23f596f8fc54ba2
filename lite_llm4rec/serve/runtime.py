"""What the service asks of a model, and where it comes from: the one place that knows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.lists import Candidates, Recommendations
from lite_llm4rec.preset import Preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.text.encoder import ItemLLM

Vectors = npt.NDArray[np.float32]


class Runtime(Protocol):
    """A model with its catalogue, as `Recommender` is one.

    All calls but reading come from one thread. Arrays are replaced, never written to, except
    `retired`.
    """

    preset: Preset
    catalogue: Catalogue
    counts: npt.NDArray[np.int64]
    vectors: Vectors
    retired: npt.NDArray[np.bool_]
    brought: bool
    item_llm: ItemLLM | None

    @property
    def reads_text(self) -> bool:
        """Whether histories may hold `unlisted` items."""

    @property
    def scores_items(self) -> bool:
        """Whether every item has a score, and items can be compared."""

    @property
    def widest(self) -> int:
        """How many items a list can hold without a wider search."""

    @property
    def takes_items(self) -> bool:
        """Whether `add_items` works."""

    def recommend(
        self,
        histories: Any,
        k: int = 10,
        *,
        candidates: Candidates | None = None,
        include_seen: bool | None = None,
        unknown: Literal["error", "drop"] = "error",
        unlisted: Mapping[Any, Vectors] | None = None,
        device: str = "cpu",
    ) -> Recommendations:
        """Recommend for histories of ids."""

    def similar_items(
        self, items: Sequence[Any], k: int = 10, *, by: Literal["text", "behaviour"] = "text"
    ) -> Recommendations:
        """Find the items nearest to each of `items`."""

    def add_items(
        self, items: Any, *, items_id: str | None = None, vectors: Vectors | None = None
    ) -> int:
        """Append items to the catalogue."""

    def retire_items(self, ids: Sequence[Any], *, back: bool = False) -> None:
        """Recommend these items no more, or again."""


def load_runtime(folder: Path) -> Runtime:
    """Load a run folder.

    Raises
    ------
    StoreError
        When it is none, is damaged, or is of a newer format.
    """
    return Recommender.load(folder)
