import pytest
import torch

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.models.id_text import (
    STYLES,
    WordTokens,
    digit_tokenizer,
    read_target,
    write_prompt,
)
from lite_llm4rec.models.prompt_writer import PromptWriter


@pytest.fixture(scope="module")
def words() -> WordTokens:
    return WordTokens(digit_tokenizer())


def read(words: WordTokens, tokens: list[int]) -> str:
    return " ".join(words.tokenizer.convert_ids_to_tokens(tokens))


def test_a_pod_prompt_is_bare():
    style = STYLES["pod"]
    assert write_prompt(style, style.next_item[0], 7, ["12", "34"]) == [
        "user_7",
        "item_12",
        "item_34",
    ]
    assert write_prompt(style, style.next_item[0], None, ["12"]) == ["item_12"]


def test_pod_is_taught_with_words_around_and_asked_without(words: WordTokens):
    items = torch.tensor([[0, 1]]).expand(200, 2)
    mask = torch.ones(200, 2, dtype=torch.bool)
    batch = Batch(items, mask, items, users=torch.full((200,), 6))
    style, rows = STYLES["pod"], torch.arange(200)
    bare = words.prompts(style, [["user_7", "item_12", "item_34"]]).tokens[0]
    asked = PromptWriter(words, style, ["12", "34"], vary=False).next_item(batch, rows)
    assert all(row.equal(bare) for row in asked.tokens)
    torch.manual_seed(0)
    taught = PromptWriter(words, style, ["12", "34"], vary=True).next_item(batch, rows)
    assert len({tuple(row.tolist()) for row in taught.tokens}) == 8


def test_a_p5_prompt_names_the_user_and_separates_the_items():
    style = STYLES["p5"]
    for wording in style.next_item:
        text = " ".join(write_prompt(style, wording, 7, ["12", "34"]))
        assert "user_7" in text
        assert "12 , 34" in text


def test_a_lightlm_prompt_names_the_user_alone():
    style = STYLES["lightlm"]
    text = " ".join(write_prompt(style, style.next_item[0], 7, ["12", "34"]))
    assert text == "Name one thing that user_7 will take :"


def test_a_history_stands_before_what_to_choose_from():
    words = write_prompt(STYLES["pod"], STYLES["pod"].choose_after[0], 7, ["12", "34"], ["5"])
    assert words == ["user_7", "item_5", ":", "item_12", "item_34"]
    for wording in STYLES["p5"].choose_after:
        text = " ".join(write_prompt(STYLES["p5"], wording, 7, ["12", "34"], ["5", "6"]))
        assert text.index("5 , 6") < text.index("12 , 34")


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
    assert read(words, words.target(STYLES["pod"], "120")) == "1 2 0 </s>"
    assert read(words, words.target(STYLES["lightlm"], "4")) == "item_ 4 </s>"


@pytest.mark.parametrize(
    ("style", "text", "number"),
    [
        ("pod", "12", "12"),
        ("pod", " 12 34", "12"),
        ("pod", "012", None),
        ("pod", "item_12", None),
        ("pod", "", None),
        ("pod", "1 2", "1"),
        ("lightlm", "item_12", "12"),
        ("lightlm", "item_5_0_17", "5_0_17"),
        ("lightlm", "item_5_", None),
        ("lightlm", "item_5_01", None),
        ("lightlm", "12", None),
        ("lightlm", "item_", None),
    ],
)
def test_what_is_read_out_of_an_answer(style: str, text: str, number: str | None):
    assert read_target(STYLES[style], text) == number


@pytest.mark.parametrize("style", STYLES.values())
def test_an_answer_is_read_as_it_was_written(style, words: WordTokens):
    for number in ("1", "20", "1305", "5_0_17"):
        tokens = words.target(style, number)
        text = words.tokenizer.decode(tokens, skip_special_tokens=True)
        assert read_target(style, text) == number


def test_the_digit_tokenizer_knows_every_word_of_the_wordings(words: WordTokens):
    for style in STYLES.values():
        for wording in (*style.next_item, *style.choose, *style.choose_after):
            prompt = write_prompt(style, wording, 7, ["12", "34"], ["5_0_17"])
            tokens = words.prompts(style, [prompt]).tokens
            assert not (tokens == words.tokenizer.unk_token_id).any()
            assert isinstance(tokens, torch.Tensor)


@pytest.mark.parametrize("style", STYLES.values())
def test_words_one_by_one_give_the_tokens_of_the_whole(style, words: WordTokens):
    for wording in (*style.next_item, *style.choose, *style.choose_after):
        prompt = write_prompt(style, wording, 7, ["12", "345"], ["6"])
        whole = words.tokenizer(" ".join(prompt), add_special_tokens=False)["input_ids"]
        assert words.prompts(style, [prompt]).tokens[0].tolist() == [*whole, words.end]


def test_words_learnt_together_have_the_tokens_of_each_alone(words: WordTokens):
    some = ["item_12", "user_7", "item_12", ",", "which"]
    words.learn(some)
    alone = WordTokens(words.tokenizer)
    assert [words(word) for word in some] == [alone(word) for word in some]
