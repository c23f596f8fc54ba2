"""Running an exported graph."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lite_llm4rec.data.batching import pad
from lite_llm4rec.errors import ConfigError, StoreError
from lite_llm4rec.models import ExportedModel
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.store import EXPORT


def test_a_damaged_or_missing_graph_is_named(exported_folder: Path, tmp_path: Path):
    Recommender.load(exported_folder).save(tmp_path / "e")
    graph = tmp_path / "e" / EXPORT / "encoder.onnx"
    graph.write_bytes(b"no graph")
    with pytest.raises(StoreError, match="damaged"):
        Recommender.load(tmp_path / "e")
    graph.unlink()
    with pytest.raises(StoreError, match="missing"):
        Recommender.load(tmp_path / "e")


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.05)])
def test_openvino_runs_the_same_graph(
    default_model: Recommender, exported_folder: Path, precision: Any, tolerance: float
):
    pytest.importorskip("openvino")
    one = Recommender.load(exported_folder).model
    assert isinstance(one, ExportedModel)
    config = replace(one.config, runtime="openvino", precision=precision)
    other = ExportedModel(config, one.state_dict(), one.folder)
    items, mask = pad(np.arange(60), np.array([0, 7]), np.array([5, 8]))
    with torch.no_grad():
        expected = default_model.model.scores(items, mask)
    torch.testing.assert_close(other.scores(items, mask), expected, atol=tolerance, rtol=0.05)


def test_it_does_not_learn(exported_folder: Path):
    with pytest.raises(ConfigError, match="cannot be trained"):
        Recommender.load(exported_folder).model.training_loss(None)


def test_a_history_may_hold_what_the_catalogue_does_not(
    default_model: Recommender, exported_folder: Path
):
    exported = Recommender.load(exported_folder)
    assert exported.reads_text and exported.takes_items
    width = default_model.vectors.shape[1]
    unlisted = {"new": np.random.default_rng(0).normal(size=width).astype(np.float32)}
    histories = [["i03", "new"], ["new"], ["i05", "i07"]]
    wanted = default_model.recommend(histories, k=60, unlisted=unlisted)
    found = exported.recommend(histories, k=60, unlisted=unlisted)
    assert found.ids == wanted.ids
    for row, other in zip(found.scores, wanted.scores, strict=True):
        assert row == pytest.approx(other, abs=1e-4)
