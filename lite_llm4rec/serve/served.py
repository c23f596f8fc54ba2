"""A run folder being served: its runtime and catalogue, and the changes made since."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.errors import DataError, LiteLLM4RecError
from lite_llm4rec.item_vectors import catalogue_texts
from lite_llm4rec.neighbours import comparable, nearest_to
from lite_llm4rec.serve.changes import Change
from lite_llm4rec.serve.logs import log
from lite_llm4rec.serve.lookup import Lookup
from lite_llm4rec.serve.metrics import Metrics
from lite_llm4rec.serve.runtime import Runtime, Vectors, load_runtime
from lite_llm4rec.serve.texts import TextEncoder, encoder_for

By = Literal["text", "behaviour"]


@dataclass(frozen=True)
class Asked:
    """One history to recommend for, as the model's thread takes it.

    Attributes
    ----------
    history : list
        The catalogue's ids, and keys of `unlisted`.
    unlisted : dict
        Text vectors (text width,) of items that the catalogue does not hold.
    exclude : frozenset
        The catalogue's ids.
    only : tuple of int, optional
        Numbers of the items to choose from.
    where : tuple of (field, value)
        What the items to choose from have.
    """

    served: "Served"
    history: list[Any]
    k: int
    unlisted: dict[Any, Vectors] = field(default_factory=dict)
    exclude: frozenset[Any] = frozenset()
    only: tuple[int, ...] | None = None
    where: tuple[tuple[str, str], ...] = ()
    include_seen: bool | None = None

    @property
    def reach(self) -> int:
        """How many items to ask for, so that k are left without the excluded.

        Of a model that writes ids, as many as it always writes: a search that is wider for one
        request costs all that share it as much.
        """
        return min(self.k + len(self.exclude), self.served.runtime.widest)

    def group(self) -> tuple[Any, ...]:
        """What requests share that one call can answer; they reach about equally far."""
        reach = self.reach.bit_length()
        return id(self.served), self.only, self.where, self.include_seen, reach


@dataclass(frozen=True)
class Ranked:
    """Items by their numbers in the catalogue, best first."""

    ids: list[Any]
    titles: list[str]
    scores: list[float]
    note: str


@dataclass(frozen=True)
class AskedSimilar:
    """One item whose neighbours are asked for."""

    served: "Served"
    item: Any
    k: int
    by: By


@dataclass(frozen=True)
class AskedNear:
    """The vector (text width,) of a text; the nearest items are asked for."""

    served: "Served"
    vector: Vectors
    k: int


@dataclass(frozen=True)
class AskedTitle:
    """Words; the titles that hold them are asked for."""

    served: "Served"
    words: str
    k: int


Near = tuple[list[int], list[float]]  # items' numbers and cosines


@dataclass
class Served:
    """A runtime, its catalogue's lookup, and how far the log of changes was applied.

    Attributes
    ----------
    device : str
        Where the model ranks.
    encoder : TextEncoder, optional
        None where texts cannot be read; then `no_encoder` says why.
    applied : int
        The number of the last change that was applied.
    added : int
        How many items changes have added.
    own : int
        How many items the run folder holds by itself.
    refused : dict
        Added items that this run cannot take, and why.
    """

    folder: Path
    runtime: Runtime
    lookup: Lookup
    encoder: TextEncoder | None
    no_encoder: str = ""
    device: str = "cpu"
    applied: int = 0
    added: int = 0
    own: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    _held: set[str] = field(default_factory=set)

    @classmethod
    def load(
        cls, folder: Path, old: TextEncoder | None, metrics: Metrics, device: str = "cpu"
    ) -> "Served":
        """Load a run folder, and its Item LLM if it is at hand.

        Raises
        ------
        StoreError
            When it is no run folder.
        """
        folder = folder.resolve()
        runtime = load_runtime(folder)
        encoder, why = None, "This model reads no text, or was trained on brought vectors."
        try:
            encoder = encoder_for(runtime, old, metrics)
        except LiteLLM4RecError as error:
            why = error.problem
            log.warning("the Item LLM is not at hand", extra={"problem": str(error)})
        own = len(runtime.catalogue)
        return cls(folder, runtime, Lookup(runtime.catalogue), encoder, why, device, own=own)

    @property
    def in_run(self) -> int:
        """How many added items the run folder holds by itself."""
        return len(self._held)

    @property
    def reads_text(self) -> bool:
        """Whether histories may hold texts."""
        return self.runtime.reads_text and self.encoder is not None

    @property
    def searches_text(self) -> bool:
        """Whether a text can be compared with the items'; a joint stage tunes away from them."""
        return self.encoder is not None and not self.encoder.tuned

    def new_items(self, ids: Sequence[str], fields: Sequence[dict[str, str]]) -> Catalogue:
        """Make a catalogue of new items, with the fields of this one.

        Raises
        ------
        DataError
            When an item has no text in any of them, or an id that cannot be one here.
        """
        columns = self.lookup.columns
        texts = {name: [one.get(name) for one in fields] for name in columns}
        table = pa.table({name: pa.array(values, pa.string()) for name, values in texts.items()})
        own = [self.lookup.own_id(name) for name in ids]
        made = Catalogue(pa.array(own, pa.string()).cast(self.lookup.kind), table)
        blank = made.without_text()
        if blank.any():
            raise DataError(
                f"Item {ids[int(blank.argmax())]!r} has no text to be known by.",
                f"Give it a field: {', '.join(columns) or 'this catalogue has none'}.",
            )
        return made

    def with_vectors(self, changes: Sequence[Change]) -> list[Change]:
        """Give added items the vectors that this run needs; takes long where they are encoded.

        Items that cannot have any are left without, and `apply` refuses them.
        """
        changes, missing = list(changes), []
        for place, change in enumerate(changes):
            known = change.item in self.lookup
            if change.kind == "add" and not known and not self._fits(change):
                changes[place] = replace(change, vector=None)
                missing.append(place)
        if self.encoder is None or not missing:
            return changes
        try:
            new = self.new_items(
                [changes[place].item for place in missing],
                [changes[place].fields or {} for place in missing],
            )
        except DataError:
            if len(changes) == 1:
                return changes
            return [one for change in changes for one in self.with_vectors([change])]
        vectors = self.encoder.encode(catalogue_texts(new, self.runtime.preset.text))
        for place, vector in zip(missing, vectors, strict=True):
            changes[place] = replace(changes[place], vector=vector, encoder=self.encoder.name)
        return changes

    def apply(self, changes: Sequence[Change]) -> None:
        """Carry out changes that have their vectors, in order; in the model's thread."""
        for kind, run in groupby(changes, lambda change: change.kind):
            part = list(run)
            if kind == "add":
                self._add(part)
            else:
                ids = self.lookup.known(change.item for change in part)
                self.runtime.retire_items(ids, back=kind == "restore")
            self.applied = max(self.applied, *(change.number for change in part))

    def recommend(self, asked: Sequence[Asked]) -> list[Ranked]:
        """Answer requests of one group, in the model's thread."""
        first = asked[0]
        found = self.runtime.recommend(
            [one.history for one in asked],
            max(one.reach for one in asked),
            candidates=self._candidates(first),
            include_seen=first.include_seen,
            unknown="drop",
            unlisted={key: vector for one in asked for key, vector in one.unlisted.items()} or None,
            device=self.device,
        )
        rows = zip(asked, found.ids, found.titles, found.scores, found.notes, strict=True)
        return [_ranked(*row) for row in rows]

    def _candidates(self, asked: Asked) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
        if asked.only is None and not asked.where:
            return None
        having = [self.lookup.with_value(name, value) for name, value in asked.where]
        named = having if asked.only is None else [*having, asked.only]
        marked = np.ones(len(self.runtime.retired), bool)
        for places in named:
            marks = np.zeros_like(marked)
            marks[np.array(places, np.int64)] = True
            marked &= marks
        return marked

    def _fits(self, change: Change) -> bool:
        """Whether a change's vector is one of this run's text model."""
        if change.vector is None:
            return False
        if self.runtime.brought:
            return not change.encoder and len(change.vector) == self.runtime.vectors.shape[1]
        return self.encoder is not None and change.encoder == self.encoder.name

    def _add(self, changes: list[Change]) -> None:
        """Add items, those of the run folder and those it cannot take left out.

        Of several with one id the first that can be taken counts, in any process.
        """
        ready: dict[str, Change] = {}
        for one in changes:
            if one.item in self.lookup:
                if self.lookup.place(one.item) < self.own:
                    self._held.add(one.item)
            elif one.vector is None:
                self.refused[one.item] = "it has no text vector that this run could know it by"
            else:
                ready.setdefault(one.item, one)
        if not ready:
            return
        try:
            new = self.new_items(list(ready), [one.fields or {} for one in ready.values()])
            vectors = np.stack([one.vector for one in ready.values() if one.vector is not None])
            table, items_id = _table(new)
            self.runtime.add_items(table, items_id=items_id, vectors=vectors)
        except LiteLLM4RecError as error:
            if len(changes) > 1:
                for one in changes:
                    self._add([one])
            else:
                self.refused |= dict.fromkeys(ready, error.problem)
            return
        self.lookup.extend(new)
        for item in ready:
            self.refused.pop(item, None)
        self.added += len(ready)


