"""What changes the items of a trained model: new ones, retired ones, how cold ones are lifted."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lite_llm4rec.errors import ConfigError, DataError
from lite_llm4rec.item_vectors import check_vectors, encode_new, read_alike
from lite_llm4rec.kept_matrix import KeptMatrix
from lite_llm4rec.lists import as_ids
from lite_llm4rec.models import CausalLLM4Rec, ExportedModel
from lite_llm4rec.models.base import GenerativeModel, SequenceModel
from lite_llm4rec.models.item_table import ItemTable
from lite_llm4rec.models.room import Room
from lite_llm4rec.run_folder import Run


class ItemChanges(Run):
    """A trained model whose items come and go, without training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._matrix, self._room = KeptMatrix(), Room()

    def add_items(
        self,
        items: Any,
        *,
        items_id: str | None = None,
        vectors: npt.NDArray[np.float32] | None = None,
        device: str = "cpu",
    ) -> int:
        """Make new items recommendable by their text, without training.

        Items that the catalogue holds are passed over, so that a whole items table can be given; a
        warning tells of those that have another text there.

        Parameters
        ----------
        items : path or table
            Ids and the text columns of the training's items table; see `read_table`.
        items_id : str, optional
            The id column; by default the usual names are looked for.
        vectors : numpy.ndarray, optional
            (n, text width) vectors of the table's items: needed where the model was trained on
            brought ones, else encoded here.

        Returns
        -------
        int
            How many were added.

        Raises
        ------
        DataError
            When a new item has no text at all, or the table none of the training's columns; when
            vectors are needed and not given, or of another width.
        ConfigError
            When this model cannot score an item by its text.
        """
        if not isinstance(self.model, CausalLLM4Rec | ExportedModel):
            raise ConfigError(
                f"A {self.preset.model.kind} model cannot score items that it never learnt.",
                "Train one that reads text with a tied head: the default preset does.",
            )
        given = read_alike(items, items_id, self.catalogue)
        if self.brought and vectors is None:
            raise DataError(
                "This model was trained on brought item vectors.",
                "Bring the items' vectors too: vectors=… (on the command line --vectors …).",
            )
        if vectors is not None:
            check_vectors(vectors, len(given), self.vectors.shape[1])
        fresh = np.flatnonzero(self.catalogue.lookup(given.ids) < 0)
        if not len(fresh):
            return 0
        catalogue = self.catalogue.append(given.take(fresh))
        added = catalogue.after(len(self.catalogue))
        if vectors is None:
            encoded = encode_new(added, self.preset.text, device)
        else:
            encoded = np.ascontiguousarray(vectors[fresh], np.float32)
        self._matrix.add_items(self.model, torch.from_numpy(encoded))
        if self.index is not None:
            self.index.grow(self._matrix.of(self.model))
        self._ids, self._titles = self.ids + added.ids.to_pylist(), self.titles + added.titles()
        self.catalogue = catalogue
        known = torch.from_numpy(self.vectors)
        self.vectors = self._room.append(known, torch.from_numpy(encoded)).numpy()
        self.counts = np.concatenate([self.counts, np.zeros(len(encoded), np.int64)])
        self.retired = np.concatenate([self.retired, np.zeros(len(encoded), bool)])
        return len(encoded)

    @property
    def reads_text(self) -> bool:
        """Whether it knows an item in a history by its text, so that any text can be in one."""
        if not self.preset.reads_text:
            return False
        if isinstance(self.model, ExportedModel):
            return self.model.reads_text
        table = getattr(self.model, "items", None)
        return isinstance(table, ItemTable) and table.vectors is not None

    def _unlisted_vectors(
        self, unlisted: Mapping[Any, npt.NDArray[np.float32]]
    ) -> npt.NDArray[np.float32]:
        """Put the text vectors of items outside the catalogue into one array."""
        if not self.reads_text:
            raise ConfigError(
                f"This {self.preset.model.kind} model knows items by their ids alone.",
                "Leave items out of the history that the catalogue does not hold.",
            )
        vectors = np.stack(list(unlisted.values())).astype(np.float32)
        check_vectors(vectors, len(unlisted), self.vectors.shape[1])
        return vectors

    @property
    def scores_items(self) -> bool:
        """Whether every item has a score and a vector; a model that writes ids has neither."""
        return isinstance(self.model, SequenceModel)

    @property
    def widest(self) -> int:
        """How many items a list can hold without a wider search: its beams, where it writes ids."""
        model = self.model
        return model.beams if isinstance(model, GenerativeModel) else len(self.catalogue)

    @property
    def takes_items(self) -> bool:
        """Whether new items can be added."""
        return isinstance(self.model, CausalLLM4Rec | ExportedModel) and self.model.scores_text

    def retire_items(self, ids: Sequence[Any], *, back: bool = False) -> None:
        """Recommend these items no more, or again with `back`; histories may still hold them.

        Raises
        ------
        UnknownItemError
            Naming the ids that the catalogue does not hold.
        """
        self.retired[self.catalogue.numbers(as_ids(ids))] = not back

    @property
    def cold_offset(self) -> float:
        """What is added to the scores of items without training; may be set. 0 is no change.

        To set it raises ConfigError where the model does not score cold items.
        """
        return float(getattr(self.model, "cold_offset", 0.0))

    @cold_offset.setter
    def cold_offset(self, value: float) -> None:
        if not (isinstance(self.model, CausalLLM4Rec | ExportedModel) and self.model.scores_text):
            raise ConfigError(
                f"This {self.preset.model.kind} model does not score cold items.",
                "Train one that reads text with a tied head: the default preset does.",
            )
        self.model.set_cold_offset(value)
        self.index = None  # its cells are of other item vectors
