"""Time and length of the systems, on a T5 of the paper's kind but tiny."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from transformers import T5Config

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.models.id_text import digit_tokenizer
from lite_llm4rec.paper import cell as cell_module
from lite_llm4rec.paper.cell import Bench
from lite_llm4rec.paper.exhibits import cells
from lite_llm4rec.paper.report import write_report
from lite_llm4rec.paper.reproduce import reproduce

SILENT = Console(quiet=True)


@pytest.fixture
def bench(small_ring: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
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


def record(bench: Bench, exhibit: str, name: str) -> dict:
    path = bench.records / exhibit / f"{name}.json"
    found: dict = json.loads(path.read_text())
    assert "missing" not in found, found
    return found


def test_input_lengths_are_counted(bench: Bench, small_ring: Dataset):
    reproduce(cells(["table6"], "ml-1m", [0]), bench, SILENT)
    values = record(bench, "table6", "ml-1m.length")["values"]
    # Histories of five items: user_N item_N … in single digits, a prefix, and the end.
    assert values["Lite-LLM4Rec padded"] == values["Lite-LLM4Rec unpadded"] == 5
    log = small_ring.interactions
    users = [len(str(user + 1)) + 1 for user in range(log.n_users)]
    assert values["POD unpadded"] <= max(users) + 5 * 3 + 1
    assert values["POD unpadded"] >= min(users) + 5 * 2 + 1
    assert values["POD padded"] >= values["POD unpadded"]


def test_times_are_measured_side_by_side_and_shown_as_ratios(bench: Bench):
    reproduce(cells(["table1", "table5", "figure2"], "ml-1m", [0]), bench, SILENT)
    times = record(bench, "table5", "ml-1m.time")["values"]
    assert set(times) == {"P5", "POD", "Lite-LLM4Rec"}
    assert times["Lite-LLM4Rec"] < times["POD"]
    parts = record(bench, "figure2", "ml-1m.pod")["values"]
    assert list(parts) == ["data preparation", "encoder", "beam search and reading"]
    assert min(parts.values()) > 0
    pages = {page.stem: page.read_text() for page in write_report(bench.records, bench.runs)}
    assert "371.9×" in pages["table5"]  # the paper's 2,280 ms ÷ 6.13 ms
