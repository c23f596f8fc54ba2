import warnings
from pathlib import Path

import numpy as np
import pytest

from lite_llm4rec.errors import StoreError
from lite_llm4rec.text import cache as module
from lite_llm4rec.text.cache import VectorCache

WIDTH = 3


def made_up(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.random.default_rng(seed)
    keys = drawn.integers(0, 256, (n, 32)).astype(np.uint8)
    return keys, drawn.normal(size=(n, WIDTH)).astype(np.float32)


def written(folder: Path, keys: np.ndarray, vectors: np.ndarray) -> VectorCache:
    with VectorCache(folder, "model", WIDTH) as cache:
        cache.add(keys, vectors)
    return cache


def test_finds_what_was_written_and_leaves_the_rest(tmp_path: Path) -> None:
    keys, vectors = made_up(50)
    written(tmp_path, keys[:20], vectors[:20])
    written(tmp_path, keys[20:40], vectors[20:40])
    order = np.random.default_rng(1).permutation(50)
    out = np.full((50, WIDTH), 7, dtype=np.float32)
    found = VectorCache(tmp_path, "model", WIDTH).read_into(keys[order], out)
    np.testing.assert_array_equal(found, order < 40)
    np.testing.assert_array_equal(out[found], vectors[order][found])
    assert (out[~found] == 7).all()


def test_keys_that_end_in_zeros_stay_apart(tmp_path: Path) -> None:
    keys = np.zeros((3, 32), dtype=np.uint8)
    keys[1, 0], keys[2, 31] = 1, 1
    vectors = np.arange(9, dtype=np.float32).reshape(3, 3)
    cache = written(tmp_path, keys, vectors)
    out = np.empty_like(vectors)
    assert cache.read_into(keys, out).all()
    np.testing.assert_array_equal(out, vectors)


def test_models_do_not_mix(tmp_path: Path) -> None:
    keys, vectors = made_up(4)
    written(tmp_path, keys, vectors)
    other = VectorCache(tmp_path, "another model", WIDTH)
    assert not other.read_into(keys, np.empty_like(vectors)).any()


def test_nothing_asked_nothing_read(tmp_path: Path) -> None:
    keys, vectors = made_up(4)
    cache = written(tmp_path, keys, vectors)
    assert cache.read_into(keys[:0], vectors[:0]).shape == (0,)


@pytest.mark.parametrize("keep", [0.0, 0.1, 0.6, 0.99])
def test_truncated_chunk_is_ignored_with_a_warning(tmp_path: Path, keep: float) -> None:
    keys, vectors = made_up(30)
    cache = written(tmp_path, keys[:20], vectors[:20])
    (path,) = cache.folder.iterdir()
    written(tmp_path, keys[20:], vectors[20:])
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * keep))
    out = np.empty_like(vectors)
    with pytest.warns(UserWarning, match="is damaged"):
        found = cache.read_into(keys, out)
    np.testing.assert_array_equal(found, np.arange(30) >= 20)


def test_chunk_of_another_width_is_ignored(tmp_path: Path) -> None:
    keys, vectors = made_up(4)
    written(tmp_path, keys, vectors)
    with pytest.warns(UserWarning, match="is damaged"):
        found = VectorCache(tmp_path, "model", 5).read_into(keys, np.empty((4, 5), np.float32))
    assert not found.any()


def test_chunk_is_written_when_large_or_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, vectors = made_up(12)
    monkeypatch.setattr(module, "_CHUNK_ROWS", 4)
    cache = VectorCache(tmp_path, "model", WIDTH)
    cache.add(keys[:3], vectors[:3])
    assert not cache.folder.exists()
    cache.add(keys[3:5], vectors[3:5])
    assert len(list(cache.folder.iterdir())) == 1
    monkeypatch.setattr(module, "_CHUNK_SECONDS", -1.0)
    cache.add(keys[5:6], vectors[5:6])
    assert len(list(cache.folder.iterdir())) == 2


def test_half_file_of_a_killed_run_is_not_looked_at(tmp_path: Path) -> None:
    keys, vectors = made_up(4)
    cache = written(tmp_path, keys, vectors)
    (cache.folder / "half.123.tmp").write_bytes(b"half")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cache.read_into(keys, np.empty_like(vectors)).all()


def test_unwritable_folder_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    keys, vectors = made_up(2)
    cache = VectorCache(tmp_path / "file", "model", WIDTH)
    cache.add(keys, vectors)
    with pytest.raises(StoreError, match="disk space"):
        cache.flush()
