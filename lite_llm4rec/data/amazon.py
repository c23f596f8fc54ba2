"""Amazon's published reviews and meta data: which files they are, and what is read of them."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.json

from lite_llm4rec.errors import DataError

REVIEWS = pa.json.ParseOptions(
    explicit_schema=pa.schema(
        [
            ("reviewerID", pa.string()),
            ("asin", pa.string()),
            ("overall", pa.float64()),
            ("unixReviewTime", pa.int64()),
        ]
    ),
    unexpected_field_behavior="ignore",
)
META = ["asin", "title", "brand", "categories"]
ONLY_2018 = ("also_buy", "also_view", "main_cat", "similar_item", "tech1", "imageURL")


def is_reviews(first: str) -> bool:
    """Tell reviews of 2014 or 2018 by their file's first line."""
    return all(f'"{name}"' in first for name in ("reviewerID", "asin", "unixReviewTime"))


def is_meta(name: str, first: str) -> bool:
    """Tell meta data by the file's name and first line; a user's own JSON may have an `asin`, too.

    Those of 2014 are lines of Python dicts, which nobody else writes; those of 2018 have fields
    that nobody else names so.
    """
    of_2018 = name.startswith("meta_") and any(f'"{field}"' in first for field in ONLY_2018)
    if not first.startswith("{'") and not of_2018:
        return False
    has_item = re.search(r"""["']asin["']""", first)
    return bool(has_item and re.search(r"""["']categor(y|ies)["']""", first))


def read_meta(file: BinaryIO, path: Path) -> pa.Table:
    """Read Amazon meta data of 2014 (lines of Python dicts) or 2018 (lines of JSON)."""
    columns: dict[str, list[str | None]] = {name: [] for name in META}
    for record in _records(file, path):
        columns["asin"].append(record.get("asin"))
        columns["title"].append(record.get("title") or None)
        columns["brand"].append(record.get("brand") or None)
        columns["categories"].append(_category_text(record))
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _records(file: BinaryIO, path: Path) -> Iterator[dict[str, Any]]:
    for row, line in enumerate(file, start=1):
        text = line.decode("utf-8").strip()
        if not text:
            continue
        try:
            yield ast.literal_eval(text) if text.startswith("{'") else json.loads(text)
        except (ValueError, SyntaxError) as error:
            raise DataError(
                f"{path}, line {row}: neither JSON nor a Python dict.",
                "Fetch the file again if it is cut short; else write one JSON object per line.",
            ) from error


def _category_text(record: dict[str, Any]) -> str | None:
    """Join category paths: `A > B > C`, several paths by ` ; `.

    2014 files have a list of paths (`categories`), 2018 files one path (`category`); in other files
    a path may also be a word.
    """
    paths = record.get("categories") or [record.get("category") or []]
    if isinstance(paths, str) or all(isinstance(path, str) for path in paths):
        paths = [paths]
    paths = [[path] if isinstance(path, str) else path for path in paths]
    return " ; ".join(" > ".join(map(str, path)) for path in paths if path) or None
