"""What a model is made from: encoded text or brought vectors, counts, attributes."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from lite_llm4rec.data.attributes import read_attributes
from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.columns import id_column
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.readers import name_of, read_table
from lite_llm4rec.data.split import Split
from lite_llm4rec.errors import DataError
from lite_llm4rec.models.base import CatalogueFacts
from lite_llm4rec.paths import cache_root
from lite_llm4rec.preset import Preset, TextConfig
from lite_llm4rec.text.cache import VectorCache
from lite_llm4rec.text.encoder import ItemLLM, encode_texts, fingerprint, load_tokenizer
from lite_llm4rec.text.template import TEMPLATES


def start_vectors(
    dataset: Dataset, preset: Preset, device: str, progress: bool, tuned: ItemLLM | None = None
) -> npt.NDArray[np.float32]:
    """Encode the catalogue's text, (N, text width); of width 0 for a model that reads none.

    Parameters
    ----------
    tuned : ItemLLM, optional
        What encodes it in place of the preset's Item LLM: one that a joint stage has tuned.

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
    texts = catalogue_texts(dataset.catalogue, preset.text)
    if tuned is not None:
        longest = preset.text.max_tokens
        return encode_texts(
            tuned, tuned.tokenizer, texts, max_tokens=longest, device=device, progress=progress
        )
    return text_vectors(texts, preset.text, cache_root(), device, progress)


def catalogue_facts(
    dataset: Dataset,
    preset: Preset,
    vectors: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int64],
    split: Split,
) -> CatalogueFacts:
    """Gather what the preset's model is made from.

    Parameters
    ----------
    vectors : numpy.ndarray
        (N, text width).
    counts : numpy.ndarray
        (N,) training interactions.
    split : Split
    """
    reads = getattr(preset.model, "reads_attributes", False)
    attributes = read_attributes(dataset.catalogue) if reads else None
    return CatalogueFacts(
        torch.from_numpy(vectors.copy()),
        torch.from_numpy(counts),
        attributes,
        split,
        dataset.catalogue.titles(),
    )


def read_brought_vectors(
    path: Path, catalogue: Catalogue, items_id: str | None = None
) -> npt.NDArray[np.float32]:
    """Read brought item vectors: a table of ids and lists, or `.npy` rows in catalogue order.

    Parameters
    ----------
    path : Path
        A table (Parquet, JSON lines) with the item's id and one column of equally long lists of
        numbers, one row per item in any order; or a `.npy` file of (N, width).
    catalogue : Catalogue
        The items whose vectors they are.
    items_id : str, optional
        What the id is called, where the table has such a column; else the usual names are looked
        for.

    Raises
    ------
    DataError
        When an item of the catalogue has no vector, or the lists are no vectors.
    """
    if path.suffix == ".npy":
        try:
            rows: npt.NDArray[np.float32] = np.load(path, allow_pickle=False)
            return rows
        except FileNotFoundError as error:
            raise DataError(f"No such file: {path}", "Check the path of the vectors.") from error
        except (OSError, ValueError) as error:
            raise DataError(f"{path} is no array: {error}", "Write it with numpy.save.") from error
    table = read_table(path)
    lists = [field.name for field in table.schema if _is_list(field.type)]
    if len(lists) != 1:
        raise DataError(
            f"{path} has {len(lists)} columns of lists; one, the vectors, is needed.",
            "Write one row per item: its id, and a list of numbers.",
        )
    named = items_id if items_id in table.column_names else None
    ids = table[id_column(table, named, str(path))].combine_chunks()
    if len(ids.unique()) < len(ids):
        raise DataError(f"{path} has several rows for some items.", "Write one row per item.")
    places = Catalogue.of_ids(ids).lookup(catalogue.ids)
    if (places < 0).any():
        first = catalogue.ids[int((places < 0).argmax())].as_py()
        raise DataError(
            f"{path} has no vector for {int((places < 0).sum()):,} of the {len(places):,} items,"
            f" the first is {first!r}.",
            "Add their rows.",
        )
    vectors = table[lists[0]].combine_chunks().take(pa.array(places))
    lengths = pc.list_value_length(vectors).fill_null(0)
    if len(lengths.unique()) != 1:
        raise DataError(f"{path}: the lists are not equally long.", "Write vectors of one width.")
    try:
        numbers = vectors.flatten().cast(pa.float32())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{path}: the lists hold no numbers: {error}", "Write floats.") from error
    read: npt.NDArray[np.float32] = numbers.to_numpy(zero_copy_only=False)
    return read.reshape(len(places), -1)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def check_vectors(vectors: npt.NDArray[np.float32], n_items: int, width: int | None = None) -> None:
    """See that brought vectors fit the catalogue, and others of `width`.

    Raises
    ------
    DataError
        On a wrong shape or numbers that are not finite.
    """
    if vectors.ndim != 2 or len(vectors) != n_items:
        raise DataError(
            f"The item vectors have the shape {vectors.shape}; {n_items:,} rows,"
            " one per item of the catalogue and in its order, are needed."
        )
    if not np.isfinite(vectors).all():
        raise DataError("Some item vectors are not finite numbers.", "Repair or re-encode them.")
    if width is not None and vectors.shape[1] != width:
        raise DataError(
            f"The item vectors have {vectors.shape[1]:,} numbers; the model's have {width:,}.",
            "Take the vectors of the text model that it was trained on.",
        )


def read_alike(items: Any, items_id: str | None, catalogue: Catalogue) -> Catalogue:
    """Read a table of items by the text columns that a catalogue has.

    Warns of items that the catalogue has with another text.

    Raises
    ------
    DataError
        See `Catalogue.from_arrow`.
    """
    table = read_table(items)
    known = [name for name in catalogue.fields.column_names if name in table.column_names]
    given = Catalogue.from_arrow(table, items_id, known or None, name_of(items))
    _warn_of_other_texts(given, catalogue)
    return given


def encode_new(items: Catalogue, text: TextConfig, device: str) -> npt.NDArray[np.float32]:
    """Encode the text of items that a trained model is to know by it alone, (n, text width).

    Raises
    ------
    DataError
        When an item has none.
    """
    blank = items.without_text()
    if blank.any():
        raise DataError(
            f"Item {items.ids[int(blank.argmax())].as_py()!r} has no text to be known by.",
            "Give it a title at least.",
        )
    return text_vectors(catalogue_texts(items, text), text, None, device, False)


def _warn_of_other_texts(given: Catalogue, catalogue: Catalogue) -> None:
    places = catalogue.lookup(given.ids)
    there = np.flatnonzero(places >= 0)
    new, old = given.take(there), catalogue.take(places[there])
    other = np.zeros(len(there), bool)
    for name in new.fields.column_names:
        if name in old.fields.column_names:
            texts = (pc.fill_null(one.fields[name], "") for one in (new, old))
            other |= pc.not_equal(*texts).to_numpy()
    if other.any():
        first = new.ids[int(other.argmax())].as_py()
        warnings.warn(
            f"{other.sum():,} of the items are in the catalogue with another text, the first is"
            f" {first!r}. They keep the one that they have; the next training reads the new one.",
            stacklevel=4,
        )


def catalogue_texts(catalogue: Catalogue, config: TextConfig) -> list[str]:
    """Write each item's text in one line, (N,)."""
    template = TEMPLATES[config.template]
    return [template(record) for record in catalogue.records()]


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
