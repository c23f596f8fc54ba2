"""Recommend for a file of histories of any size: in bounded memory, resumable, whole or not at all.

Each chunk of users becomes a Parquet file of its own in a folder beside the target. What stands
there is not done again; when all chunks do, they are joined.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from tqdm import tqdm

from lite_llm4rec.data.columns import find_column
from lite_llm4rec.errors import ConfigError, DataError
from lite_llm4rec.models.base import weights_sha256
from lite_llm4rec.paths import alone, flush
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.version import VERSION
from lite_llm4rec.written_table import writer_for

CHUNK = 4096  # users
MADE_OF = "made_of.json"
UNKNOWN = b"unknown_items"  # key of a part's metadata


@dataclass(frozen=True)
class BatchCounts:
    """What a batch has done.

    Attributes
    ----------
    users, rows : int
        Of the input and of the output.
    unknown : int
        Items of histories that the catalogue does not hold; they were left out.
    resumed : int
        Users whose lists an earlier, interrupted run had made.
    """

    users: int
    rows: int
    unknown: int
    resumed: int


def recommend_file(
    recommender: Recommender,
    source: str | Path,
    target: str | Path,
    k: int = 10,
    *,
    user: str | None = None,
    exclude: Sequence[Any] = (),
    candidates: Sequence[Any] | None = None,
    include_seen: bool | None = None,
    device: str = "cpu",
    chunk: int = CHUNK,
    progress: bool = True,
) -> BatchCounts:
    """Recommend for every user of a Parquet file.

    Parameters
    ----------
    recommender : Recommender
        A run folder's or an export's.
    source : path
        Parquet with one row per user: a user column, and one column of lists of item ids in time
        order. Ids that the catalogue does not hold are left out and counted.
    target : path
        Parquet or, by its name, CSV, with one row per recommendation: user, rank, item_id, score,
        note. It appears when all is done. A run that was killed goes on when called again in the
        same way.
    user : str, optional
        The user column's name, where it is no usual one.
    k, exclude, candidates, include_seen, device
        As in `Recommender.recommend`.
    chunk : int
        Users at a time.

    Raises
    ------
    DataError
        When the source is no such file.
    ConfigError
        When it is the target, too; when the target is neither Parquet nor CSV; or when an
        interrupted run made its lists otherwise.
    StoreError
        When another process is making the same target.
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise ConfigError(f"{target} is the input: it would be replaced.", "Name another output.")
    if target.is_dir():
        raise ConfigError(f"{target} is a folder.", "Name a file, as recommendations.parquet.")
    file = _open(source)
    columns = _columns(file, user, source)
    open_writer = writer_for(target)
    how = {
        "k": k, "exclude": list(exclude), "include_seen": include_seen, "chunk": chunk,
        "candidates": None if candidates is None else list(candidates), "columns": columns,
    }  # fmt: skip
    parts = target.with_name(f"{target.name}.parts")
    schema = _schema(file, columns[0], recommender)
    resumed = 0
    rows = file.iter_batches(batch_size=chunk, columns=columns)
    bar = tqdm(
        total=file.metadata.num_rows, desc="recommending", unit=" users",
        disable=None if progress else True,
    )  # fmt: skip
    with alone(parts, 0), _holding(parts), bar:
        _claim(parts, {"how": how, **_made_of(recommender, source)})
        made = []
        for number, histories in enumerate(_of_size(rows, chunk)):
            made.append(parts / f"{number:08}.parquet")
            if made[-1].is_file():
                resumed += len(histories)
            else:
                table = _recommend(
                    recommender, histories, schema, k, exclude=exclude, candidates=candidates,
                    include_seen=include_seen, device=device,
                )  # fmt: skip
                _write(made[-1], table)
            bar.update(len(histories))
        written, unknown = _join(made, target, open_writer, schema)
        for part in made:  # what tells how they were made goes last
            part.unlink()
    return BatchCounts(file.metadata.num_rows, written, unknown, resumed)


def _open(source: Path) -> Any:
    try:
        return pyarrow.parquet.ParquetFile(source)
    except FileNotFoundError as error:
        raise DataError(f"No such file: {source}", "Check the path.") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{source} is no Parquet file: {error}",
            "Write one row per user: the user, and the list of its items in time order.",
        ) from error


