"""Cases → ranks of their targets in lists that a model wrote."""

import numpy as np
import torch

from lite_llm4rec.data.batching import pad
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.split import Targets
from lite_llm4rec.models.base import GenerativeModel

ON_CPU, ON_GPU = 32, 64  # histories at a time: each is as many sequences as there are beams
OUTPUTS = 20  # written for each case; Recall@20 needs them; POD's code writes 10


def rank_generated(
    model: GenerativeModel,
    items: Ints,
    targets: Targets,
    *,
    seen_filter: bool,
    device: str,
    list_length: int,
) -> tuple[Ints, Ints, dict[str, float]]:
    """Write a list for each case and find its target there.

    An output that is no item, or one again, keeps its place; items of the known history leave
    theirs. A target that was not written has the last rank, one past the list in a tiny catalogue.

    Returns
    -------
    ranks : numpy.ndarray
        (cases,) int64.
    lists : numpy.ndarray
        (cases, list_length) item numbers, −1 where there is none.
    shares : dict
        Of all outputs those that are malformed, unknown or repeated.
    """
    ranks = np.full(len(targets), max(model.n_items, OUTPUTS + 1))
    lists = np.full((len(targets), list_length), -1)
    counts = np.zeros(3)
    size = batch_size(device)
    for first in range(0, len(targets), size):
        part = targets.take(np.arange(first, min(first + size, len(targets))))
        starts = np.maximum(part.starts, part.positions - model.history_length)
        histories, mask = pad(items, starts, part.positions)
        users = torch.from_numpy(part.users.astype(np.int64)).to(device)
        found = model.ranked_lists(users, histories.to(device), mask.to(device), OUTPUTS)
        counts += (found.malformed, found.unknown, found.repeated)
        for row, written in enumerate(found.items.cpu().numpy()):
            target = items[part.positions[row]]
            if seen_filter:
                history = items[part.starts[row] : part.positions[row]]
                written = written[~np.isin(written, history) | (written == target)]
            place = np.flatnonzero(written == target)
            if len(place):
                ranks[first + row] = place[0] + 1
            shown = written[:list_length]
            lists[first + row, : len(shown)] = shown
    names = ("malformed", "unknown", "repeated")
    shares = (float(count) / max(len(targets) * OUTPUTS, 1) for count in counts)
    return ranks, lists, dict(zip(names, shares, strict=True))


def batch_size(device: str) -> int:
    """Tell how many histories a beam search takes at a time."""
    return ON_CPU if torch.device(device).type == "cpu" else ON_GPU
