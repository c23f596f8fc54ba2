"""The item vectors that training begins with: encoded text, random numbers, or brought ones."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.columns import find_column
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.readers import read_table
from lite_llm4rec.errors import DataError
from lite_llm4rec.paths import cache_root
from lite_llm4rec.preset import Preset, TextConfig
from lite_llm4rec.text.cache import VectorCache
from lite_llm4rec.text.encoder import ItemLLM, encode_texts, fingerprint, load_tokenizer
from lite_llm4rec.text.template import TEMPLATES


def start_vectors(
    dataset: Dataset, preset: Preset, device: str, progress: bool
) -> npt.NDArray[np.float32]:
    """Encode the catalogue's text, (N, text width); of width 0 for a model that reads none.

    Raises
    ------
    DataError
        When there is no text to encode.
    """
    n_items = len(dataset.catalogue)
    if not preset.reads_text:
        return np.empty((n_items, 0), np.float32)
    if dataset.catalogue.without_text().all():
        raise DataError(
            "No item has any text, so there is nothing to encode.",
            'Pass an items table, or use ids alone: --set model.items="id".',
        )
    texts = item_texts(dataset, preset.text)
    return text_vectors(texts, preset.text, cache_root(), device, progress)


def read_vectors(path: Path, dataset: Dataset) -> npt.NDArray[np.float32]:
    """Read brought item vectors: a table of ids and lists, or `.npy` rows in catalogue order.

    Parameters
    ----------
    path : Path
        A table (Parquet, JSON lines) with the item's id and one column of equally long lists of
        numbers, one row per item in any order; or a `.npy` file of (N, width).

    Raises
    ------
    DataError
        When an item of the catalogue has no vector, or the lists are no vectors.
    """
    if path.suffix == ".npy":
        try:
            rows: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
            return rows
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is no array: {error}", "Write it with numpy.save.") from error
    table = read_table(path)
    lists = [field.name for field in table.schema if _is_list(field.type)]
    if len(lists) != 1:
        raise DataError(
            f"{path} has {len(lists)} columns of lists; one, the vectors, is needed.",
            "Write one row per item: its id, and a list of numbers.",
        )
    ids = table[find_column(table, "item", None, str(path))]
    places = Catalogue.of_ids(ids.combine_chunks()).lookup(dataset.catalogue.ids)
    if (places < 0).any():
        first = dataset.catalogue.ids[int((places < 0).argmax())].as_py()
        raise DataError(
            f"{path} has no vector for {int((places < 0).sum()):,} of the {len(places):,} items,"
            f" the first is {first!r}.",
            "Add their rows.",
        )
    vectors = table[lists[0]].take(pa.array(places)).to_pylist()
    if len({len(vector or []) for vector in vectors}) != 1:
        raise DataError(f"{path}: the lists are not equally long.", "Write vectors of one width.")
    return np.array(vectors, np.float32)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def check_vectors(vectors: npt.NDArray[np.float32], dataset: Dataset) -> None:
    """See that brought vectors fit the catalogue.

    Raises
    ------
    DataError
        On a wrong shape or numbers that are not finite.
    """
    if vectors.ndim != 2 or len(vectors) != len(dataset.catalogue):
        raise DataError(
            f"The item vectors have the shape {vectors.shape}; {len(dataset.catalogue):,} rows,"
            " one per item of the catalogue and in its order, are needed."
        )
    if not np.isfinite(vectors).all():
        raise DataError("Some item vectors are not finite numbers.", "Repair or re-encode them.")


def item_texts(dataset: Dataset, config: TextConfig) -> list[str]:
    """Write each item's text in one line, (N,)."""
    template = TEMPLATES[config.template]
    return [template(record) for record in dataset.catalogue.records()]


def text_vectors(
    texts: list[str], config: TextConfig, cache: Path | None, device: str, progress: bool
) -> npt.NDArray[np.float32]:
    """Encode texts with the Item LLM as it is, (N, text width); known texts come from the cache."""
    llm = ItemLLM.load(config.model, config.pooling)
    tokenizer = load_tokenizer(config.model)
    key = fingerprint(llm, tokenizer, config.max_tokens, config.precision)
    return encode_texts(
        llm,
        tokenizer,
        texts,
        max_tokens=config.max_tokens,
        cache=VectorCache(cache / "vectors", key, llm.width) if cache else None,
        device=device,
        precision=config.precision,
        progress=progress,
    )
