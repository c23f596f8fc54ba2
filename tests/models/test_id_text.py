import numpy as np
import pytest
import torch

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.models.id_text import (
    STYLES,
    WordTokens,
    digit_tokenizer,
    number_items,
    read_target,
    write_prompt,
)
from tests.conftest import ring_tables


@pytest.fixture(scope="module")
def words() -> WordTokens:
    return WordTokens(digit_tokenizer())


def read(words: WordTokens, tokens: list[int]) -> str:
    return " ".join(words.tokenizer.convert_ids_to_tokens(tokens))


def test_original_numbers_are_in_the_order_of_first_appearance_test_items_included():
    numbers = number_items(np.array([5, 2, 7, 2, 0, 5, 1]), 9, "original", 0)
    assert [int(numbers[item]) for item in (5, 2, 7, 0, 1)] == [1, 2, 3, 4, 5]
    assert [int(numbers[item]) for item in (3, 4, 6, 8)] == [6, 7, 8, 9]  # those that never occur


def test_random_numbers_are_a_seeded_permutation():
    walk = np.array([0, 1, 2])
    first, again, other = (number_items(walk, 50, "random", seed) for seed in (1, 1, 2))
    assert sorted(first) == list(range(1, 51))
    assert (first == again).all()
    assert (first != other).any()


def test_original_numbering_of_a_ring_counts_along_each_history():
    dataset = Dataset.from_tables(*ring_tables(1, 20, 6, seed=0))
    numbers = number_items(dataset.interactions.items, 20, "original", 0)
    assert numbers[dataset.interactions.history(0)].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_pod_prompt_is_bare():
    style = STYLES["pod"]
    assert write_prompt(style, style.next_item[0], 7, [12, 34]) == ["user_7", "item_12", "item_34"]
    assert write_prompt(style, style.next_item[0], None, [12]) == ["item_12"]


def test_a_p5_prompt_names_the_user_and_separates_the_items():
    style = STYLES["p5"]
    for wording in style.next_item:
        text = " ".join(write_prompt(style, wording, 7, [12, 34]))
        assert "user_7" in text
        assert "12 , 34" in text


def test_a_lightlm_prompt_names_the_user_alone():
    style = STYLES["lightlm"]
    text = " ".join(write_prompt(style, style.next_item[0], 7, [12, 34]))
    assert text == "Name one thing that user_7 will take :"


def test_pod_counts_its_ids(words: WordTokens):
    found = words.prompts(STYLES["pod"], [["user_7", "item_12", "item_345"], ["item_1"]])
    assert read(words, found.tokens[0].tolist()) == "user_ 7 item_ 1 2 item_ 3 4 5 </s>"
    assert found.words[0].tolist() == [1, 1, 2, 2, 2, 3, 3, 3, 3, 0]
    assert found.words[1].tolist() == [1, 1, 0] + [0] * 7
    assert found.mask.sum(1).tolist() == [10, 3]


def test_words_that_are_no_ids_count_in_p5_but_not_in_pod(words: WordTokens):
    prompt = ["Continue", "user_7", "12", ",", "3"]
    assert words.prompts(STYLES["p5"], [prompt]).words.tolist() == [[1, 2, 2, 3, 3, 4, 5, 0]]
    assert words.prompts(STYLES["pod"], [prompt]).words.tolist() == [[0, 1, 1, 0, 0, 0, 0, 0]]


def test_targets_end(words: WordTokens):
    assert read(words, words.target(STYLES["pod"], 120)) == "1 2 0 </s>"
    assert read(words, words.target(STYLES["lightlm"], 4)) == "item_ 4 </s>"


@pytest.mark.parametrize(
    ("style", "text", "number"),
    [
        ("pod", "12", 12),
        ("pod", " 12 34", 12),
        ("pod", "012", None),
        ("pod", "item_12", None),
        ("pod", "", None),
        ("pod", "1 2", 1),
        ("lightlm", "item_12", 12),
        ("lightlm", "12", None),
        ("lightlm", "item_", None),
    ],
)
def test_what_is_read_out_of_an_answer(style: str, text: str, number: int | None):
    assert read_target(STYLES[style], text) == number


@pytest.mark.parametrize("style", STYLES.values())
def test_an_answer_is_read_as_it_was_written(style, words: WordTokens):
    for number in (1, 20, 1305):
        tokens = words.target(style, number)
        text = words.tokenizer.decode(tokens, skip_special_tokens=True)
        assert read_target(style, text) == number


def test_the_digit_tokenizer_knows_every_word_of_the_wordings(words: WordTokens):
    for style in STYLES.values():
        for wording in (*style.next_item, *style.choose):
            tokens = words.prompts(style, [write_prompt(style, wording, 7, [12, 34])]).tokens
            assert not (tokens == words.tokenizer.unk_token_id).any()
            assert isinstance(tokens, torch.Tensor)


@pytest.mark.parametrize("style", STYLES.values())
def test_words_one_by_one_give_the_tokens_of_the_whole(style, words: WordTokens):
    for wording in (*style.next_item, *style.choose):
        prompt = write_prompt(style, wording, 7, [12, 345])
        whole = words.tokenizer(" ".join(prompt), add_special_tokens=False)["input_ids"]
        assert words.prompts(style, [prompt]).tokens[0].tolist() == [*whole, words.end]
