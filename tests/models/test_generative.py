import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from lite_llm4rec.data.batching import Batch
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.base import CatalogueFacts, RankedLists
from lite_llm4rec.models.generative import GenerativeConfig, GenerativeRec
from lite_llm4rec.models.id_text import digit_tokenizer
from tests.conftest import ring_tables

N_ITEMS = 60
SHAPE = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}


def make(n_items: int = N_ITEMS, **settings: Any) -> GenerativeRec:
    torch.manual_seed(0)
    plain = {"length_penalty": 0.0, "early_stopping": False}
    made = {"backbone": "t5", "from_scratch": True, "shape": SHAPE, "dropout": 0.0}
    given = {**made, **plain, **settings}
    facts = CatalogueFacts(torch.empty(n_items, 0), torch.ones(n_items), split=split(n_items))
    model = GenerativeRec.create(GenerativeConfig(**given), facts)
    if "numbering" not in settings:  # item i is written i + 1
        model.numbers.copy_(torch.arange(1, n_items + 1))
    return model.eval()


def split(n_items: int) -> Split:
    """Each user has ten items in a row of a ring."""
    tables = ring_tables(5 * n_items, n_items, min(10, n_items), seed=0)
    return leave_one_out(Dataset.from_tables(*tables, candidates="catalogue").interactions)


def histories() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    items = torch.tensor([[3, 1, 4, 1], [5, 9, 0, 0]])
    return torch.tensor([6, 2]), items, torch.tensor([[True] * 4, [True, True, False, False]])


@torch.no_grad()
def loss_of(model: GenerativeRec, target: int, row: int = 0) -> float:
    """Cross-entropy summed over the tokens of one target after one of the histories."""
    users, items, mask = (part[row : row + 1] for part in histories())
    items = items[:, : int(mask.sum())]
    following = torch.cat([items[:, 1:], torch.tensor([[target]])], 1)
    batch = Batch(items, torch.ones_like(items, dtype=torch.bool), following, users)
    tokens = int(model.catalogue().mask[target].sum())
    return float(model.training_loss(batch)) * tokens


@pytest.mark.parametrize("style", ["p5", "pod", "lightlm"])
@pytest.mark.parametrize("prompt_vectors", [0, 3])
def test_constrained_beams_find_what_scoring_every_item_finds(style: str, prompt_vectors: int):
    model = make(
        20, style=style, prompt_vectors=prompt_vectors, constrained=True, beams=20,
        numbering="random",
    )  # fmt: skip
    with torch.no_grad():
        model.t5.shared.weight.mul_(0.3)  # else a few tokens take all the probability
    found = model.ranked_lists(*histories(), 20)
    assert (found.malformed, found.unknown, found.repeated) == (0, 0, 0)
    for row in range(2):
        expected = -torch.tensor([loss_of(model, item, row) for item in range(20)])
        assert sorted(found.items[row].tolist()) == list(range(20))
        torch.testing.assert_close(found.scores[row], expected[found.items[row]])
        assert (found.scores[row].diff() <= 1e-5).all()


def test_fewer_items_than_beams():
    model = make(4, constrained=True)
    found = model.ranked_lists(*histories_of(4), 20)
    for row in range(2):
        assert sorted(found.items[row, :4].tolist()) == [0, 1, 2, 3]
        assert (found.items[row, 4:] == -1).all()
        assert (found.scores[row, 4:] == -torch.inf).all()
    assert (found.malformed, found.unknown, found.repeated) == (0, 0, 0)


