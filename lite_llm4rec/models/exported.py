"""A model whose encoder runs outside torch; its item matrix lies beside it and can grow."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from lite_llm4rec.config import to_dict
from lite_llm4rec.data.batching import Batch
from lite_llm4rec.errors import ConfigError, MissingExtraError, StoreError
from lite_llm4rec.models.base import SequenceModel
from lite_llm4rec.models.room import Room

GRAPH = "encoder.onnx"
INPUTS = ("vectors", "mask")
OUTPUT = "users"
Runtime = Literal["onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]
Encoder = Callable[[npt.NDArray[np.float32], npt.NDArray[np.bool_]], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class ExportedConfig:
    """What an export is.

    Attributes
    ----------
    runtime : "onnx" or "openvino"
    precision : "fp32", "bf16" or "int8"
    history_length : int
        How many of the latest items it reads.
    width : int
        Of the item vectors that go in.
    last_column : "vector", "bias" or "offset"
        What the item matrix's last column is: part of the items' vectors, a bias per item, or the
        cold items' offset.
    unit : bool
        Whether items are scored by vectors of length 1.
    scores_text : bool
        Whether an item that has only a text vector can be scored, and not just read.
    """

    runtime: Runtime
    precision: Precision
    history_length: int
    width: int
    last_column: Literal["vector", "bias", "offset"]
    unit: bool
    scores_text: bool = True  # older exports have a text map only where it is so


class ExportedModel(SequenceModel):
    """An exported encoder.

    Parameters
    ----------
    config : ExportedConfig
    tensors : dict of str to torch.Tensor
        `matrix` (N, dim), the item matrix; `inputs` (N, width) unless they are the matrix's first
        columns; `counts` (N,) training interactions and `cold_offset`, as in `CausalLLM4Rec`; and
        `text_weight` (text width, width) and `text_bias` (width,), which make an item's input of
        its text, where the model reads text.
    folder : Path
        Holds the graph.

    Raises
    ------
    MissingExtraError
        When the runtime is not installed.
    StoreError
        When the graph is missing or damaged.
    """

    def __init__(
        self, config: ExportedConfig, tensors: dict[str, torch.Tensor], folder: Path
    ) -> None:
        super().__init__()
        self.config = config
        self.history_length = config.history_length
        self.bias_columns = int(config.last_column != "vector")
        self.folder = folder
        self.matrix: torch.Tensor
        self.inputs: torch.Tensor | None
        self.counts: torch.Tensor
        self.cold_offset: torch.Tensor
        self.text_weight: torch.Tensor | None
        self.text_bias: torch.Tensor | None
        for name in ("matrix", "inputs", "counts", "cold_offset", "text_weight", "text_bias"):
            self.register_buffer(name, tensors.get(name))
        self.encoder = open_encoder(folder / GRAPH, config)
        self.visitors: torch.Tensor | None = None
        self._room, self._input_room = Room(), Room()

    def describe(self) -> dict[str, Any]:
        """Return what a run folder says of it besides its tensors and its graph."""
        text_width = 0 if self.text_weight is None else len(self.text_weight)
        shape = [len(self.matrix), text_width]
        return {"backbone": {}, "shape": shape, "exported": to_dict(self.config)}

    def save_graph(self, folder: Path) -> None:
        """Copy the graph and what was measured of it."""
        folder.mkdir()
        for file in self.folder.iterdir():
            shutil.copyfile(file, folder / file.name)

    def user_vectors(self, items: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Look the items up and run the graph, (batch, dim)."""
        vectors = self._look_up(items).cpu().numpy()
        found = self.encoder(np.ascontiguousarray(vectors), mask.cpu().numpy())
        return torch.from_numpy(found).to(items.device)

    @contextmanager
    def visited(self, vectors: torch.Tensor) -> Iterator[None]:
        """Look up further items, numbered from N on, as `ItemTable.visited` does."""
        self.visitors = self._enter(vectors)
        try:
            yield
        finally:
            self.visitors = None

    def _look_up(self, items: torch.Tensor) -> torch.Tensor:
        table = self.matrix if self.inputs is None else self.inputs
        if self.visitors is None:
            return table[items][..., : self.config.width]
        first = len(table)
        listed = table[items.clamp_max(first - 1)][..., : self.config.width]
        visitors = self.visitors[(items - first).clamp_min(0)]
        return torch.where((items >= first)[..., None], visitors, listed)

    def _enter(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map text vectors, (n, text width), to what goes in, (n, width)."""
        assert self.text_weight is not None and self.text_bias is not None
        return vectors.to(self.matrix) @ self.text_weight + self.text_bias

    def item_matrix(self) -> torch.Tensor:
        """Return what items are scored by, (N, dim)."""
        return self.matrix

    @property
    def reads_text(self) -> bool:
        """Whether an item in a history can be known by its text alone."""
        return self.text_weight is not None

    @property
    def scores_text(self) -> bool:
        """Whether an item can be scored by its text alone."""
        return self.reads_text and self.config.scores_text

    def add_items(self, vectors: torch.Tensor) -> torch.Tensor:
        """Append cold items with these text vectors, (n, text width).

        Returns
        -------
        torch.Tensor
            (n, dim) their rows of `item_matrix`.

        Raises
        ------
        ConfigError
            When the model that was exported cannot score an item by its text.
        """
        if not self.scores_text:
            raise ConfigError(
                "The model that was exported cannot score items that it never learnt.",
                "Train one that reads text with a tied head: the default preset does.",
            )
        entering = self._enter(vectors)
        scored = functional.normalize(entering, dim=1) if self.config.unit else entering
        rows = torch.cat([scored, self.cold_offset.expand(len(scored), 1)], 1)
        self.matrix = self._room.append(self.matrix, rows)
        if self.inputs is not None:
            self.inputs = self._input_room.append(self.inputs, entering)
        self.counts = torch.cat([self.counts, self.counts.new_zeros(len(scored))])
        return rows

    def set_cold_offset(self, value: float) -> None:
        """Add `value` to the scores of items without training.

        Raises
        ------
        ConfigError
            When the model that was exported does not score cold items.
        """
        if self.config.last_column != "offset":
            raise ConfigError(
                "The model that was exported does not score cold items.",
                "Train one that reads text with a tied head: the default preset does.",
            )
        self.cold_offset.fill_(value)
        self.matrix[self.counts == 0, -1] = value

    def training_loss(self, batch: Batch) -> torch.Tensor:
        """Refuse: a graph does not learn."""
        raise ConfigError("An export cannot be trained.", "Train the run, and export it again.")


def open_encoder(graph: Path, config: ExportedConfig) -> Encoder:
    """Load a graph as a function: (batch, length, width) vectors and mask → (batch, dim).

    Raises
    ------
    MissingExtraError, StoreError
        As in `ExportedModel`.
    """
    if not graph.is_file():
        raise StoreError(f"{graph} is missing.", "The export is not complete: export it again.")
    try:
        return _openvino(graph, config) if config.runtime == "openvino" else _onnxruntime(graph)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "", _extra(config.runtime), "An export") from error


def _extra(runtime: Runtime) -> str:
    return "openvino" if runtime == "openvino" else "export"


def _onnxruntime(graph: Path) -> Encoder:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Between two passes waiting threads sleep: ranking needs the cores, and so do other processes.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common base
        raise StoreError(f"{graph} is damaged: {error}", "Export it again.") from error

    def encode(
        vectors: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run([OUTPUT], {"vectors": vectors, "mask": mask})[
            0
        ]
        return found

    return encode


def _openvino(graph: Path, config: ExportedConfig) -> Encoder:
    import openvino

    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if config.precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        model = openvino.Core().compile_model(graph, "CPU", settings)
    except RuntimeError as error:
        raise StoreError(f"{graph} is damaged: {error}", "Export it again.") from error

    def encode(
        vectors: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        # A request of its own for each call, so that threads may call side by side.
        request = model.create_infer_request()
        found: npt.NDArray[np.float32] = request.infer({"vectors": vectors, "mask": mask})[OUTPUT]
        return found

    return encode
