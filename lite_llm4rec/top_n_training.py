"""A trained model → one that knows the Top-N task."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.data.interactions import Ints
from lite_llm4rec.data.sampling import Examples
from lite_llm4rec.data.split import Split, Targets
from lite_llm4rec.models import RankingModel
from lite_llm4rec.rank import seen_items
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.top_n import (
    as_input,
    check_chooses,
    draw_candidates,
    fixed_candidates,
    rank_candidates,
)
from lite_llm4rec.train import Fitted, Task, fit


class TopNTask(Task):
    """Training on the Top-N task: examples as the stage's strategy draws them, among 99 others.

    These are drawn anew each time, from torch's generator, which is a function of (seed, epoch,
    step); they are items that the user's training part does not hold, so that nothing of
    validation and test is told. P5 and POD leave these out of the negatives, too.

    Parameters
    ----------
    history : bool
        Whether the history stands before the candidates.
    *given
        As `Task` has them.
    """

    def __init__(self, history: bool, *given: Any) -> None:
        super().__init__(*given)
        self.history = history

    def batch(self, examples: Examples) -> Batch:
        """Put examples side by side, each with its candidates behind it."""
        log = self.split.interactions
        users = log.users[examples.targets].astype(np.int64)
        had = seen_items(log.items, log.offsets[users], self.split.train_ends[users])
        targets = torch.from_numpy(log.items[examples.targets].astype(np.int64))
        candidates = draw_candidates(log.n_items, targets, had)
        length = self.model.history_length if self.history else 0
        items, mask = as_input(log.items, examples.starts, examples.targets, candidates, length)
        following = targets[:, None].expand_as(items)
        return Batch(items, mask, following, torch.from_numpy(users), candidates.shape[1])

    def ranks(self, cases: Targets) -> Ints:
        """Rank the targets of cases among their own 99 negatives."""
        return rank_candidates(
            self.model,
            self.split.interactions.items,
            cases,
            fixed_candidates(self.split, cases),
            history=self.history,
            device=str(self.device),
        )[0]


def fine_tune(
    model: RankingModel,
    split: Split,
    stage: StageConfig,
    folder: Path,
    *,
    history: bool,
    **how: Any,
) -> Fitted:
    """Train a model on the Top-N task; it ends with the weights of the best validation.

    Parameters
    ----------
    model : RankingModel
        One that learns one target per pass.
    history : bool
        Whether the history stands before the candidates.
    **how
        As `fit` has it.

    Raises
    ------
    ConfigError
        When the model learns from the places of a history.
    """
    check_chooses(model)

    def task(*given: Any) -> TopNTask:
        return TopNTask(history, *given)

    return fit(model, split, stage, folder, kind=task, **how)
