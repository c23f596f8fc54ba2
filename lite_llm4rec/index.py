"""Approximate top-k for large catalogues: candidates from a faiss index, scored exactly.

Items lie in cells around centres; a search looks through the cells whose centres score highest, in
8 bits per dimension. What it finds is scored by the item matrix itself.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from lite_llm4rec.config import from_dict
from lite_llm4rec.errors import ConfigError, MissingExtraError, StoreError
from lite_llm4rec.rank import MAX_SCORE_BYTES, Seen, top_k

EXACT_BELOW = 20_000  # items; see benchmarks/ann_million.py
CELLS, FACTS = "cells.faiss", "index.json"
LIST_LENGTH = 10
FETCH = 3  # candidates for each item wanted: 8 bits may swap what is near to the last place
ALIGNED = 16  # faiss is several times slower on widths that its vector instructions do not divide
TRAINED_ON = 50  # items for each cell whose centres are learnt
SPARSE = 0.1  # share of allowed items below which they are scored one and all


@dataclass(frozen=True)
class IndexFacts:
    """What an index is and how well it finds.

    Attributes
    ----------
    cells, probes : int
        How many cells there are, and how many a search looks through.
    recall : float
        Mean share of the exact ten best that it finds, over the user vectors that `probes` was
        chosen by.
    users : int
        How many these were.
    """

    cells: int
    probes: int
    recall: float
    users: int


class Index:
    """An index of an item matrix; its `top_k` is asked as `rank.top_k` is.

    Made by `Index.build` or `Index.load`.
    """

    def __init__(self, cells: Any, matrix: torch.Tensor, facts: IndexFacts) -> None:
        self.cells = cells
        self.matrix = matrix
        self.facts = facts
        cells.nprobe = facts.probes

    @classmethod
    @torch.no_grad()
    def build(cls, matrix: torch.Tensor, users: torch.Tensor, recall: float = 0.99) -> "Index":
        """Build an index, and choose how much it looks through.

        Parameters
        ----------
        matrix : torch.Tensor
            (N, dim).
        users : torch.Tensor
            (users, dim) user vectors such as will be asked with.
        recall : float
            The share of the exact ten best that it must find, on average.

        Raises
        ------
        ConfigError
            On a recall that is no share.
        MissingExtraError
            When faiss is not installed.
        """
        if not 0 < recall <= 1:
            raise ConfigError(f"A recall of {recall} is no share.", "For example 0.99.")
        faiss = _faiss()
        vectors, count = _aligned(matrix), max(1, round(4 * len(matrix) ** 0.5))
        cells = faiss.index_factory(vectors.shape[1], f"IVF{count},SQ8", faiss.METRIC_INNER_PRODUCT)
        chosen = np.random.default_rng(0).permutation(len(vectors))[: TRAINED_ON * count]
        cells.train(vectors[chosen])
        cells.add(vectors)
        exact = top_k(users, matrix, min(LIST_LENGTH, len(matrix)))[0]
        probes, found = 1, 0.0
        while True:
            index = cls(cells, matrix, IndexFacts(count, probes, found, len(users)))
            found = _recall(index.top_k(users, exact.shape[1])[0], exact)
            if found >= recall or probes == count:
                return cls(cells, matrix, IndexFacts(count, probes, found, len(users)))
            probes = min(count, probes + 1 + probes // 4)

    @torch.no_grad()
    def top_k(
        self,
        users: torch.Tensor,
        k: int,
        seen: Seen | None = None,
        allowed: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Find about the k best items of each row; see `rank.top_k`.

        More candidates are fetched where some are hidden. Where many are, or too few are found, a
        row is ranked exactly.
        """
        share = 1.0 if allowed is None else float(allowed.float().mean())
        hidden = 0 if seen is None or not len(seen.rows) else int(torch.bincount(seen.rows).max())
        fetch = int((FETCH * k + hidden) / max(share, SPARSE))
        if share < SPARSE or fetch >= len(self.matrix):
            return top_k(users, self.matrix, k, seen, allowed)
        later = len(self.matrix) - self.cells.ntotal
        size = max(1, MAX_SCORE_BYTES // (4 * (fetch * self.matrix.shape[1] + later)))
        parts = []
        for rows in torch.split(torch.arange(len(users)), size):
            own = None if seen is None else _of_rows(seen, rows)
            parts.append(self._search(users[rows], k, fetch, own, allowed))
        return torch.cat([items for items, _ in parts]), torch.cat([best for _, best in parts])

    def _search(
        self,
        users: torch.Tensor,
        k: int,
        fetch: int,
        seen: Seen | None,
        allowed: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Fetch candidates and score them; rank the rows that they do not fill exactly.

        Items that came after the index was built are candidates of every row: its cells know
        neither how long their vectors are nor how far a cold item is lifted.
        """
        fetched = torch.from_numpy(self.cells.search(_aligned(users), fetch)[1]).sort(1)[0]
        vectors = self.matrix[fetched.clamp(min=0)]
        later = torch.arange(self.cells.ntotal, len(self.matrix)).expand(len(users), -1)
        items = torch.cat([fetched, later], 1)
        scores = torch.cat(
            [(vectors @ users[:, :, None])[:, :, 0], users @ self.matrix[self.cells.ntotal :].T], 1
        )
        scores = scores.masked_fill(~self._shown(items, seen, allowed), -torch.inf)
        best, places = scores.topk(k)
        found = items.gather(1, places).masked_fill(best == -torch.inf, -1)
        short = (found < 0).any(1).nonzero()[:, 0]
        if len(short):
            own = None if seen is None else _of_rows(seen, short)
            found[short], best[short] = top_k(users[short], self.matrix, k, own, allowed)
        return found, best

    def _shown(
        self, items: torch.Tensor, seen: Seen | None, allowed: torch.Tensor | None
    ) -> torch.Tensor:
        """Tell which candidates may be returned, (batch, candidates) bool."""
        shown = items >= 0
        if allowed is not None:
            shown &= allowed[items]
        if seen is not None:
            pairs = torch.arange(len(items))[:, None] * len(self.matrix) + items
            listed = seen.items < len(self.matrix)  # others are in no list, and no row's last item
            shown &= ~torch.isin(pairs, seen.rows[listed] * len(self.matrix) + seen.items[listed])
        return shown

    def grow(self, matrix: torch.Tensor) -> None:
        """Take in the items that `matrix` (N', dim) has behind those that are known.

        They are ranked exactly until the index is built anew.
        """
        self.matrix = matrix.cpu()

    def save(self, folder: Path) -> None:
        """Write the index; the item matrix is its model's."""
        folder.mkdir()
        _faiss().write_index(self.cells, str(folder / CELLS))
        (folder / FACTS).write_text(json.dumps(asdict(self.facts), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path, matrix: torch.Tensor) -> "Index":
        """Read what `save` wrote.

        Raises
        ------
        StoreError
            When it is damaged, or not of this item matrix.
        MissingExtraError
            When faiss is not installed.
        """
        faiss = _faiss()
        try:
            cells = faiss.read_index(str(folder / CELLS))
            facts = from_dict(IndexFacts, json.loads((folder / FACTS).read_text()))
        except (RuntimeError, OSError, ValueError) as error:
            raise StoreError(f"{folder} is damaged: {error}", "Build it again.") from error
        if cells.ntotal > len(matrix):
            raise StoreError(
                f"{folder} holds {cells.ntotal:,} items, the model only {len(matrix):,}.",
                "Build it again.",
            )
        return cls(cells, matrix, facts)


def _aligned(vectors: torch.Tensor) -> npt.NDArray[np.float32]:
    """Put zeros behind vectors (n, dim) up to a width that faiss is fast at."""
    padded = functional.pad(vectors, (0, -vectors.shape[1] % ALIGNED))
    return np.ascontiguousarray(padded.numpy())


def _of_rows(seen: Seen, rows: torch.Tensor) -> Seen:
    """Keep what is hidden from these rows, ascending, which get the numbers 0, 1, …"""
    kept = torch.isin(seen.rows, rows)
    return Seen(torch.searchsorted(rows, seen.rows[kept]), seen.items[kept])


def _recall(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((exact[:, :, None] == found[:, None, :]).any(2).float().mean())


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise MissingExtraError("faiss-cpu", "export", "An index") from error
    faiss.omp_set_num_threads(torch.get_num_threads())
    return faiss
