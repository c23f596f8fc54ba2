"""A T5 of the paper's kind but tiny, and a small world under the paper's name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import T5Config

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.models.id_text import digit_tokenizer
from lite_llm4rec.paper import cell as cell_module
from lite_llm4rec.paper.cell import Bench


@pytest.fixture
def bench(small_ring: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A T5's config and tokenizer without weights, as a folder."""
    folder, tokenizer = tmp_path / "t5", digit_tokenizer()
    T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, num_heads=4, d_ff=64, num_layers=1,
        decoder_start_token_id=0,
    ).save_pretrained(folder)  # fmt: skip
    tokenizer.save_pretrained(folder)
    monkeypatch.setattr(cell_module, "load", lambda name, root: small_ring)
    cell_module._load.cache_clear()
    yield Bench(tmp_path / "results", tmp_path / "runs", t5=str(folder))
    cell_module._load.cache_clear()
