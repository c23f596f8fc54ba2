"""The run folder: all that a trained model is, in one directory. Versioned; never a pickle."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.errors import ConfigError, StoreError
from lite_llm4rec.evaluate import Evaluation
from lite_llm4rec.paths import alone, flush
from lite_llm4rec.text.encoder import ItemLLM, Pooling, load_tokenizer
from lite_llm4rec.version import VERSION

FORMAT_VERSION = 1
CONFIG, MODEL, CATALOGUE, VECTORS = (
    "config.json",
    "model.safetensors",
    "catalogue.parquet",
    "item_vectors.safetensors",
)
METRICS, CASES, CURVES, CARD, ITEM_LLM, TOKENIZER, EXPORT, INDEX = (
    "metrics.json",
    "test_cases.parquet",
    "curves.csv",
    "README.md",
    "item_llm",
    "tokenizer",
    "export",
    "index",
)
FILES = (
    CONFIG, MODEL, CATALOGUE, VECTORS,
    METRICS, CASES, CURVES, CARD, ITEM_LLM, TOKENIZER, EXPORT, INDEX,
)  # fmt: skip
LEFT_BY_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini")
COUNT_COLUMN, RETIRED_COLUMN = "training_interactions", "retired"
PATIENCE = 60.0  # seconds
_TAKE_ANOTHER = "Copy or train it again."


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a new folder beside `path` that takes its place when all went well.

    A crash leaves the old folder or the new one, never half. A link stays one: what it points at
    is replaced.
    """
    path = path.resolve() if path.is_symlink() else Path(os.path.abspath(path))
    check_replaceable(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
            fresh = Path(beside) / "new"
            fresh.mkdir()
            yield fresh
            readable = fresh.stat().st_mode & 0o666  # as the umask has it; safetensors does not
            for file in fresh.rglob("*"):
                if file.is_file():
                    file.chmod(readable)
                flush(file)
            flush(fresh)
            _swap(fresh, path)
            flush(path.parent)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} cannot be written: {error}", "Check room and rights.") from error


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Keep others from changing a run folder between its reading and its saving; wait for them.

    Raises
    ------
    StoreError
        When another is not done with it within a minute.
    """
    with alone(path, PATIENCE):
        yield


def check_replaceable(path: Path) -> None:
    """See that a run folder may be written at `path`: nothing is there, or a run folder alone.

    Raises
    ------
    StoreError
        When something else is there.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise StoreError(f"{path} exists and is not a run folder.", "Choose another folder.")
    inside = sorted(found.name for found in path.iterdir())
    if inside and not (CONFIG in inside and "format_version" in _read_json(path / CONFIG)):
        raise StoreError(f"{path} exists and is not a run folder.", "Choose another folder.")
    others = [name for name in inside if name not in (*FILES, *LEFT_BY_SYSTEMS)]
    if others:
        raise StoreError(
            f"{path} would be replaced, and holds {others[0]}, which is not a run's.",
            "Move that away, or choose another folder.",
        )


def _swap(fresh: Path, path: Path) -> None:
    """Put `fresh` at `path`; what was there comes back if that fails."""
    old = fresh.with_name("old")
    try:
        if path.exists():
            os.replace(path, old)
        os.replace(fresh, path)
    except BaseException:  # Ctrl-C, too: what is beside will be removed
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write config.json with the format's and the library's version."""
    _write_json(
        folder / CONFIG, {"format_version": FORMAT_VERSION, "library_version": VERSION, **config}
    )


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json.

    Raises
    ------
    StoreError
        When `folder` is no run folder, or of a format that this version cannot read.
    """
    if not (folder / CONFIG).is_file():
        raise StoreError(
            f"{folder} is not a run folder: it has no {CONFIG}.", _where_it_may_be(folder)
        )
    config = _read_json(folder / CONFIG)
    found = config.get("format_version")
    if not isinstance(found, int) or found < 1:
        raise StoreError(f"{folder / CONFIG} names no format version.", "Is it a run folder?")
    if found > FORMAT_VERSION:
        raise StoreError(
            f"{folder} has format {found}; this version reads up to {FORMAT_VERSION}.",
            "pip install --upgrade lite-llm4rec",
        )
    for version in range(found, FORMAT_VERSION):
        config = MIGRATIONS[version](config)
    for key in ("preset", "shape"):
        if key not in config:
            raise StoreError(f"{folder / CONFIG} is damaged: it has no '{key}'.", _TAKE_ANOTHER)
    return config


def _where_it_may_be(folder: Path) -> str:
    """Look for a run folder inside, and for what trainings and saves leave beside."""
    folder = Path(os.path.abspath(folder))
    for found in sorted(folder.glob(f"*/{CONFIG}")):
        return f"There is one in it: {found.parent}"
    for found in sorted(folder.parent.glob(f".{folder.name}.*/old/{CONFIG}")):
        return f"A save that was killed left the old one: move {found.parent} there."
    if folder.with_name(f"{folder.name}.training").is_dir():
        return "Its training is not done: run the same command again."
    return "Check the path."


# From each older format's config to the next one's; format 1 is the first.
MIGRATIONS: dict[int, Any] = {}


