"""By what items are near to each other: their text, or who is recommended them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.errors import ConfigError, nearest
from lite_llm4rec.lists import Recommendations, name_lists
from lite_llm4rec.models import SequenceModel
from lite_llm4rec.rank import Seen, top_k
from lite_llm4rec.run_folder import Run

WAYS = ("text", "behaviour")
NO_TEXT = "no text is known of this item"


def similar_items(
    run: Run,
    items: Sequence[Any],
    k: int,
    by: str,
    matrix_of: Callable[[SequenceModel], torch.Tensor],
) -> Recommendations:
    """Find the items nearest to each of `items`; `Recommender.similar_items` says what is what.

    Raises
    ------
    UnknownItemError, ConfigError
    """
    numbers = run.catalogue.numbers(items)
    vectors = compared_vectors(run, by, matrix_of)
    known = comparable(run.catalogue, by, run.brought)
    allowed = torch.from_numpy(known & ~run.retired)
    found, scores = nearest_rows(vectors, torch.from_numpy(numbers), k, allowed)
    found[torch.from_numpy(~known[numbers])] = -1
    named = name_lists(run.ids, run.titles, found, scores, list(items))
    return replace(named, notes=["" if one else NO_TEXT for one in known[numbers]])


def compared_vectors(
    run: Run, by: str, matrix_of: Callable[[SequenceModel], torch.Tensor]
) -> torch.Tensor:
    """Give items the vectors whose cosine tells how near they are, (N, width).

    Parameters
    ----------
    matrix_of : callable
        Gives a model's item matrix.

    Raises
    ------
    ConfigError
        On another word than "text" or "behaviour", or where the model has no such vectors.
    """
    if not isinstance(run.model, SequenceModel):
        raise ConfigError(
            f"A {run.preset.model.kind} model has no vectors of items to compare.",
            "Ask a model that scores items, such as the default preset's.",
        )
    if by not in WAYS:
        raise ConfigError(f"by is '{by}'.", nearest(by, WAYS))
    if by == "text" and not run.vectors.shape[1]:
        raise ConfigError(
            "This model was trained on ids alone.", 'Ask with by="behaviour" (--by behaviour).'
        )
    if by == "text":
        return torch.from_numpy(run.vectors)
    matrix = matrix_of(run.model).detach()
    return matrix[:, : matrix.shape[1] - run.model.bias_columns].cpu()


def comparable(catalogue: Catalogue, by: str, brought: bool) -> npt.NDArray[np.bool_]:
    """Mark the items that can be compared, (N,): by text those that have any, or a brought vector.

    What has no text has a vector all the same, which says nothing.
    """
    return catalogue.has_text if by == "text" and not brought else np.ones(len(catalogue), bool)


def nearest_rows(
    vectors: torch.Tensor, rows: torch.Tensor, k: int, allowed: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find what has the highest cosine to each of some rows, itself left out.

    Parameters
    ----------
    vectors : torch.Tensor
        (N, width), of any length; a normalised copy would take longer than the search.
    rows : torch.Tensor
        (n,) int64.
    k : int
    allowed : torch.Tensor
        (N,) bool, what may be found.

    Returns
    -------
    found, cosines : torch.Tensor
        (n, k), as `rank.top_k` gives them; k is N at most.
    """
    itself = Seen(torch.arange(len(rows)), rows)
    return nearest_to(vectors, vectors[rows], k, itself, allowed)


def nearest_to(
    vectors: torch.Tensor,
    asked: torch.Tensor,
    k: int,
    seen: Seen | None = None,
    allowed: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find what has the highest cosine to each of some vectors, as `nearest_rows` does.

    Parameters
    ----------
    asked : torch.Tensor
        (n, width).
    """
    scale, own = (
        1 / torch.linalg.vector_norm(matrix, dim=1).clamp_min(1e-12) for matrix in (vectors, asked)
    )
    return top_k(asked * own[:, None], vectors, min(k, len(vectors)), seen, allowed, scale=scale)
