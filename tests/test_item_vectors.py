from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from lite_llm4rec import item_vectors
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import DataError
from lite_llm4rec.text.encoder import ItemLLM
from tests.conftest import text_preset

TITLES = [f"Thing i{number:02}" for number in range(20)]


def test_item_texts_follow_the_template(small_ring: Dataset, text_model: Path):
    config = text_preset(text_model).text
    assert item_vectors.catalogue_texts(small_ring.catalogue, config) == TITLES


def test_known_texts_come_from_the_cache(
    text_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = text_preset(text_model).text
    first = item_vectors.text_vectors(TITLES, config, tmp_path, "cpu", False)

    def fail(*_: Any) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(ItemLLM, "forward", fail)
    assert np.array_equal(item_vectors.text_vectors(TITLES, config, tmp_path, "cpu", False), first)


def brought(small_ring: Dataset) -> tuple[list[str], np.ndarray]:
    ids = small_ring.catalogue.ids.to_pylist()
    return ids, np.arange(len(ids) * 3, dtype=np.float32).reshape(-1, 3)


def test_brought_vectors_are_matched_by_id(small_ring: Dataset, tmp_path: Path):
    ids, vectors = brought(small_ring)
    order = np.random.default_rng(0).permutation(len(ids))
    table = pa.table(
        {
            "item_id": ["unknown", *[ids[row] for row in order]],
            "vector": [[0.0, 0.0, 0.0], *vectors[order].tolist()],
        }
    )
    pa.parquet.write_table(table, tmp_path / "vectors.parquet")
    found = item_vectors.read_brought_vectors(tmp_path / "vectors.parquet", small_ring.catalogue)
    assert np.array_equal(found, vectors)
    np.save(tmp_path / "vectors.npy", vectors)
    assert np.array_equal(
        item_vectors.read_brought_vectors(tmp_path / "vectors.npy", small_ring.catalogue), vectors
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ids, rows: (ids[1:], rows[1:]), "no vector for 1 of the 20 items, the first is"),
        (lambda ids, rows: (ids, [*rows[1:], [1.0]]), "not equally long"),
        (lambda ids, rows: (ids, [0.5] * len(ids)), "has 0 columns of lists"),
    ],
)
def test_brought_vectors_that_do_not_fit(change, message, small_ring: Dataset, tmp_path: Path):
    ids, vectors = brought(small_ring)
    names, rows = change(ids, vectors.tolist())
    path = tmp_path / "vectors.parquet"
    pa.parquet.write_table(pa.table({"item_id": names, "vector": rows}), path)
    with pytest.raises(DataError, match=message):
        item_vectors.read_brought_vectors(path, small_ring.catalogue)


def test_brought_vectors_of_one_item_twice(small_ring: Dataset, tmp_path: Path):
    ids = [*small_ring.catalogue.ids.to_pylist(), "i03"]
    path = tmp_path / "v.parquet"
    pyarrow.parquet.write_table(pa.table({"item_id": ids, "vector": [[1.0]] * len(ids)}), path)
    with pytest.raises(DataError, match="several rows"):
        item_vectors.read_brought_vectors(path, small_ring.catalogue)


def test_lists_that_hold_no_numbers(small_ring: Dataset, tmp_path: Path):
    ids = small_ring.catalogue.ids
    path = tmp_path / "v.parquet"
    pyarrow.parquet.write_table(pa.table({"item_id": ids, "vector": [["x"]] * len(ids)}), path)
    with pytest.raises(DataError, match="no numbers"):
        item_vectors.read_brought_vectors(path, small_ring.catalogue)


def test_an_array_file_that_is_none(small_ring: Dataset, tmp_path: Path):
    (tmp_path / "vectors.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="is no array"):
        item_vectors.read_brought_vectors(tmp_path / "vectors.npy", small_ring.catalogue)
    with pytest.raises(DataError, match="No such file"):
        item_vectors.read_brought_vectors(tmp_path / "vector.npy", small_ring.catalogue)