def write_weights(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """Write model.safetensors."""
    save_file({name: value.cpu().contiguous() for name, value in state.items()}, folder / MODEL)


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read model.safetensors."""
    with _explained(folder / MODEL):
        weights: dict[str, torch.Tensor] = load_file(folder / MODEL)
    return weights


def write_vectors(folder: Path, vectors: npt.NDArray[np.float32]) -> None:
    """Write the item vectors that training began with, (N, text width)."""
    save_arrays({"vectors": np.ascontiguousarray(vectors)}, folder / VECTORS)


def read_vectors(folder: Path) -> npt.NDArray[np.float32]:
    """Read item_vectors.safetensors."""
    with _explained(folder / VECTORS):
        vectors: npt.NDArray[np.float32] = load_arrays(folder / VECTORS)["vectors"]
    return vectors


def write_catalogue(
    folder: Path, catalogue: Catalogue, counts: npt.NDArray[Any], retired: npt.NDArray[np.bool_]
) -> None:
    """Write catalogue.parquet: ids, counts in training, which are retired, text fields."""
    table = pa.table(
        {
            "item_id": catalogue.ids,
            COUNT_COLUMN: counts.astype(np.int64),
            RETIRED_COLUMN: retired,
        }
    )
    for name in catalogue.fields.column_names:
        table = table.append_column(f"text.{name}", catalogue.fields[name])
    pa.parquet.write_table(table, folder / CATALOGUE)


def read_catalogue(
    folder: Path,
) -> tuple[Catalogue, npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Read catalogue.parquet: the catalogue, the training counts and what is retired, (N,)."""
    with _explained(folder / CATALOGUE):
        table = pa.parquet.read_table(folder / CATALOGUE)
        ids, counts = table["item_id"].combine_chunks(), table[COUNT_COLUMN].to_numpy().copy()
    texts = {
        name.removeprefix("text."): table[name].combine_chunks()
        for name in table.column_names
        if name.startswith("text.")
    }
    retired = np.zeros(len(ids), bool)
    if RETIRED_COLUMN in table.column_names:
        retired = table[RETIRED_COLUMN].to_numpy().copy()
    return Catalogue(ids, pa.table(texts)), counts, retired


def read_item_llm(folder: Path, pooling: Pooling | None) -> ItemLLM | None:
    """Read the Item LLM that a joint stage tuned, with its tokenizer; None where there is none."""
    path = folder / ITEM_LLM
    if not path.is_dir():
        return None
    try:
        llm = ItemLLM.load(path, pooling)
        llm.tokenizer = load_tokenizer(path)
    except ConfigError as error:
        raise StoreError(f"{path} is damaged: {error.problem}", _TAKE_ANOTHER) from error
    return llm


def write_evaluations(
    folder: Path, stages: list[dict[str, Any]], evaluations: list[Evaluation]
) -> None:
    """Write metrics.json, and one row per case of the first evaluation on a test."""
    measured = [evaluation.to_dict() for evaluation in evaluations]
    _write_json(folder / METRICS, {"stages": stages, "evaluations": measured})
    tests = (found for found in evaluations if found.protocol.part == "test")
    first = next(tests, None)
    if first is not None and first.cases is not None:
        pyarrow.parquet.write_table(first.cases, folder / CASES)


def read_evaluations(folder: Path, metrics: dict[str, Any]) -> list[Evaluation]:
    """Read what was measured before saving; cases are kept of the first on a test alone."""
    cases = read_cases(folder) if (folder / CASES).is_file() else None
    found = []
    for values in metrics.get("evaluations", []):
        of_test = values["protocol"]["part"] == "test"
        found.append(Evaluation.from_dict(values, cases if of_test else None))
        cases = None if of_test else cases
    return found


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read metrics.json; empty where there is none."""
    path = folder / METRICS
    return _read_json(path) if path.is_file() else {}


def tested_by(folder: Path) -> str:
    """Say among what the first evaluation on a test ranked, where the run folder tells."""
    for values in read_metrics(folder).get("evaluations", []):
        protocol = values["protocol"]
        if protocol["part"] == "test":
            seen = "removed" if protocol["seen_filter"] else "kept"
            candidates = f"{protocol['n_candidates']:,} {protocol['candidates']}"
            return (
                f"sequences {protocol['sequences_sha256'][:12]}, {protocol['split']},"
                f" {candidates} candidates, seen items {seen}"
            )
    return ""


def read_cases(folder: Path) -> pa.Table:
    """Read the per-case table of the run's test evaluation."""
    if not (folder / CASES).is_file() and "exported" in read_config(folder):
        raise StoreError(f"{folder} is an export, which no test was kept with.", "Name its run.")
    with _explained(folder / CASES):
        return pa.parquet.read_table(folder / CASES)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing.", "The run folder is not complete.") from error
    except (OSError, pa.ArrowInvalid, SafetensorError, KeyError) as error:
        raise StoreError(f"{path} is damaged: {error}", _TAKE_ANOTHER) from error


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}", _TAKE_ANOTHER) from error
    if not isinstance(values, dict):
        raise StoreError(f"{path} is damaged: it holds no object.", _TAKE_ANOTHER)
    return values