def _columns(file: Any, user: str | None, source: Path) -> list[str]:
    """Name the column of users and the one of lists."""
    schema = file.schema_arrow
    lists = [
        field.name
        for field in schema
        if pa.types.is_list(field.type) or pa.types.is_large_list(field.type)
    ]
    if len(lists) != 1:
        raise DataError(
            f"{source} has {len(lists)} columns of lists; one, the histories, is needed.",
            "Write one row per user. For a log of interactions: --interactions, or"
            " Recommender.recommend.",
        )
    found = find_column(schema.empty_table(), "user", user, str(source))
    if found == lists[0]:
        raise DataError(f"{source}: '{found}' is the column of lists.", "Name the users' column.")
    return [found, lists[0]]


def _made_of(recommender: Recommender, source: Path) -> dict[str, Any]:
    """Tell the input and the model from others."""
    stat = source.stat()
    return {
        "source": [str(source.resolve()), stat.st_size, stat.st_mtime_ns],
        "model": weights_sha256(recommender.model),
        "retired": hashlib.sha256(recommender.retired.tobytes()).hexdigest(),
        "index": None if recommender.index is None else asdict(recommender.index.facts),
        "library_version": VERSION,
    }


def _claim(folder: Path, made_of: dict[str, Any]) -> None:
    """See that the parts there, if any, were made in the same way."""
    text = json.dumps(made_of, default=str)
    same = (folder / MADE_OF).is_file() and (folder / MADE_OF).read_text("utf-8") == text
    if not same:
        if any(folder.glob("*.parquet")):
            raise ConfigError(
                f"{folder} holds parts that were made otherwise: with another model or input,"
                " other filters or another k.",
                "Run it again as it was, or delete that folder.",
            )
        (folder / MADE_OF).write_text(text, encoding="utf-8")


def _schema(file: Any, user: str, recommender: Recommender) -> pa.Schema:
    return pa.schema(
        {
            "user": file.schema_arrow.field(user).type,
            "rank": pa.int32(),
            "item_id": recommender.catalogue.ids.type,
            "score": pa.float32(),
            "note": pa.string(),
        }
    )


def _of_size(batches: Iterator[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Cut batches anew, as pyarrow's end at row groups' ends: (size,) rows, the last fewer."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= size:
            table = pa.Table.from_batches(held)
            yield table.slice(0, size)
            held = table.slice(size).to_batches()
    if held:
        yield pa.Table.from_batches(held)


def _recommend(
    recommender: Recommender, histories: pa.Table, schema: pa.Schema, k: int, **how: Any
) -> pa.Table:
    """Make the lists of a chunk; how many unknown items it had is in its metadata."""
    users, lists = histories[0], histories[1].combine_chunks()
    unknown = int((recommender.catalogue.lookup(lists.flatten()) < 0).sum())
    names = [history or [] for history in lists.to_pylist()]
    table = recommender.recommend(names, k, unknown="drop", **how).to_table()
    owners = users.take(table["user"].cast(pa.int64()))  # of no rows the type is not known
    table = table.set_column(0, "user", owners).select(schema.names)
    return table.cast(schema).replace_schema_metadata({UNKNOWN: str(unknown)})


def _write(path: Path, table: pa.Table) -> None:
    partial = path.with_suffix(".part")
    pyarrow.parquet.write_table(table, partial)
    flush(partial)
    os.replace(partial, path)


@contextmanager
def _holding(parts: Path) -> Iterator[None]:
    """Make the folder of parts; remove it at the end, or where it fails before there is one."""
    parts.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except Exception:
        if not any(parts.glob("*.parquet")):
            shutil.rmtree(parts, ignore_errors=True)
        raise
    shutil.rmtree(parts)


def _join(
    parts: Sequence[Path], target: Path, open_writer: Any, schema: pa.Schema
) -> tuple[int, int]:
    """Write all parts as one file; give its number of rows, and of unknown items."""
    rows = unknown = 0
    partial = target.with_name(f"{target.name}.parts") / "whole.part"
    with open_writer(partial, schema) as writer:
        for part in parts:
            table = pyarrow.parquet.read_table(part)
            writer.write_table(table.replace_schema_metadata(None))
            rows += table.num_rows
            unknown += int(table.schema.metadata[UNKNOWN])
    flush(partial)
    os.replace(partial, target)
    return rows, unknown
