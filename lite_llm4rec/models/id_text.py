"""Items and users as text: the prompts that name them by their numbers, prompts → tokens.

The wordings are our own; what stands in them follows P5 (RecSys 2022), POD (CIKM 2023) and
LightLM (2023).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

StyleName = Literal["p5", "pod", "lightlm"]
NUMBER = r"((?:0|[1-9][0-9]*)(?:_(?:0|[1-9][0-9]*))*)"  # or a path of several


@dataclass(frozen=True)
class Style:
    """How a system writes.

    Attributes
    ----------
    item, target : str
        An item in a prompt, and as the answer.
    separator : str
        The word between two items.
    next_item, choose, choose_after : tuple of str
        Wordings of the tasks: the next item after a history; the best of given candidates, without
        a history (as the sources have it) or after one. Training draws one for each prompt, an
        answer is asked for with the first. POD's first is bare: what the others say is to go into
        its prompt vectors. Source: its code trains on seven and the bare one; the words are ours.
    every_word : bool
        Whether every word has a whole-word number, or ids alone.
    """

    item: str
    target: str
    separator: str
    next_item: tuple[str, ...]
    choose: tuple[str, ...]
    choose_after: tuple[str, ...]
    every_word: bool


STYLES: dict[str, Style] = {
    "p5": Style(
        "{}",
        "{}",
        ",",
        (
            "So far {user} went through {items} . The following number would be",
            "After {items} , which number comes up for {user} ?",
            "Continue the list of {user} : {items}",
        ),
        (
            "Which of these numbers would {user} pick ? {items}",
            "Out of {items} , name the best one for {user} .",
        ),
        (
            "After {history} , which of these numbers would {user} pick ? {items}",
            "So far {user} went through {history} . Out of {items} , name the best one .",
        ),
        every_word=True,
    ),
    "pod": Style(
        "item_{}",
        "{}",
        "",
        (
            "{user} {items}",
            "{user} went through {items} . What comes next ?",
            "After {items} , {user} goes on with",
            "Name the next item of {user} : {items}",
            "Which item follows {items} for {user} ?",
            "{user} : {items} . Next :",
            "Knowing that {user} took {items} , say what is taken next",
            "The list of {user} so far is {items} . Continue it",
        ),
        (
            "{user} {items}",
            "Which of {items} suits {user} ?",
            "Out of {items} , {user} would take",
            "For {user} choose one of {items}",
            "{user} may have {items} . The best is",
            "Name the item for {user} : {items}",
            "Of these , which will {user} take ? {items}",
            "Given {items} , say what {user} chooses",
        ),
        ("{user} {history} : {items}",),
        every_word=False,
    ),
    "lightlm": Style(
        "item_{}",
        "item_{}",
        "",
        ("Name one thing that {user} will take :",),
        (),
        (),
        every_word=True,
    ),
}


def write_prompt(
    style: Style,
    wording: str,
    user: int | None,
    numbers: Sequence[str],
    history: Sequence[str] = (),
) -> list[str]:
    """Fill a wording with items' numbers, as words; an unknown user is left out.

    >>> write_prompt(STYLES["pod"], "{user} {items}", 7, ["12", "34"])
    ['user_7', 'item_12', 'item_34']
    """
    items, before = (
        f" {style.separator} ".join(style.item.format(number) for number in part)
        for part in (numbers, history)
    )
    name = "" if user is None else f"user_{user}"
    return wording.format(user=name, items=items, history=before).split()


def read_target(style: Style, text: str) -> str | None:
    """Read an item's number, or path, out of a generated text's first word; None without one.

    Source: POD's evaluation takes the first blank-separated word, too.

    >>> read_target(STYLES["lightlm"], "item_12 item_3"), read_target(STYLES["pod"], "12 of")
    ('12', '12')
    """
    words = text.split(maxsplit=1)
    found = _target_pattern(style.target).fullmatch(words[0]) if words else None
    return found[1] if found else None


@cache
def _target_pattern(target: str) -> re.Pattern[str]:
    return re.compile(re.escape(target).replace(r"\{\}", NUMBER))


@dataclass(frozen=True)
class Prompts:
    """Tokenised prompts side by side, padded at their end.

    Attributes
    ----------
    tokens : torch.Tensor
        (batch, tokens) int64.
    words : torch.Tensor
        (batch, tokens) int64, the number of the word that a token is part of: from 1 in each
        prompt, 0 where the style counts none.
    mask : torch.Tensor
        (batch, tokens) bool.
    """

    tokens: torch.Tensor
    words: torch.Tensor
    mask: torch.Tensor

    def to(self, device: torch.device | str) -> "Prompts":
        """Move to a device."""
        return Prompts(self.tokens.to(device), self.words.to(device), self.mask.to(device))


class WordTokens:
    """Words → tokens, each distinct word tokenised once.

    T5's tokenizer cuts at blanks first, so a prompt's tokens are those of its words in a row.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.end: int = tokenizer.eos_token_id
        self._known: dict[str, list[int]] = {}

    def __call__(self, word: str) -> list[int]:
        """Tokenise one word, without an end."""
        if word not in self._known:
            self.learn([word])
        return self._known[word]

    def learn(self, words: Iterable[str]) -> None:
        """Tokenise those words that are new together, which is far faster than one by one."""
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        if new:
            found = self.tokenizer(new, add_special_tokens=False)["input_ids"]
            self._known.update(zip(new, found, strict=True))

    def target(self, style: Style, number: str) -> list[int]:
        """Tokenise an item as the answer, with the end."""
        return [*self(style.target.format(number)), self.end]

    def prompts(self, style: Style, prompts: Sequence[list[str]]) -> Prompts:
        """Tokenise prompts, each with the end."""
        self.learn(word for prompt in prompts for word in prompt)
        rows = [self._row(style, prompt) for prompt in prompts]
        tokens, mask = pad_rows([row[0] for row in rows])
        words, _ = pad_rows([row[1] for row in rows])
        return Prompts(tokens, words, mask)

    def _row(self, style: Style, prompt: list[str]) -> tuple[list[int], list[int]]:
        tokens: list[int] = []
        words: list[int] = []
        count = 0
        for word in prompt:
            pieces = self(word)
            counted = style.every_word or word.startswith(("user_", "item_"))
            count += counted
            tokens += pieces
            words += [count if counted else 0] * len(pieces)
        return [*tokens, self.end], [*words, 0]


def pad_rows(rows: Sequence[Sequence[int]], value: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Put rows side by side: (rows, longest) int64 filled up with `value`, and a bool mask."""
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    padded = torch.full(mask.shape, value)
    padded[mask] = torch.tensor([token for row in rows for token in row])
    return padded, mask


def digit_tokenizer() -> Any:
    """Make a tokenizer of single digits and the words of the prompts, for models from scratch."""
    splitter = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)]
    )
    wordings = [
        text
        for style in STYLES.values()
        for text in (*style.next_item, *style.choose, *style.choose_after)
    ]
    plain = {word for text in wordings for word in text.split() if not word.startswith("{")}
    words = ["<pad>", "</s>", "<unk>", "user_", "item_", ",", *"0123456789"]
    words += [*sorted(plain - {","}), "_"]
    inner = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>")
    )
    inner.pre_tokenizer = splitter
    inner.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