def histories_of(n_items: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    users, items, mask = histories()
    return users, items % n_items, mask


def read(model: GenerativeRec, sequences: torch.Tensor, scores: torch.Tensor) -> RankedLists:
    assert model.words is not None
    texts = model.words.tokenizer.batch_decode(sequences, skip_special_tokens=True)
    return model.catalogue().read(texts, scores)


def test_unconstrained_outputs_are_counted_and_keep_their_places():
    model = make(30)
    words = model.words
    assert words is not None
    model.numbers.copy_(torch.arange(30).roll(1) + 1)  # item 0 is 30, item i is i
    texts = ["7", "x", "7 8", "31", "30", "", "070"]
    known = {"x": [words.tokenizer.unk_token_id], "": []}
    rows = [
        known.get(text, [token for word in text.split() for token in words(word)]) for text in texts
    ]
    rows[2] = [*words("7"), words.tokenizer.convert_tokens_to_ids("user_")]
    sequences = torch.zeros(7, 4, dtype=torch.int64)
    for place, row in enumerate(rows):
        sequences[place, : len(row) + 1] = torch.tensor([*row, words.end])
    scores = -torch.arange(1.0, 8.0)[None]
    found = read(model, sequences, scores)
    assert found.items.tolist() == [[7, -1, -1, -1, 0, -1, -1]]
    assert (found.malformed, found.unknown, found.repeated) == (4, 1, 0)
    again = read(model, sequences[[0, 0, 4, 0]], torch.tensor([[-1.0, -2.0, -3.0, -1e9]]))
    assert again.items.tolist() == [[7, -1, 0, -1]]
    assert (again.malformed, again.unknown, again.repeated) == (0, 0, 1)


def test_unconstrained_beams_give_twenty_outputs():
    found = make().ranked_lists(*histories(), 20)
    outputs = (found.items >= 0).sum() + found.malformed + found.unknown + found.repeated
    assert int(outputs) == 40


def test_loss_is_the_mean_over_the_targets_tokens():
    model = make()
    users, items, mask = histories()
    following = torch.tensor([[1, 4, 1, 7], [9, 30, 0, 0]])
    joint = model.training_loss(Batch(items, mask, following, users))
    total = loss_of(model, 7, 0) + loss_of(model, 30, 1)
    assert float(joint.detach()) == pytest.approx(
        total / (2 + 3), rel=1e-5
    )  # "8" and "31", with their ends


@pytest.mark.parametrize("style", ["p5", "pod", "lightlm"])
def test_a_batch_equals_one_by_one(style: str):
    model = make(style=style, constrained=True, prompt_vectors=3)
    users, items, mask = histories()
    together = model.ranked_lists(users, items, mask, 5)
    alone = model.ranked_lists(users[1:], items[1:, :2], mask[1:, :2], 5)
    torch.testing.assert_close(together.scores[1:], alone.scores, atol=1e-4, rtol=1e-4)


def test_users_are_in_the_prompt():
    users, items, mask = histories()
    model = make(constrained=True)
    known = model.ranked_lists(users, items, mask, 5)
    unknown = model.ranked_lists(None, items, mask, 5)
    assert not torch.allclose(known.scores, unknown.scores)
    with pytest.raises(ConfigError, match="LightLM"):
        make(style="lightlm").ranked_lists(None, items, mask, 5)


def test_whole_words_and_prompt_vectors_change_the_input():
    assert make(whole_words=False).whole_words is None
    model = make(prompt_vectors=3)
    prompts = model.prompts_of(*histories())
    states, mask = model._encode(prompts, 0)
    assert states.shape[1] == prompts.tokens.shape[1] + 3 == mask.shape[1]
    changed = replace(prompts, words=prompts.words * 0)
    assert not torch.allclose(model._encode(changed, 0)[0], states)


def test_prompts_to_choose_from_show_the_target_among_others():
    model = make(choose_share=0.5)
    users, items, mask = histories()
    batch = Batch(items, mask, torch.tensor([[1, 4, 1, 7], [9, 30, 0, 0]]), users)
    prompts = model._writer().choose(batch, torch.tensor([1]))
    assert model.words is not None
    tokens = model.words.tokenizer.convert_ids_to_tokens(prompts.tokens[0].tolist())
    text = "".join(tokens)
    shown = text.removeprefix("user_3item_").removesuffix("</s>").split("item_")
    assert "31" in shown
    assert len(shown) == len(set(shown)) == N_ITEMS - 2  # fewer than 100, without items 5 and 9
    assert not {"6", "10"} & set(shown)
    assert torch.isfinite(model.train().training_loss(batch))


def text_of(model: GenerativeRec, tokens: torch.Tensor) -> str:
    return model.text_of(tokens).replace(" ", "")


def test_candidates_of_a_batch_are_shown_as_they_stand():
    model = make()
    items = torch.tensor([[3, 1, 4, 9, 7], [5, 9, 2, 7, 0]])
    mask = torch.tensor([[True] * 5, [True] * 4 + [False]])
    batch = Batch(items, mask, items, torch.tensor([6, 2]), candidates=3)
    prompts = model._writer().choose(batch, torch.arange(2))
    assert text_of(model, prompts.tokens[0]) == "user_7item_4item_2:item_5item_10item_8"
    assert text_of(model, prompts.tokens[1]) == "user_3item_6:item_10item_3item_8"
    alone = replace(batch, items=items[:, -3:], mask=torch.ones(2, 3, dtype=torch.bool))
    prompts = model._writer().choose(alone, torch.arange(2))
    assert text_of(model, prompts.tokens[0]) == "user_7item_5item_10item_8"


def test_a_batch_with_candidates_teaches_to_choose_among_them():
    model = make(prompt_vectors=2)
    users, items, mask = histories()
    following = torch.tensor([[1, 4, 1, 4], [9, 5, 0, 0]])
    batch = Batch(items, mask, following, users, candidates=2)
    model.training_loss(batch).backward()
    assert model.prompts.grad is not None
    assert model.prompts.grad.abs().sum((1, 2)).gt(0).tolist() == [False, True]


@pytest.mark.parametrize("style", ["p5", "pod"])
def test_constrained_it_ranks_each_rows_candidates(style: str):
    """The scores of a row's candidates are what the loss says of each of them as the target."""
    model = make(style=style, constrained=True)
    users = torch.tensor([6, 2])
    items = torch.tensor([[3, 1, 4, 29, 47], [5, 9, 2, 7, 0]])
    mask = torch.tensor([[True] * 5, [True] * 4 + [False]])
    found = model.chosen_lists(users, items, mask, 3, 20)
    for row, (length, shown) in enumerate([(5, [4, 29, 47]), (4, [9, 2, 7])]):
        assert sorted(found.items[row, :3].tolist()) == sorted(shown)
        assert (found.items[row, 3:] == -1).all()
        for place, item in enumerate(found.items[row, :3].tolist()):
            only = items[row : row + 1, :length]
            following = torch.full_like(only, item)
            whole = torch.ones_like(only, dtype=torch.bool)
            batch = Batch(only, whole, following, users[row : row + 1], candidates=3)
            tokens = int(model.catalogue().mask[item].sum())
            loss = float(model.training_loss(batch).detach()) * tokens
            assert float(found.scores[row, place]) == pytest.approx(-loss, rel=1e-4)


def test_unconstrained_it_may_write_what_is_no_candidate():
    found = make().chosen_lists(*histories(), 2, 20)
    outputs = (found.items >= 0).sum() + found.malformed + found.unknown + found.repeated
    assert int(outputs) == 40


def test_collaborative_numbers_are_written_as_paths():
    model = make(
        style="lightlm", numbering="collaborative", clusters=5, cluster_size=8, constrained=True
    )
    assert model.numbers.ndim == 2
    texts = model.catalogue().texts
    assert len(set(texts)) == N_ITEMS
    assert model.text_of(model.catalogue().targets[3]).strip() == f"item_{texts[3]}"
    found = model.ranked_lists(*histories(), N_ITEMS)
    for row in found.items:
        assert sorted(row.tolist()) == list(range(N_ITEMS))
    again = GenerativeRec.skeleton(model.config, json.loads(json.dumps(model.describe())))
    assert again.numbers.shape == model.numbers.shape
    assert model.leaks() == []


def test_lightlm_has_nothing_to_choose_from():
    with pytest.raises(ConfigError, match="no prompts to choose"):
        make(style="lightlm").chosen_lists(*histories(), 2, 20)
    with pytest.raises(ConfigError, match="choose_share"):
        GenerativeConfig(style="lightlm", choose_share=0.2)


def test_describe_builds_the_same_model_again(tmp_path: Path):
    model = make(constrained=True, prompt_vectors=2)
    model.numbers.copy_(torch.randperm(N_ITEMS) + 1)
    model.save_tokenizer(tmp_path)
    state = model.state_dict()
    assert len({value.data_ptr() for value in state.values() if value.numel()}) == len(state)
    again = GenerativeRec.skeleton(model.config, json.loads(json.dumps(model.describe())))
    again.load_tokenizer(tmp_path)
    again.load_state_dict({name: value.clone() for name, value in state.items()})
    first, second = (each.eval().ranked_lists(*histories(), 5) for each in (model, again))
    assert torch.equal(first.items, second.items)
    torch.testing.assert_close(first.scores, second.scores)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained T5 with its tokenizer."""
    path = tmp_path_factory.mktemp("t5")
    tokenizer = digit_tokenizer()
    config = T5Config(vocab_size=len(tokenizer) + 7, decoder_start_token_id=0, **SHAPE)
    T5ForConditionalGeneration(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def test_pretrained_weights_and_tokenizer_are_loaded(folder: Path):
    plain = T5ForConditionalGeneration.from_pretrained(folder)
    model = make(backbone=str(folder), from_scratch=False, shape={}, constrained=True)
    assert torch.equal(model.t5.lm_head.weight, plain.lm_head.weight)
    assert model.ranked_lists(*histories(), 20).items.min() >= 0
    assert np.isclose(model.t5.config.dropout_rate, 0.0)


def test_lightlm_draws_narrow_feed_forward_parts_anew(folder: Path):
    plain = T5ForConditionalGeneration.from_pretrained(folder)
    model = make(backbone=str(folder), from_scratch=False, shape={"d_ff": 16}, style="lightlm")
    inner = model.t5.encoder.block[0].layer[1].DenseReluDense
    assert inner.wi.weight.shape == (16, 32)
    assert torch.equal(model.t5.shared.weight, plain.shared.weight)


def test_only_a_t5_will_do():
    with pytest.raises(ConfigError, match="bert model"):
        make(backbone="bert", shape={})
