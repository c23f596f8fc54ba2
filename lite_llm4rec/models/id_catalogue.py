"""All items' answers under one numbering: to be learnt, to be kept to, to be read again."""

from collections.abc import Sequence

import torch

from lite_llm4rec.models.base import RankedLists
from lite_llm4rec.models.id_text import Style, WordTokens, pad_rows, read_target
from lite_llm4rec.models.id_trie import IdTrie
from lite_llm4rec.models.item_numbers import number_texts

NOTHING = -1e8  # transformers scores a beam that does not exist about −1e9


class IdCatalogue:
    """The catalogue as text.

    Parameters
    ----------
    words : WordTokens
    style : Style
    numbers : torch.Tensor
        (N,) or (N, parts) int64 what each item is written with.
    vocabulary : int
        Number of tokens that the model can write.

    Attributes
    ----------
    texts : list of str
        (N,) what each item is written with, as text.
    targets, mask : torch.Tensor
        (N, tokens) each item's tokens, the end token among them, and where they are.
    trie : IdTrie
    """

    def __init__(
        self, words: WordTokens, style: Style, numbers: torch.Tensor, vocabulary: int
    ) -> None:
        self.style = style
        self.numbers = numbers
        self.texts = number_texts(numbers)
        self.vocabulary = vocabulary
        words.learn(style.target.format(text) for text in self.texts)
        self._rows = [words.target(style, text) for text in self.texts]
        self.targets, self.mask = pad_rows(self._rows)
        self.trie = IdTrie(self._rows, vocabulary)
        self._items = {text: item for item, text in enumerate(self.texts)}

    def trie_of(self, items: torch.Tensor) -> IdTrie:
        """Make a tree of some items, (items,), alone."""
        return IdTrie([self._rows[item] for item in items.tolist()], self.vocabulary)

    def read(self, texts: Sequence[str], scores: torch.Tensor) -> RankedLists:
        """Read items out of what was written.

        Parameters
        ----------
        texts : sequence of str
            (batch · k).
        scores : torch.Tensor
            (batch, k).
        """
        k = scores.shape[1]
        malformed = unknown = repeated = 0
        lists = []
        for row, exist in enumerate((scores > NOTHING).tolist()):
            listed: list[int] = []
            for place, exists in enumerate(exist):
                number = read_target(self.style, texts[row * k + place]) if exists else None
                item = -1 if number is None else self._items.get(number, -1)
                again = item >= 0 and item in listed
                malformed += exists and number is None
                unknown += number is not None and item < 0
                repeated += again
                listed.append(-1 if again else item)
            lists.append(listed)
        items = torch.tensor(lists, dtype=torch.int64).reshape(scores.shape)
        scores = scores.masked_fill(scores <= NOTHING, -torch.inf)
        return RankedLists(items, scores, malformed, unknown, repeated)
