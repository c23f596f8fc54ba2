"""Exports against the models that they were made of."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch

from lite_llm4rec.data.batching import pad
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import ConfigError, StoreError
from lite_llm4rec.export import export, write_graph
from lite_llm4rec.models import (
    BERT4RecConfig,
    CausalConfig,
    ExportedModel,
    FDSAConfig,
    GenerativeConfig,
    LiteConfig,
    PromptEncoderConfig,
    S3RecConfig,
    SASRecConfig,
)
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.store import read_cases
from tests.conftest import drawn_vectors, tiny_preset, untrained

T5 = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}
BERT = {
    "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "num_hidden_layers": 1,
}  # fmt: skip
GPT2 = {"n_embd": 32, "n_layer": 1, "n_head": 4}
OWN = {"width": 16, "blocks": 1}
SMALL = {"width": 16, "blocks": 1, "history_length": 6}
ROTARY = {**OWN, "positions": "rotary"}
SCRATCH: dict[str, Any] = {"from_scratch": True, "history_length": 6}
CONFIGS: dict[str, Any] = {
    "rotary": CausalConfig(
        shape=ROTARY, history_length=6, pooling="mix", temperature=0.1, text_dim=8
    ),
    "causal-t5": CausalConfig(backbone="t5", shape=T5, history_length=6, pooling="mean"),
    "free-head": CausalConfig(shape=OWN, history_length=6, head="free"),
    "lite-t5": LiteConfig(backbone="t5", shape=T5, **SCRATCH),
    "lite-bert": LiteConfig(backbone="bert", shape=BERT, **SCRATCH),
    "lite-gpt2": LiteConfig(backbone="gpt2", shape=GPT2, **SCRATCH),
    "lite-llama": LiteConfig(
        backbone="llama", shape={**BERT, "num_key_value_heads": 2}, **SCRATCH
    ),
    "sasrec": SASRecConfig(**SMALL),
    "bert4rec": BERT4RecConfig(**SMALL),
    "fdsa": FDSAConfig(**SMALL),
    "s3rec": S3RecConfig(**SMALL),
}  # fmt: skip
SLOW = ("free-head", "causal-t5", "lite-bert", "lite-gpt2", "lite-llama", "sasrec", "fdsa", "s3rec")
HISTORIES = [["i03", "i04"], ["i10"], ["i01", "i50", "i20", "i07", "i09", "i30", "i31"], []]


def exported(recommender: Recommender, folder: Path, **how: Any) -> Recommender:
    export(recommender, folder, **how)
    return Recommender.load(folder)


def cases(names: list[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in names]


def assert_same(original: Recommender, copy: Recommender) -> None:
    log = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5])
    for starts, ends in [([0, 3, 5], [3, 5, 11]), ([2], [3]), ([0, 0, 0, 1], [1, 1, 1, 2])]:
        items, mask = pad(log, np.array(starts), np.array(ends))
        with torch.no_grad():
            expected = original.model.scores(items, mask)
        torch.testing.assert_close(copy.model.scores(items, mask), expected, atol=1e-4, rtol=1e-4)
    before, after = (one.recommend(HISTORIES, k=60) for one in (original, copy))
    assert after.ids == before.ids
    assert after.notes == before.notes
    behaviour = copy.similar_items(["i05"], by="behaviour").ids
    assert behaviour == original.similar_items(["i05"], by="behaviour").ids


@pytest.mark.parametrize("name", cases(list(CONFIGS)))
def test_it_gives_what_the_model_gives(small_kinds: Dataset, name: str, tmp_path: Path):
    torch.manual_seed(0)
    original = untrained(small_kinds, tiny_preset(model=CONFIGS[name]))
    with torch.no_grad():
        for parameter in original.model.parameters():  # so that no two scores are alike
            parameter.add_(0.1 * torch.randn(parameter.shape))
    assert_same(original, exported(original, tmp_path / "e"))


@pytest.mark.parametrize(
    ("name", "runtime", "fused"),
    [
        ("lite-t5", "onnx", True),
        ("lite-t5", "openvino", False),  # which does not know onnxruntime's operators
        pytest.param("lite-gpt2", "onnx", False, marks=pytest.mark.slow),  # refused by onnxruntime
    ],
)
def test_attention_is_onnxruntime_s_own_where_it_can_be(
    small_ring: Dataset, tmp_path: Path, name: str, runtime: Any, fused: bool
):
    model = untrained(small_ring, tiny_preset(model=CONFIGS[name])).model
    write_graph(model.eval(), tmp_path / "graph.onnx", "fp32", runtime)
    operators = {node.op_type for node in onnx.load(tmp_path / "graph.onnx").graph.node}
    assert ("MultiHeadAttention" in operators) == fused
    assert [path.name for path in tmp_path.iterdir()] == ["graph.onnx"]


def test_score_ties_and_histories_of_one_item(small_ring: Dataset, tmp_path: Path):
    preset = tiny_preset(model=replace(CONFIGS["sasrec"], history_length=1))
    original = untrained(small_ring, preset)
    with torch.no_grad():
        original.model.items[5:] = original.model.items[5]
    copy = exported(original, tmp_path / "e")
    histories = [["i00", "i01"], ["i03"], ["i19", "i12", "i02"]]
    for k in (3, 10, 20):
        assert copy.recommend(histories, k=k).ids == original.recommend(histories, k=k).ids
    assert copy.cold_offset == 0.0
    with pytest.raises(ConfigError, match="does not score cold items"):
        copy.cold_offset = 1.0
    with pytest.raises(ConfigError, match="never learnt"):
        copy.model.add_items(torch.zeros(1, 16))


def test_the_papers_model_reads_texts_and_scores_only_what_it_learnt(
    small_ring: Dataset, tmp_path: Path
):
    original = untrained(small_ring)
    copy = exported(original, tmp_path / "e")
    unlisted = {"new": np.random.default_rng(0).normal(size=16).astype(np.float32)}
    histories = [["i03", "new"], ["new"]]
    before, after = (one.recommend(histories, k=20, unlisted=unlisted) for one in (original, copy))
    assert after.ids == before.ids
    assert after.ids != copy.recommend([["i03"], ["i04"]], k=20).ids
    assert copy.reads_text and not copy.takes_items
    with pytest.raises(ConfigError, match="never learnt"):
        copy.model.add_items(torch.zeros(1, 16))


def test_the_default_model_with_cold_items(default_model: Recommender, exported_folder: Path):
    assert_same(default_model, Recommender.load(exported_folder))


def test_new_items_need_no_new_export(
    default_model: Recommender, exported_folder: Path, tmp_path: Path
):
    table = pa.table({"item_id": ["new1", "new2"], "title": ["One", "Two"], "kind": ["a", "b"]})
    vectors = drawn_vectors(2)
    changed = []
    for number in (0, 1):
        default_model.save(tmp_path / "copy")
        one = Recommender.load(tmp_path / "copy" if number == 0 else exported_folder)
        graph = one.model.folder / "encoder.onnx" if number else None
        before = graph.read_bytes() if graph else b""
        assert one.add_items(table, vectors=vectors) == 2
        one.retire_items(["i07"])
        one.cold_offset = 0.75
        one = Recommender.load(one.save(tmp_path / f"again{number}"))
        assert not graph or (one.model.folder / "encoder.onnx").read_bytes() == before
        found = one.recommend([["i03", "new1"], ["new2"]], k=62)
        changed.append((found, one.cold_offset))
    assert changed[0][0].ids == changed[1][0].ids
    assert "new2" in changed[0][0].ids[0] and "i07" not in changed[0][0].ids[0]
    np.testing.assert_allclose(changed[0][0].scores[0], changed[1][0].scores[0], atol=1e-4)
    assert changed[0][1] == changed[1][1] == 0.75


def test_evaluation_is_the_models(
    small_kinds: Dataset, default_model: Recommender, exported_folder: Path
):
    first, second = (
        one.evaluate(small_kinds, part="valid").metrics
        for one in (default_model, Recommender.load(exported_folder))
    )
    assert second == pytest.approx(first)


def test_int8_errs_and_its_report_says_by_how_much(
    small_kinds: Dataset, default_model: Recommender, tmp_path: Path
):
    report = export(
        default_model, tmp_path / "e", precision="int8", dataset=small_kinds, force=True
    )
    copy = Recommender.load(tmp_path / "e")
    items, mask = pad(np.arange(60), np.arange(0, 60, 5), np.arange(5, 65, 5))
    with torch.no_grad():
        error = (
            (copy.model.scores(items, mask) - default_model.model.scores(items, mask)).abs().max()
        )
    assert error > 1e-4
    assert 1e-4 < report["largest_score_error"] < report["score_std"]
    # The report's histories are others, of the same items.
    assert 0.2 < error / report["largest_score_error"] < 5
    assert copy.model.config.precision == "int8"


def test_an_export_too_far_from_its_model_is_not_written(
    default_model: Recommender, tmp_path: Path
):
    with pytest.raises(ConfigError, match="without the data"):
        export(default_model, tmp_path / "e", precision="int8")
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize(
    "config",
    [
        GenerativeConfig(backbone="t5", from_scratch=True, shape=T5),
        PromptEncoderConfig(backbone="t5", from_scratch=True, shape=T5),
    ],
)
def test_models_of_text_are_refused(small_ring: Dataset, tmp_path: Path, config: Any):
    with pytest.raises(ConfigError, match="an encoder of item vectors"):
        export(untrained(small_ring, tiny_preset(model=config)), tmp_path / "e")


def test_it_does_not_replace_a_trained_run(small_ring: Dataset, tmp_path: Path):
    folder = untrained(small_ring).save(tmp_path / "run")
    with pytest.raises(StoreError, match="a trained run"):
        export(Recommender.load(folder), folder)
    assert not isinstance(Recommender.load(folder).model, ExportedModel)


def test_it_has_no_cases_of_a_test(exported_folder: Path):
    with pytest.raises(StoreError, match="is an export"):
        read_cases(exported_folder)


def test_what_an_export_refuses(
    small_kinds: Dataset, exported_folder: Path, default_model: Recommender, tmp_path: Path
):
    copy = Recommender.load(exported_folder)
    with pytest.raises(ConfigError, match="an export already"):
        export(copy, tmp_path / "e")
    with pytest.raises(ConfigError, match="no bf16"):
        export(default_model, tmp_path / "e", precision="bf16")
    with pytest.raises(ConfigError, match="slower"):
        export(default_model, tmp_path / "e", precision="int8", runtime="openvino")
    with pytest.raises(ConfigError, match="cannot be gone on from"):
        Recommender.fit(
            small_kinds, default_model.preset, init_from=copy, vectors=default_model.vectors,
            device="cpu", progress=False,
        )  # fmt: skip
