"""The catalogue as HTTP sees it: ids as text, values of fields, words of titles."""

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.data.attributes import split_values, tidy
from lite_llm4rec.data.catalogue import CHUNKS, Catalogue
from lite_llm4rec.data.titles import plain_title
from lite_llm4rec.errors import DataError, UnknownItemError, nearest

Id = int | str
SHOWN = 5  # unknown ids in a message
EXACT = 2**53  # beyond it JavaScript rounds a number


class Lookup:
    """Finds the items of a catalogue that grows.

    Attributes
    ----------
    ids : list
        (N,) the caller's, as JSON has them.
    titles : list of str
        (N,).
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.kind: pa.DataType = catalogue.ids.type
        self.columns: list[str] = catalogue.fields.column_names
        self.ids: list[Id] = []
        self.keys: list[Any] = []  # the ids as the catalogue has them
        self.titles: list[str] = []
        self._places: dict[str, int] = {}
        self._plain: pa.ChunkedArray = pa.chunked_array([], pa.string())
        self._fields: pa.Table = catalogue.fields.slice(0, 0)
        self._by_value: dict[str, dict[str, list[int]]] = {}
        self._growing, self._learning = threading.Lock(), threading.Lock()
        self.extend(catalogue)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, item: Id) -> bool:
        return str(item) in self._places

    def extend(self, added: Catalogue) -> None:
        """Take in items that were appended to the catalogue.

        Their places come last, so that another thread never finds half an item.
        """
        with self._growing:
            self._extend(added)

    def place(self, item: Id) -> int:
        """Give an item's number.

        Raises
        ------
        UnknownItemError
        """
        return self.places([item])[0]

    def places(self, items: Sequence[Id]) -> list[int]:
        """Give items' numbers.

        Raises
        ------
        UnknownItemError
            Naming the first that are not in the catalogue.
        """
        found = [self._places.get(str(item), -1) for item in items]
        if -1 in found:
            unknown = [item for item, place in zip(items, found, strict=True) if place < 0]
            more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
            raise UnknownItemError(
                f"The catalogue does not hold {', '.join(map(repr, unknown[:SHOWN]))}{more}.",
                'Check the ids, or add the items; "unknown": "drop" passes over them in a history.',
            )
        return found

    def known(self, items: Iterable[Id]) -> list[Any]:
        """Keep the items that the catalogue holds, with its own ids."""
        found = (self._places.get(str(item)) for item in items)
        return [self.keys[place] for place in found if place is not None]

    def own_id(self, item: Id) -> str:
        """Write a new item's id as it will be found under.

        Raises
        ------
        DataError
            When the catalogue's ids are of a type that it cannot have.
        """
        try:
            return str(pa.array([str(item)]).cast(self.kind)[0].as_py())
        except pa.ArrowInvalid as error:
            raise DataError(
                f"{item!r} cannot be an id: this catalogue's are of type {self.kind}.",
                "Give it an id of that type.",
            ) from error

    def fields(self, place: int) -> dict[str, str]:
        """Give the text of an item, empty fields left out."""
        if not self.columns:
            return {}
        record = self._fields.slice(place, 1).to_pylist()[0]
        return {name: value for name, value in record.items() if value}

    def with_value(self, field: str, value: str) -> list[int]:
        """Give the numbers of the items one of whose values of a field is `value`, case aside.

        Raises
        ------
        DataError
            When there is no such field.
        """
        self.learn(field)
        return self._by_value[field].get(tidy(value).casefold(), [])

    def knows(self, field: str) -> bool:
        """Whether `learn` has been called for a field."""
        return field in self._by_value

    def learn(self, field: str) -> None:
        """Note who has which value of a field; of a large catalogue that takes seconds.

        Of a field that is known already nothing is waited for.

        Raises
        ------
        DataError
            When there is no such field.
        """
        if self.knows(field):
            return
        if field not in self.columns:
            raise DataError(f"Items have no field '{field}'.", nearest(field, self.columns))
        with self._learning:
            if self.knows(field):
                return
            values: dict[str, list[int]] = {}
            seen = self._fields[field]
            _index(seen, values, 0)
            with self._growing:  # and the items that came meanwhile
                _index(self._fields[field].slice(len(seen)), values, len(seen))
                self._by_value[field] = values

    def titled(self, words: str, counts: np.ndarray[Any, Any], k: int) -> list[int]:
        """Find titles that hold the words: those that begin so first, then the most watched."""
        wanted = plain_title(words)
        if not wanted:
            return []
        plain, size = self._plain, min(len(self), len(counts))  # both may grow meanwhile
        inside = pc.match_substring(plain, wanted).to_numpy()[:size]
        begins = pc.starts_with(plain, wanted).to_numpy()[:size]
        found = np.flatnonzero(inside)
        order = np.lexsort((found, -counts[found], ~begins[found]))
        return [int(place) for place in found[order][:k]]

    def _extend(self, added: Catalogue) -> None:
        first, keys, titles = len(self), added.ids.to_pylist(), added.titles()
        plain = pa.array([plain_title(title) for title in titles], pa.string())
        self._fields = pa.concat_tables([self._fields, added.fields])
        self._plain = pa.chunked_array([*self._plain.chunks, plain])
        if self._plain.num_chunks > CHUNKS:
            self._fields = self._fields.combine_chunks()
            self._plain = pa.chunked_array([self._plain.combine_chunks()])
        self.titles += titles
        self.keys += keys
        self.ids += [as_json(key) for key in keys]
        for field, values in self._by_value.items():
            _index(added.fields[field], values, first)
        self._places |= {str(key): first + place for place, key in enumerate(keys)}


def as_json(key: Any) -> Id:
    """Write an id as JSON has it: a number where every reader keeps it whole, else text."""
    return key if isinstance(key, int) and abs(key) <= EXACT else str(key)


def _index(texts: pa.ChunkedArray, values: dict[str, list[int]], first: int) -> None:
    """Note which values the texts hold, of the items from number `first` on."""
    for place, text in enumerate(texts.to_pylist(), first):
        for value in split_values(tidy(text)):
            values.setdefault(value.casefold(), []).append(place)
