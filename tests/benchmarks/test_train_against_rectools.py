"""Our side of the comparison; RecTools' is not installed here."""

import importlib.util
from pathlib import Path
from typing import Any

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "train_against_rectools.py"
SETTINGS = {
    "seed": 0, "width": 16, "blocks": 1, "heads": 1, "length": 5, "batch": 16, "dropout": 0.1,
    "loss": "softmax", "lr": 1e-3, "epochs": 2, "to_98": True, "patience": 5,
}  # fmt: skip


def benchmark() -> Any:
    spec = importlib.util.spec_from_file_location(BENCHMARK.stem, BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_epoch_is_timed_and_teaches_every_target(small_ring: Dataset, tmp_path: Path):
    module, split = benchmark(), leave_one_out(small_ring.interactions)
    ours = module.Ours(split, SETTINGS, "fp32", tmp_path)
    everything, _ = module.count_targets(split, SETTINGS["length"])
    epochs = [ours.epoch(True) for _ in range(2)]
    assert [epoch["targets"] for epoch in epochs] == [everything] * 2
    assert all(epoch["seconds"] > 0 and 0 <= epoch["recall@10"] <= 1 for epoch in epochs)
    assert module.summary(epochs, SETTINGS)["targets_per_epoch"] == everything
