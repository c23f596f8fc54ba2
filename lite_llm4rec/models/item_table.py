"""Item vectors, from text, from ids, or both; what goes in and, with a tied head, comes out."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional

from lite_llm4rec.models.room import Room

VARIED = 1e-5  # of the largest component's spread: less is none, and says nothing of new texts


class ItemTable(nn.Module):
    """One vector per item at the Recommendation LLM's width: projected text + id.

    Parameters
    ----------
    width : int
        The Recommendation LLM's width.
    vectors : torch.Tensor, optional
        (N, text width) encoded text; one linear layer where the widths differ (paper §5.5.2).
    trainable : bool
        Whether the text's vectors are learnt too. Source: paper §5.1.4, "fine-tuning the
        context-aware embeddings".
    ids : torch.Tensor, optional
        (N, width) what the id part starts from.
    id_dropout : float
        Rate at which an item loses its id part in a training step, so that its text must speak
        for it.
    components : int
        Whiten the text's vectors to so many principal components first; 0 takes them as they are.
    """

    def __init__(
        self,
        width: int,
        vectors: torch.Tensor | None = None,
        *,
        trainable: bool = True,
        ids: torch.Tensor | None = None,
        id_dropout: float = 0.0,
        components: int = 0,
    ) -> None:
        super().__init__()
        assert vectors is not None or ids is not None
        self.vectors: torch.Tensor | None = None
        self.ids: torch.Tensor | None = None
        self.visitors: torch.Tensor | None = None  # not of the state: see `visited`
        self.id_dropout = id_dropout
        self.project: nn.Module = nn.Identity()
        self.text_width = 0 if vectors is None else vectors.shape[1]
        self._room, self._id_room = Room(), Room()
        self.whitening: Whitening | None = None
        if vectors is not None:
            vectors = vectors.to(torch.float32)
            if components:
                self.whitening = Whitening(vectors, components)
                vectors = self.whitening(vectors)
            self.vectors = nn.Parameter(vectors, requires_grad=trainable)
            if vectors.shape[1] != width:
                self.project = nn.Linear(vectors.shape[1], width)
        if ids is not None:
            self.ids = nn.Parameter(ids.to(torch.float32))

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """Look items up: (…) int64 → (…, width)."""
        if self.visitors is None:
            return self._listed(items)
        first = len(self)
        visitors = self.visitors[(items - first).clamp_min(0)]
        listed = self._listed(items.clamp_max(first - 1))
        return torch.where((items >= first)[..., None], visitors, listed)

    def __len__(self) -> int:
        """How many items it holds."""
        part = self.vectors if self.vectors is not None else self.ids
        assert part is not None
        return len(part)

    @contextmanager
    def visited(self, vectors: torch.Tensor) -> Iterator[None]:
        """Look up further items, numbered from N on, by their text's vectors (n, text width).

        They are in no matrix, so that they can be in a history and never in a list.
        """
        assert self.vectors is not None
        self.visitors = self._enter(vectors.to(self.vectors))
        try:
            yield
        finally:
            self.visitors = None

    def _listed(self, items: torch.Tensor) -> torch.Tensor:
        parts = []
        if self.vectors is not None:
            parts.append(self.project(self.vectors[items]))
        if self.ids is not None:
            parts.append(self.ids[items])
        found: torch.Tensor = sum(parts[1:], parts[0])
        return found

    def matrix(self, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Give every item's vector, (N, width), for looking up and scoring in one step.

        `kept` (N, 1) scales the id parts; by default id dropout does.
        """
        parts = []
        if self.vectors is not None:
            parts.append(self.project(self.vectors))
        if self.ids is not None:
            parts.append(self.ids * (self._kept(self.ids) if kept is None else kept))
        whole: torch.Tensor = sum(parts[1:], parts[0])
        return whole

    def replace_texts(self, vectors: torch.Tensor) -> None:
        """Take other text vectors (N, text width) in place of those it has."""
        assert self.vectors is not None
        self.vectors.data = self._whitened(vectors).to(self.vectors)

    def append(self, vectors: torch.Tensor) -> torch.Tensor:
        """Append items of which only the text's vectors (n, text width) are known.

        Returns
        -------
        torch.Tensor
            (n, width) their rows of `matrix`.
        """
        assert self.vectors is not None
        added = self._whitened(vectors.to(self.vectors))
        trainable = self.vectors.requires_grad
        self.vectors = nn.Parameter(self._room.append(self.vectors.data, added), trainable)
        if self.ids is not None:
            blank = self.ids.new_zeros(len(added), self.ids.shape[1])
            self.ids = nn.Parameter(self._id_room.append(self.ids.data, blank))
        rows: torch.Tensor = self.project(added)
        return rows

    def text_map(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the text's way to what goes in as one linear map: (text width, width), (width,)."""
        zero = torch.zeros(1, self.text_width)
        bias = self._enter(zero)
        return self._enter(torch.eye(self.text_width)) - bias, bias[0]

    def _enter(self, vectors: torch.Tensor) -> torch.Tensor:
        entered: torch.Tensor = self.project(self._whitened(vectors))
        return entered

    def _whitened(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors if self.whitening is None else self.whitening(vectors)

    def _kept(self, ids: torch.Tensor) -> torch.Tensor:
        ones = torch.ones(len(ids), 1, device=ids.device)
        return functional.dropout(ones, self.id_dropout, self.training)


class Whitening(nn.Module):
    """Text vectors → their principal components, equally spread; vectors have length 1 or so.

    Source: Su et al., 2021; as an adaptor of text for recommendation, UniSRec (Hou et al., 2022).

    Parameters
    ----------
    vectors : torch.Tensor
        (N, text width) what the components are of.
    components : int
        How many; at most the text's width.
    """

    def __init__(self, vectors: torch.Tensor, components: int) -> None:
        super().__init__()
        mean = vectors.mean(0)
        spread, directions = torch.linalg.eigh((vectors - mean).T @ (vectors - mean) / len(vectors))
        spread, directions = spread[-components:], directions[:, -components:]
        self.mean: torch.Tensor
        self.directions: torch.Tensor
        self.register_buffer("mean", mean)
        varied = spread > VARIED * spread[-1]
        scale = torch.where(varied, components * spread, torch.inf).sqrt()
        self.register_buffer("directions", directions / scale)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Whiten, (n, text width) → (n, components)."""
        whitened: torch.Tensor = (vectors - self.mean) @ self.directions
        return whitened


def principal_components(vectors: torch.Tensor, width: int) -> torch.Tensor:
    """Give the text's first principal components, (N, width), of variance 1 taken together.

    Where the text has fewer dimensions than `width`, the rest is 0.
    """
    centred = (vectors - vectors.mean(0)).to(torch.float32)
    _, directions = torch.linalg.eigh(centred.T @ centred)
    found = functional.pad(centred @ directions[:, -width:], (max(0, width - len(directions)), 0))
    return found / found.std().clamp_min(1e-6)