def recommend_all(asked: list[Asked]) -> list[Ranked]:
    """Answer requests that came together, as few calls of the model as can be."""
    groups = defaultdict(list)
    for place, one in enumerate(asked):
        groups[one.group()].append(place)
    answers: dict[int, Ranked] = {}
    for places in groups.values():
        chosen = [asked[place] for place in places]
        answers |= zip(places, chosen[0].served.recommend(chosen), strict=True)
    return [answers[place] for place in range(len(asked))]


def similar_all(asked: list[AskedSimilar]) -> list[Ranked]:
    """Answer requests for neighbours that came together."""
    groups = defaultdict(list)
    for place, one in enumerate(asked):
        groups[id(one.served), one.by, one.k].append(place)
    answers: dict[int, Ranked] = {}
    for places in groups.values():
        first = asked[places[0]]
        items = [asked[place].item for place in places]
        found = first.served.runtime.similar_items(items, first.k, by=first.by)
        for row, place in enumerate(places):
            answers[place] = Ranked(
                found.ids[row], found.titles[row], found.scores[row], found.notes[row]
            )
    return [answers[place] for place in range(len(asked))]


def near_all(asked: list[AskedNear]) -> list[Near]:
    """Find what is nearest to texts that came together."""
    groups = defaultdict(list)
    for place, one in enumerate(asked):
        groups[id(one.served), one.k].append(place)
    answers: dict[int, Near] = {}
    for places in groups.values():
        served, k = asked[places[0]].served, asked[places[0]].k
        vectors = served.runtime.vectors[: len(served.lookup)]  # it learns of new items first
        texts = np.stack([asked[place].vector for place in places])
        known = comparable(served.runtime.catalogue, "text", served.runtime.brought)[: len(vectors)]
        found, cosines = nearest_to(
            torch.from_numpy(vectors),
            torch.from_numpy(texts),
            min(k, int(known.sum())),
            allowed=torch.from_numpy(known),
        )
        rows = zip(found.tolist(), cosines.tolist(), strict=True)
        answers |= zip(places, rows, strict=True)
    return [answers[place] for place in range(len(asked))]


def titled_all(asked: list[AskedTitle]) -> list[list[int]]:
    """Find titles that hold words that came together: the items' numbers."""
    return [one.served.lookup.titled(one.words, one.served.runtime.counts, one.k) for one in asked]


def _ranked(
    asked: Asked, ids: list[Any], titles: list[str], scores: list[float], note: str
) -> Ranked:
    kept = [row for row in zip(ids, titles, scores, strict=True) if row[0] not in asked.exclude]
    kept = kept[: asked.k]
    return Ranked([row[0] for row in kept], [row[1] for row in kept], [r[2] for r in kept], note)


def _table(new: Catalogue) -> tuple[pa.Table, str]:
    """Put ids and texts side by side; give the id's column, which no text is called."""
    columns = {name: new.fields[name] for name in new.fields.column_names}
    name = "item_id"
    while name in columns:
        name += "_"
    return pa.table({name: new.ids, **columns}), name
