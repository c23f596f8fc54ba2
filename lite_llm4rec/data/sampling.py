"""Which (history, target) examples an epoch visits. Each is a function of (seed, epoch)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.split import Split


@dataclass(frozen=True)
class Examples:
    """Training examples as positions: history `items[starts:targets]`, target `items[targets]`.

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


STRATEGIES: dict[str, Sampler] = {"sampling": random_segment, "all": every_prefix}
