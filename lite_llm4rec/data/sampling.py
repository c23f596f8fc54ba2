"""Which (history, target) examples an epoch visits. Each is a function of (seed, epoch)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.split import Split


@dataclass(frozen=True)
class Examples:
    """Training examples as positions: history `items[starts:targets]`, target `items[targets]`.

    A model that learns from every position is taught `items[starts + 1 : targets + 1]`.

    Attributes
    ----------
    starts, targets : numpy.ndarray
        (examples,) int64, positions in the log's `items`.
    """

    starts: Ints
    targets: Ints

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: Ints) -> "Examples":
        """Keep these examples, in this order."""
        return Examples(self.starts[rows], self.targets[rows])


BUCKETS = 50  # batches whose examples are sorted by length together

Sampler = Callable[[Split, int, int, int], Examples]


def random_segment(split: Split, history_length: int, seed: int, epoch: int) -> Examples:
    """Draw one contiguous segment of at least two items per user; its last item is the target.

    A longer segment keeps its last `history_length + 1` items. Nothing past the training part is
    ever touched. Source: the sampling of POD, which paper §5.1.4 follows (`sampling`).
    """
    begins = split.interactions.offsets[:-1]
    able = split.train_ends - begins >= 2
    begins, ends = begins[able], split.train_ends[able]
    rng = np.random.default_rng((seed, epoch))
    starts = rng.integers(begins, ends - 1)
    targets = rng.integers(starts + 1, ends)
    starts = np.maximum(starts, targets - history_length)
    return Examples(starts, targets).take(rng.permutation(len(targets)))


def every_prefix(split: Split, history_length: int, seed: int, epoch: int) -> Examples:
    """Take every training interaction but a user's first as the target of what comes before it.

    Source: paper §5.1.4, "traverse all the training data without sampling" (`all`).
    """
    log = split.interactions
    position = np.arange(len(log))
    begins = log.offsets[:-1][log.users]
    targets = position[(position > begins) & (position < split.train_ends[log.users])]
    rng = np.random.default_rng((seed, epoch))
    targets = targets[rng.permutation(len(targets))]
    starts = np.maximum(log.offsets[:-1][log.users[targets]], targets - history_length)
    return Examples(starts, targets)


def every_position(split: Split, history_length: int, seed: int, epoch: int) -> Examples:
    """Tile each user's training part with windows, cut anew in each epoch.

    For a model that learns from every position: all training interactions but each user's first
    are taught exactly once per epoch, at most `history_length` to a window. The first window's
    length is drawn, so that over the epochs each is taught after histories of many lengths. The
    number of windows is the same in every epoch.
    """
    begins = split.interactions.offsets[:-1]
    able = split.train_ends - begins >= 2
    begins, targets = begins[able], (split.train_ends - begins)[able] - 1
    windows = -(-targets // history_length)
    rng = np.random.default_rng((seed, epoch))
    first = rng.integers(targets - (windows - 1) * history_length, history_length + 1)
    first = np.where(windows == 1, targets, first)
    place = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
    cuts = np.repeat(first, windows) + place * history_length
    starts = np.repeat(begins, windows) + np.where(place == 0, 0, cuts - history_length)
    ends = np.repeat(begins, windows) + np.minimum(cuts, np.repeat(targets, windows))
    return Examples(starts, ends).take(rng.permutation(len(starts)))


def bucket(examples: Examples, batch: int, seed: int, epoch: int) -> Examples:
    """Put examples of like length into the same batch, so that little padding is computed.

    Within stretches of `BUCKETS` batches the examples are sorted by length; then whole batches
    are shuffled. The last batch, which may be smaller, stays last.
    """
    length = examples.targets - examples.starts
    stretch = np.arange(len(examples)) // (batch * BUCKETS)
    order = np.lexsort((length, stretch))
    full = len(examples) // batch
    shuffled = np.random.default_rng((seed, epoch, full)).permutation(full)
    batches = order[: full * batch].reshape(full, batch)[shuffled]
    return examples.take(np.concatenate([batches.ravel(), order[full * batch :]]))


STRATEGIES: dict[str, Sampler] = {
    "sampling": random_segment,
    "all": every_prefix,
    "positions": every_position,
}
