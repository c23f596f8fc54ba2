"""Tables that are written part by part, in the format that the file's name asks for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from lite_llm4rec.errors import ConfigError

_WRITERS = {".parquet": pa.parquet.ParquetWriter, ".csv": pa.csv.CSVWriter}


def writer_for(target: Path) -> Callable[[Path, pa.Schema], Any]:
    """Choose what opens a writer, with `write_table` and `close`, for (path, schema).

    Raises
    ------
    ConfigError
        When the target is neither Parquet nor CSV by its name.
    """
    opener = _WRITERS.get(target.suffix.lower())
    if opener is None:
        raise ConfigError(
            f"{target}: tables are written as Parquet or CSV.",
            f"Name it {target.with_suffix('.parquet').name}, or {target.with_suffix('.csv').name}.",
        )
    found: Callable[[Path, pa.Schema], Any] = opener
    return found
