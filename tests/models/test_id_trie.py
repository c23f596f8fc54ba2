import torch

from lite_llm4rec.models.id_text import STYLES, WordTokens, digit_tokenizer
from lite_llm4rec.models.id_trie import IdTrie, OnlyItems


def follow(trie: IdTrie, prefix: list[int]) -> list[list[int]]:
    """List all sequences that the tree allows from here on."""
    node = trie.walk(torch.tensor([prefix], dtype=torch.int64))
    tokens = trie.allowed(node)[0].nonzero()[:, 0].tolist()
    if not tokens:
        return [prefix]
    return [found for token in tokens for found in follow(trie, [*prefix, token])]


def test_it_allows_exactly_the_catalogue():
    words = WordTokens(digit_tokenizer())
    sequences = [words.target(STYLES["pod"], str(number)) for number in range(1, 121)]
    trie = IdTrie(sequences, len(words.tokenizer))
    assert sorted(follow(trie, [])) == sorted(sequences)


def test_what_may_follow():
    trie = IdTrie([[5, 1], [5, 6, 1], [7, 1]], 8)
    prefixes = torch.tensor([[5, 6], [7, 1], [6, 6]])
    allowed = trie.allowed(trie.walk(prefixes))
    assert [row.nonzero()[:, 0].tolist() for row in allowed] == [[1], [], []]
    assert trie.allowed(trie.walk(torch.tensor([[5]])))[0].nonzero()[:, 0].tolist() == [1, 6]


def test_a_dead_end_stays_one():
    trie = IdTrie([[0, 1]], 3)
    assert trie.walk(torch.tensor([[2, 0], [0, 1]])).tolist() == [trie.dead, 2]
    assert not trie.allowed(trie.walk(torch.tensor([[2, 0, 1]]))).any()


def test_other_tokens_are_hidden_from_the_start():
    only = OnlyItems(IdTrie([[2, 1], [3, 1]], 4))
    found = only(torch.tensor([[0], [0]]), torch.zeros(2, 4))
    assert (found == 0).tolist() == [[False, False, True, True]] * 2
    found = only(torch.tensor([[0, 2]]), torch.zeros(1, 4))
    assert (found == 0).tolist() == [[False, True, False, False]]


def test_rows_may_have_trees_of_their_own():
    only = OnlyItems(IdTrie([[2, 1]], 4), IdTrie([[3, 1]], 4))
    found = only(torch.zeros(4, 1, dtype=torch.int64), torch.zeros(4, 4))
    assert (found == 0).int().argmax(1).tolist() == [2, 2, 3, 3]
