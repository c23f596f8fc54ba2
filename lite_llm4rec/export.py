"""A trained model → its encoder as an ONNX graph, the item matrix beside it: an export folder.

It is a run folder whose model is an `ExportedModel`, so that `Recommender.load` opens it.
"""

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import ConfigError, MissingExtraError, StoreError
from lite_llm4rec.models import BERT4Rec, CausalLLM4Rec, EncoderModel, ExportedConfig, ExportedModel
from lite_llm4rec.models.exported import GRAPH, INPUTS, OUTPUT, Precision, Runtime
from lite_llm4rec.models.item_table import ItemTable
from lite_llm4rec.parity import faults, measure
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.store import CONFIG, check_replaceable, read_config

PARITY = "parity.json"
# 23 has operators for attention and rotary positions, but onnxruntime 1.32 refuses BERT4Rec's and
# Llama's; below it they are written out.
OPSET = 20


def export(
    recommender: Recommender,
    folder: str | Path,
    *,
    precision: Precision = "fp32",
    runtime: Runtime = "onnx",
    dataset: Dataset | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write an export folder, after comparing it with the model that it was made of.

    Parameters
    ----------
    recommender : Recommender
    folder : path
        An older run or export folder there is replaced.
    precision : "fp32", "bf16" or "int8"
        int8 makes numbers of 8 bits of the weights here, and of what comes in at each pass.
    runtime : "onnx" or "openvino"
        Which of the two runs the graph, which is written for it.
    dataset : Dataset, optional
        What the model was trained on: its validation users tell how the recall changes. Without
        it histories are drawn, which tell only how scores and lists change.
    force : bool
        Write it even where it is too far from the model.

    Returns
    -------
    dict
        The parity report, which lies in the folder too; see `parity.measure`.

    Raises
    ------
    ConfigError
        When the model has no encoder of item vectors, the runtime lacks the precision, or the
        export is too far from the model.
    MissingExtraError
        When a package is missing.
    StoreError
        When something else is at `folder`.
    """
    model = recommender.model
    if not isinstance(model, EncoderModel):
        raise ConfigError(
            "This is an export already."
            if isinstance(model, ExportedModel)
            else f"What is exported is an encoder of item vectors, and the model"
            f" {recommender.preset.model.kind!r} has none.",
            "Export a run of a model that has one, such as the default preset's.",
        )
    check_precision(precision, runtime)
    check_replaceable(Path(folder))
    _check_no_model(Path(folder))
    with tempfile.TemporaryDirectory() as temporary:
        graph = Path(temporary)
        write_graph(model.cpu().eval(), graph / GRAPH, precision, runtime)
        tensors = item_tensors(model, torch.from_numpy(recommender.counts))
        exported = ExportedModel(exported_config(model, precision, runtime), tensors, graph)
        report = measure(recommender, exported, dataset)
        found = faults(report)
        if found and not force:
            raise ConfigError(
                f"{folder} is not written: {' '.join(found)}",
                "Take another precision, give the data of the training, or --force it.",
            )
        text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
        (graph / PARITY).write_text(text, encoding="utf-8")
        # What was measured of the model was not measured of its export.
        replace(recommender, model=exported, evaluations=[]).save(folder)
    return report


def _check_no_model(folder: Path) -> None:
    """See that no trained model is replaced: of an export nothing can be trained or exported."""
    if (folder / CONFIG).is_file() and "exported" not in read_config(folder):
        raise StoreError(
            f"{folder} is a trained run, which the export would replace.", "Choose another folder."
        )


def check_precision(precision: Precision, runtime: Runtime) -> None:
    """See that the runtime has the precision.

    Raises
    ------
    ConfigError
        When it has not.
    """
    if precision == "bf16" and runtime == "onnx":
        raise ConfigError(
            "onnxruntime has no bf16 on CPUs.", "Take int8, or bf16 with the runtime openvino."
        )
    if precision == "int8" and runtime == "openvino":
        raise ConfigError(
            "OpenVINO runs onnxruntime's int8 graphs slower than fp32.",
            "Take bf16, or int8 with the runtime onnx.",
        )


@torch.no_grad()
def write_graph(
    model: EncoderModel, path: Path, precision: Precision, runtime: Runtime = "onnx"
) -> None:
    """Write the encoder, item vectors and mask → user vectors, of any batch and length.

    For onnxruntime, attention and norms become its own operators, which are faster than their
    parts, wherever the graph can be made of them.
    """
    length = min(3, model.history_length)
    items, mask = torch.zeros(2, length, dtype=torch.int64), torch.ones(2, length).bool()
    sizes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if length > 1:
        sizes[1] = torch.export.Dim("length", max=model.history_length)
    with _installed():
        program = torch.onnx.export(
            Encoder(model).eval(), (model.input_vectors(items), mask), dynamo=True, verbose=False,
            input_names=INPUTS, output_names=[OUTPUT], dynamic_shapes=(sizes, sizes),
            opset_version=OPSET,
        )  # fmt: skip
        assert program is not None
        program.save(path)
        if runtime == "onnx":
            _fuse(path, model.input_vectors(items).numpy())
        if precision == "int8":
            from onnxruntime.quantization import QuantType, quantize_dynamic

            quantize_dynamic(
                path, path, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True,
                weight_type=QuantType.QInt8,
            )  # fmt: skip


def _fuse(path: Path, vectors: npt.NDArray[np.float32]) -> None:
    """Put onnxruntime's own operators into a graph, unless it refuses them or computes otherwise.

    `vectors` (batch, length, width) are what it is tried with. Of GPT-2 it refuses them (1.32).
    """
    from onnxscript import ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort

    fused = path.with_name(f"fused-{path.name}")
    mask = np.arange(vectors.shape[1]) < np.arange(1, len(vectors) + 1)[:, None]
    try:
        ir.save(optimize_for_ort(ir.load(path))[0], fused)
        before, after = (_run(graph, vectors, mask) for graph in (path, fused))
        is_same = np.allclose(before, after, rtol=1e-3, atol=1e-4)
    except Exception:  # neither library's errors have a common base
        is_same = False
    if is_same:
        fused.replace(path)
    fused.unlink(missing_ok=True)


def _run(graph: Path, vectors: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it thinks of a graph that it refuses is not for the user
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], dict(zip(INPUTS, (vectors, mask), strict=True)))[0]


@contextmanager
def _installed() -> Iterator[None]:
    """Say what is missing, and keep what the exporter says about itself from the terminal."""
    loggers = logging.getLogger("torch.onnx"), logging.getLogger()
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(action="ignore"):
            yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "", "export", "Exporting") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@torch.no_grad()
def item_tensors(model: EncoderModel, counts: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gather what an `ExportedModel` holds of a model's items."""
    inputs, matrix = model.input_vectors(torch.arange(len(counts))), model.item_matrix().clone()
    tensors = {"matrix": matrix, "counts": counts.to(torch.int64)}
    if not torch.equal(inputs, matrix[:, : inputs.shape[1]]):
        tensors["inputs"] = inputs.clone()
    table = getattr(model, "items", None)
    if isinstance(table, ItemTable) and table.vectors is not None:
        tensors["text_weight"], tensors["text_bias"] = table.text_map()
    offset = model.cold_offset.clone() if isinstance(model, CausalLLM4Rec) else torch.zeros(())
    return {**tensors, "cold_offset": offset}


def exported_config(model: EncoderModel, precision: Precision, runtime: Runtime) -> ExportedConfig:
    """Describe a model's export."""
    width = model.input_vectors(torch.zeros(1, dtype=torch.int64)).shape[1]
    last: Literal["vector", "bias", "offset"] = "vector"
    unit = scores_text = False
    if isinstance(model, CausalLLM4Rec):
        last, unit, scores_text = "offset", model.config.temperature > 0, model.scores_text
    elif isinstance(model, BERT4Rec):
        last = "bias"
    return ExportedConfig(runtime, precision, model.history_length, width, last, unit, scores_text)


class Encoder(nn.Module):
    """A model's `encode` as its forward pass."""

    def __init__(self, model: EncoderModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, vectors: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encode, (batch, length, width) → (batch, dim)."""
        return self.model.encode(vectors, mask)
