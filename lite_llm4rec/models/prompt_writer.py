"""Batches → the prompts that a model which writes ids is asked with."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.id_text import Prompts, Style, WordTokens, write_prompt

CANDIDATES = 100  # in a prompt to choose from


@dataclass(frozen=True)
class PromptWriter:
    """Writes prompts in one style.

    Attributes
    ----------
    words : WordTokens
    style : Style
    texts : sequence of str
        (N,) what each item is written with.
    vary : bool
        Draw one of the style's wordings for each prompt, as in training; else take the first.
    """

    words: WordTokens
    style: Style
    texts: Sequence[str]
    vary: bool

    def next_item(self, batch: Batch, rows: torch.Tensor) -> Prompts:
        """Ask for what follows the histories in some rows of a batch.

        Raises
        ------
        ConfigError
            When the style names the user alone and there is none.
        """
        if batch.users is None and "{items}" not in self.style.next_item[0]:
            raise ConfigError(
                "LightLM knows users by their numbers alone: it has nothing for a new history.",
                'Evaluate it, or take model.style = "pod".',
            )
        histories = [self._numbers(batch.items[row][batch.mask[row]]) for row in rows.tolist()]
        return self._write(self.style.next_item, batch, rows, histories)

    def choose(self, batch: Batch, rows: torch.Tensor) -> Prompts:
        """Ask for the best of a batch's candidates, or without any for the target among others.

        These are drawn from what is not known to be the user's, and no history is told.

        Raises
        ------
        ConfigError
            When the style has no such prompts.
        """
        if not self.style.choose:
            raise ConfigError(
                "LightLM has no prompts to choose from candidates.",
                'Take model.style = "p5" or "pod".',
            )
        if not batch.candidates:
            drawn = [self._numbers(self._drawn(batch, row)) for row in rows.tolist()]
            return self._write(self.style.choose, batch, rows, drawn)
        whole = [self._numbers(batch.items[row][batch.mask[row]]) for row in rows.tolist()]
        shown = [row[-batch.candidates :] for row in whole]
        before = [row[: -batch.candidates] for row in whole]
        wordings = self.style.choose_after if before[0] else self.style.choose
        return self._write(wordings, batch, rows, shown, before)

    def _drawn(self, batch: Batch, row: int) -> torch.Tensor:
        """Put a row's target among others, (candidates,)."""
        target = batch.targets[row : row + 1]
        known = torch.cat([batch.items[row][batch.mask[row]], target])
        drawn = torch.randperm(len(self.texts))
        shown = torch.cat([drawn[~torch.isin(drawn, known)][: CANDIDATES - 1], target])
        return shown[torch.randperm(len(shown))]

    def _numbers(self, items: torch.Tensor) -> list[str]:
        return [self.texts[item] for item in items.tolist()]

    def _write(
        self,
        wordings: tuple[str, ...],
        batch: Batch,
        rows: torch.Tensor,
        named: list[list[str]],
        before: list[list[str]] | None = None,
    ) -> Prompts:
        """Fill wordings with the items that are named, and with the history before them."""
        drawn = torch.randint(len(wordings) if self.vary else 1, (len(rows),)).tolist()
        users: list[int | None] = [None] * len(rows)
        if batch.users is not None:
            users = (batch.users[rows] + 1).tolist()
        texts = [
            write_prompt(self.style, wordings[wording], user, shown, history)
            for wording, user, shown, history in zip(
                drawn, users, named, before or [[]] * len(rows), strict=True
            )
        ]
        return self.words.prompts(self.style, texts)
