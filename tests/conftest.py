"""Small worlds that tests share."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.export import export
from lite_llm4rec.item_vectors import catalogue_facts
from lite_llm4rec.models import MODELS, CausalConfig, CausalLLM4Rec, LiteConfig
from lite_llm4rec.models.id_text import digit_tokenizer
from lite_llm4rec.preset import Preset, TextConfig
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.stage_config import StageConfig

torch.set_num_threads(1)

HOLD = """
import sys
from pathlib import Path
from lite_llm4rec.paths import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def elsewhere(path: Path) -> Iterator[None]:
    """Let another process work on a path; it is killed at the end."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        yield
        other.kill()


def ring_tables(users: int, items: int, length: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Histories in which item i is always followed by item i + 1, the last by the first."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, items, users)
    numbers = (starts[:, None] + np.arange(length)) % items
    log = pa.table(
        {
            "user_id": np.repeat(np.arange(users), length),
            "item_id": [f"i{number:02}" for number in numbers.ravel()],
            "timestamp": np.tile(np.arange(length) * 10 + 1_700_000_000, users),
        }
    )
    names = [f"i{number:02}" for number in range(items)]
    catalogue = pa.table({"item_id": names, "title": [f"Thing {name}" for name in names]})
    return log, catalogue


@pytest.fixture(scope="session")
def ring() -> Dataset:
    """A ring of 60 items, 200 users with 8 interactions: the next item is known exactly."""
    return Dataset.from_tables(*ring_tables(200, 60, 8, seed=0), name="ring")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests out of the user's cache; item vectors are shared between tests."""
    monkeypatch.setenv("LITE_LLM4REC_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def small_ring() -> Dataset:
    """A ring of 20 items, 40 users with 6 interactions."""
    return Dataset.from_tables(*ring_tables(40, 20, 6, seed=0), name="small-ring")


def ring_with_kinds(users: int = 200, items: int = 60, length: int = 8) -> Dataset:
    """The ring, each item of one of five kinds."""
    log, catalogue = ring_tables(users, items, length, seed=0)
    kinds = pa.array([f"kind {number % 5}" for number in range(items)])
    return Dataset.from_tables(log, catalogue.append_column("kind", kinds), name="kinds")


def tiny_preset(**changes: Any) -> Preset:
    """A T5 of width 32 with one layer, made from scratch; the vector stage alone."""
    shape = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}
    model = LiteConfig(backbone="t5", from_scratch=True, shape=shape, history_length=5, dropout=0.0)
    stage = StageConfig(strategy="all", epochs=10, batch=64, lr=1e-2, warmup=0.05)
    return replace(Preset("tiny", model=model, vector=stage), **changes)


def drawn_vectors(n_items: int, width: int = 16) -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(n_items, width)).astype(np.float32)


@pytest.fixture(scope="session")
def trained(ring: Dataset) -> Recommender:
    """Trained on the ring with brought vectors and measured; tests must not change it."""
    vectors = drawn_vectors(len(ring.catalogue))
    recommender = Recommender.fit(
        ring, tiny_preset(), vectors=vectors, device="cpu", progress=False
    )
    recommender.evaluate(ring, part="valid")
    recommender.evaluate(ring, part="test")
    return recommender


def untrained(dataset: Dataset, preset: Preset | None = None) -> Recommender:
    """A recommender with random weights, where training does not matter."""
    preset = preset or tiny_preset()
    vectors = drawn_vectors(len(dataset.catalogue))
    torch.manual_seed(0)
    counts, split = dataset.interactions.item_counts(), leave_one_out(dataset.interactions)
    create: Any = MODELS[preset.model.kind].create
    model = create(preset.model, catalogue_facts(dataset, preset, vectors, counts, split))
    return Recommender(preset, model.eval(), dataset.catalogue, counts, vectors, [], [])


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny T5 with a tokenizer that knows the titles of the rings, saved as a folder."""
    words = ["[PAD]", "</s>", "[UNK]", "Thing", *[f"i{number:02}" for number in range(60)]]
    inner = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]")
    )
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", eos_token="</s>", pad_token="[PAD]"
    )
    config = T5Config(
        vocab_size=len(words), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        dropout_rate=0.0,
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("text-model")
    T5EncoderModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny T5's config and a tokenizer of digits, without weights, as a folder."""
    folder, tokenizer = tmp_path_factory.mktemp("models") / "t5", digit_tokenizer()
    T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, num_heads=4, d_ff=64, num_layers=1,
        decoder_start_token_id=0,
    ).save_pretrained(folder)  # fmt: skip
    tokenizer.save_pretrained(folder)
    return folder


def text_preset(text_model: Path, **changes: Any) -> Preset:
    return tiny_preset(text=TextConfig(str(text_model), max_tokens=8), **changes)


@pytest.fixture(scope="session")
def small_kinds() -> Dataset:
    return ring_with_kinds(users=40)


@pytest.fixture(scope="session")
def default_model(small_kinds: Dataset) -> Recommender:
    """The default model, never trained, with ten cold items; tests must not change it."""
    config = CausalConfig(shape={"width": 16, "blocks": 1}, history_length=6)
    made = untrained(small_kinds, tiny_preset(model=config))
    assert isinstance(made.model, CausalLLM4Rec)
    made.counts[50:] = 0
    made.model.counts[50:] = 0
    made.cold_offset = 0.25
    made.brought = True
    return made


@pytest.fixture(scope="session")
def exported_folder(
    default_model: Recommender, small_kinds: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """That model's export; tests must not change it."""
    folder = tmp_path_factory.mktemp("exported") / "run"
    export(default_model, folder, dataset=small_kinds)
    return folder
