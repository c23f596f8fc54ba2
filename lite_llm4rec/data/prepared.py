"""A prepared folder: two tables, ordered, filtered and checked once."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import DataError

MARK = "prepared.json"
READ = (
    "name", "candidates", "time", "duplicates_removed", "sequences_sha256", "catalogue_sha256",
)  # fmt: skip


def write_prepared(dataset: Dataset, folder: Path, name: str) -> dict[str, Any]:
    """Write a data set as a folder and return its facts.

    The mark file comes last, so a folder that was cut short is not taken for a whole one.

    Raises
    ------
    DataError
        When the folder holds tables of these names that were not made here.
    """
    log, catalogue = dataset.interactions, dataset.catalogue
    tables = [folder / "interactions.parquet", folder / "items.parquet"]
    if any(table.exists() for table in tables) and not (folder / MARK).is_file():
        raise DataError(
            f"{folder} holds tables that `lite-llm4rec prepare` did not make.",
            "Choose another folder: they would be overwritten.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    interactions = pa.table(
        {
            "user_id": log.user_ids.take(pa.array(log.users)),
            "item_id": log.item_ids.take(pa.array(log.items)),
            "timestamp": log.times,
        }
    )
    if "item_id" in catalogue.fields.column_names:
        raise DataError(
            "A text column is called 'item_id', as the id is in a prepared folder.",
            "Rename it, or leave it out: --text.",
        )
    items = pa.table({"item_id": catalogue.ids})
    for column in catalogue.fields.column_names:
        items = items.append_column(column, catalogue.fields[column])
    facts = {
        "name": name,
        "candidates": dataset.candidates,
        "users": log.n_users,
        "items": len(catalogue),
        "interactions": len(log),
        "duplicates_removed": log.duplicates_removed,
        "time": log.time,
        "time_ties": log.time_ties,
        "sequences_sha256": log.sequences_sha256,
        "catalogue_sha256": catalogue.sha256,
    }
    for table, path in zip((interactions, items), tables, strict=True):
        pa.parquet.write_table(table, path.with_suffix(".part"))
    (folder / MARK).unlink(missing_ok=True)
    for path in tables:
        os.replace(path.with_suffix(".part"), path)
    mark = (folder / MARK).with_suffix(".part")
    mark.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    os.replace(mark, folder / MARK)
    return facts


def prepared_tables(folder: Path) -> tuple[Path, Path]:
    """Give the interactions and the items of a folder that `write_prepared` wrote.

    Raises
    ------
    DataError
        When it is not one.
    """
    if not (folder / MARK).is_file():
        raise DataError(
            f"{folder} was not made by `lite-llm4rec prepare`: it has no {MARK}.",
            "For plain tables use --interactions and --items.",
        )
    return folder / "interactions.parquet", folder / "items.parquet"


def is_prepared(folder: Path) -> bool:
    """Whether `write_prepared` wrote it."""
    return (folder / MARK).is_file()


def read_prepared(folder: Path) -> Dataset:
    """Read a folder that `write_prepared` wrote.

    Raises
    ------
    DataError
        When it is not one, or its tables are no longer what was prepared.
    """
    interactions, items = prepared_tables(folder)
    facts = _read_mark(folder / MARK)
    dataset = Dataset.from_tables(
        interactions,
        items,
        name=facts["name"],
        user="user_id",
        item="item_id",
        time="timestamp",
        text=pa.parquet.read_schema(items).names[1:],
        candidates="catalogue",
    )
    found = dataset.interactions.sequences_sha256, dataset.catalogue.sha256
    if found != (facts["sequences_sha256"], facts["catalogue_sha256"]):
        raise DataError(f"{folder} has changed since it was prepared.", "Prepare it again.")
    # A k-core leaves gaps in positions, after which they look like times.
    log = replace(
        dataset.interactions, time=facts["time"], duplicates_removed=facts["duplicates_removed"]
    )
    return Dataset(facts["name"], log, dataset.catalogue, facts["candidates"])


def _read_mark(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {name: facts[name] for name in READ}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is damaged, or of an earlier version.", "Prepare the folder again."
        ) from error
