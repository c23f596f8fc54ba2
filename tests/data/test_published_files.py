"""What the readers of publishers' files do by themselves; whole files are in `test_sources.py`."""

import pyarrow as pa

from lite_llm4rec.data import published_files


def test_positions_of_scattered_rows() -> None:
    users = pa.chunked_array([["a", "b", "a"], ["b", "a"]])
    assert published_files._positions(users).to_pylist() == [0, 0, 1, 1, 2]
