"""Categories, genres, brands…: which values the items' fields hold, and which item has which."""

import html
import re
from dataclasses import dataclass

import numpy as np

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.interactions import Ints

SHARED_BY = 2  # items; a value that one item alone has says nothing about another

# MovieLens joins genres with "|"; Amazon writes category paths "A > B ; A > C".
_SEPARATOR = re.compile(r"\s*\|\s*|\s+[>;]\s+")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Attributes:
    """Which item has which attributes.

    Attributes
    ----------
    offsets : numpy.ndarray
        (N + 1,) int64: item `i` has the attributes `numbers[offsets[i]:offsets[i + 1]]`.
    numbers : numpy.ndarray
        (entries,) int64, from 0 to A − 1.
    names : list of str
        (A,) distinct, as "field: value".
    """

    offsets: Ints
    numbers: Ints
    names: list[str]

    def lookup(self, names: list[str]) -> Ints:
        """Number attributes by their names, −1 where there is none of that name."""
        known = {name: number for number, name in enumerate(self.names)}
        return np.array([known.get(name, -1) for name in names], np.int64)


def read_attributes(catalogue: Catalogue) -> Attributes:
    """Read each value of each field but the title as one attribute.

    Values are split as `text.template` splits them, each counts once per item, and spellings that
    differ in case alone are one. A value that fewer than `SHARED_BY` items have is none, which
    leaves out descriptions and the like.

    >>> import pyarrow as pa
    >>> fields = pa.table({"title": ["A", "B"], "genres": ["War|Drama", "drama|Comedy"]})
    >>> read_attributes(Catalogue(pa.array([1, 2]), fields)).names
    ['genres: Drama']
    """
    spelt: dict[str, str] = {}
    places: dict[str, int] = {}
    owners, found = [], []
    for item, record in enumerate(catalogue.records()):
        names = [
            f"{field}: {value}"
            for field, text in list(record.items())[1:]
            for value in split_values(tidy(text))
        ]
        for key in dict.fromkeys(name.casefold() for name in names):
            owners.append(item)
            found.append(places.setdefault(key, len(places)))
        for name in names:
            spelt.setdefault(name.casefold(), name)
    numbers = np.array(found, np.int64)
    shared = np.bincount(numbers, minlength=len(places)) >= SHARED_BY
    kept = shared[numbers]
    return Attributes(
        np.searchsorted(np.array(owners, np.int64)[kept], np.arange(len(catalogue) + 1)),
        (np.cumsum(shared) - 1)[numbers[kept]],
        [spelt[key] for key, number in places.items() if shared[number]],
    )


def tidy(value: str | None) -> str:
    """Resolve HTML entities; drop what no tokenizer takes; make every blank a single space."""
    text = _CONTROL.sub("", html.unescape(value or ""))
    return " ".join(text.split())


def split_values(text: str) -> list[str]:
    """Split tidy text into its distinct values, each in its first spelling.

    >>> split_values("Toys > Games ; Toys > Puzzles")
    ['Toys', 'Games', 'Puzzles']
    """
    parts = [part.strip(" |>;") for part in _SEPARATOR.split(text)]
    if len(parts) == 1:
        return [text] if text else []
    first_spelling: dict[str, str] = {}
    for part in filter(None, parts):
        first_spelling.setdefault(part.casefold(), part)
    return list(first_spelling.values())
