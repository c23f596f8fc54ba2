"""Items and their text."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.data.columns import check_id_type, id_column, text_columns
from lite_llm4rec.data.readers import name_of, read_table
from lite_llm4rec.errors import DataError, UnknownItemError, at_row

FEW = 10  # of so many ids of the catalogue one is looked up: then its hash table is kept
CHUNKS = 100  # of appended text; to make one of them each time would copy all of it


@dataclass(frozen=True)
class Catalogue:
    """The items, numbered 0…N−1 by their row, with the text that describes each.

    Attributes
    ----------
    ids : pyarrow.Array
        (N,): the caller's ids, distinct, of the caller's type.
    fields : pyarrow.Table
        (N, text columns): strings, the title first; no columns when nothing is known but ids.
    """

    ids: pa.Array
    fields: pa.Table

    @classmethod
    def from_table(
        cls, source: Any, *, items_id: str | None = None, text: Sequence[str] | None = None
    ) -> "Catalogue":
        """Read a table with one row per item; of repeated ids the first row counts.

        Parameters
        ----------
        source : path or table
            See `read_table`.
        items_id : str, optional
            The id column; by default the usual names are looked for, `id` last.
        text : sequence of str, optional
            The columns that describe an item, the title first; by default all string columns.

        Raises
        ------
        DataError
            On a missing column or id, decimal numbers as ids, an empty table, or a text column
            that is not text.
        """
        return cls.from_arrow(read_table(source), items_id, text, name_of(source))

    @classmethod
    def from_arrow(
        cls, table: pa.Table, items_id: str | None, text: Sequence[str] | None, where: str
    ) -> "Catalogue":
        """Do what `from_table` does for a table already read, called `where` in messages."""
        key = id_column(table, items_id, where)
        if table[key].null_count:
            row = pc.index(table[key].is_null(), True).as_py()
            raise DataError(
                f"{where}, column '{key}', {at_row(row)}: the id is missing.", "Drop it."
            )
        if table.num_rows == 0:
            raise DataError(f"{where} has no rows.", "Check how the table was made.")
        check_id_type(table[key], f"{where}, column '{key}'")
        columns = text_columns(table, key, text, where)
        ids = table[key].combine_chunks()
        blank = pc.index(ids, "").as_py() if pa.types.is_string(ids.type) else -1
        if blank >= 0:
            raise DataError(
                f"{where}, column '{key}', {at_row(blank)}: the id is empty.", "Drop it."
            )
        first = np.sort(np.unique(_codes(ids), return_index=True)[1])
        fields = table.select(columns).take(pa.array(first))
        strings = [_as_text(fields[name], f"{where}, column '{name}',") for name in columns]
        return cls(ids.take(pa.array(first)), pa.table(strings, names=columns))

    @classmethod
    def of_ids(cls, ids: pa.Array) -> "Catalogue":
        """Make a catalogue of which nothing is known but ids."""
        return cls(ids, pa.table({}))

    def __len__(self) -> int:
        return len(self.ids)

    def records(self) -> list[dict[str, str | None]]:
        """Give each item's text fields as a dict, (N,)."""
        if not self.fields.num_columns:
            return [{} for _ in range(len(self))]
        rows: list[dict[str, str | None]] = self.fields.to_pylist()
        return rows

    def titles(self) -> list[str]:
        """Give each item's title, or its id where it has none, (N,)."""
        ids = [str(value) for value in self.ids.to_pylist()]
        if not self.fields.num_columns:
            return ids
        return [title or name for title, name in zip(self.fields[0].to_pylist(), ids, strict=True)]

    def without_text(self) -> npt.NDArray[np.bool_]:
        """Mark the items none of whose fields has text, (N,)."""
        empty = np.ones(len(self), bool)
        for column in self.fields.columns:
            length = pc.utf8_length(pc.utf8_trim_whitespace(column)).fill_null(0)
            empty &= length.to_numpy() == 0
        return empty

    @cached_property
    def has_text(self) -> npt.NDArray[np.bool_]:
        """Mark the items that any text is known of, (N,)."""
        return ~self.without_text()

    def lookup(self, ids: Any) -> npt.NDArray[np.int64]:
        """Number ids, −1 where the catalogue does not hold one.

        Ids of another type are converted where possible, so that "1" finds 1.
        """
        values = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else _as_array(ids)
        try:
            values = values.cast(self.ids.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            values = pa.array(
                [_convert(value, self.ids.type) for value in values.to_pylist()], self.ids.type
            )
        if FEW * len(values) <= len(self):
            found = [self._places.get(value, -1) for value in values.to_pylist()]
            return np.array(found, np.int64)
        places = pc.index_in(values, value_set=self.ids, skip_nulls=True)
        numbers: npt.NDArray[np.int64] = places.fill_null(-1).to_numpy().astype(np.int64)
        return numbers

    @cached_property
    def _places(self) -> dict[Any, int]:
        """Each id's number, so that a few of a million are not looked up by reading a million."""
        return {name: number for number, name in enumerate(self.ids.to_pylist())}

    @cached_property
    def sha256(self) -> str:
        """Hash of ids and text, in their order: what item numbers mean."""
        columns = [*self.fields.columns, self.ids]
        table = pa.table(columns, names=[*self.fields.column_names, ""]).combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return hashlib.sha256(sink.getvalue()).hexdigest()

    def numbers(self, ids: Any) -> npt.NDArray[np.int64]:
        """Number ids that must all be known.

        Raises
        ------
        UnknownItemError
            Naming the first unknown ids.
        """
        numbers = self.lookup(ids)
        if (numbers < 0).any():
            values = ids.to_pylist() if isinstance(ids, pa.Array | pa.ChunkedArray) else list(ids)
            unknown = [value for value, number in zip(values, numbers, strict=True) if number < 0]
            raise UnknownItemError(
                f"The catalogue does not hold {', '.join(map(repr, unknown[:5]))}"
                + (f" and {len(unknown) - 5} more." if len(unknown) > 5 else "."),
                'Check the ids; in histories, unknown="drop" or --drop-unknown passes over them.',
            )
        return numbers

    def take(self, numbers: npt.NDArray[Any]) -> "Catalogue":
        """Keep these items, in this order."""
        rows = pa.array(numbers)
        fields = self.fields.take(rows) if self.fields.num_columns else self.fields
        return replace(self, ids=self.ids.take(rows), fields=fields)

    def after(self, first: int) -> "Catalogue":
        """Keep the items from number `first` on, without copying them."""
        return replace(self, ids=self.ids.slice(first), fields=self.fields.slice(first))

    def append(self, other: "Catalogue") -> "Catalogue":
        """Append another catalogue's items; text fields that only one of the two has are dropped
        or left empty, so that this catalogue keeps its own.

        Raises
        ------
        DataError
            When an item is there already, or none of this catalogue's text fields is.
        """
        names = self.fields.column_names
        common = [name for name in names if name in other.fields.column_names]
        if names and not common:
            raise DataError(
                f"The new items have none of the text columns {', '.join(names)}.",
                "Name the columns as in the items table of the training.",
            )
        try:
            ids = other.ids.cast(self.ids.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"The new items' ids cannot be {self.ids.type}, as the catalogue's are: {error}",
                "Give them ids of the catalogue's type.",
            ) from error
        known = self.lookup(ids) >= 0
        if known.any():
            first = ids[int(known.argmax())].as_py()
            raise DataError(
                f"{known.sum():,} of the items are in the catalogue, the first is {first!r}.",
                "Add new items only.",
            )
        if len(ids.unique()) < len(ids):
            raise DataError(
                f"Some of the new items' ids are one and the same as {self.ids.type}, which the"
                " catalogue's are.",
                "Give each item an id of its own.",
            )
        empty = pa.nulls(len(ids), pa.string())
        columns = [other.fields[name] if name in common else empty for name in names]
        added = pa.table(columns, names=names)
        fields = pa.concat_tables([self.fields, added]) if names else self.fields
        if names and fields[0].num_chunks > CHUNKS:
            fields = fields.combine_chunks()
        longer = Catalogue(pa.concat_arrays([self.ids, ids]), fields)
        if "_places" in vars(self):
            places = zip(ids.to_pylist(), range(len(self), len(longer)), strict=True)
            vars(longer)["_places"] = self._places | dict(places)
        if "has_text" in vars(self):
            added_text = longer.after(len(self)).has_text
            vars(longer)["has_text"] = np.concatenate([self.has_text, added_text])
        return longer

    def with_ids(self, ids: pa.Array) -> "Catalogue":
        """Append items of which nothing is known but ids."""
        missing = pa.table(
            {name: pa.nulls(len(ids), pa.string()) for name in self.fields.column_names}
        )
        fields = (
            pa.concat_tables([self.fields, missing]) if self.fields.num_columns else self.fields
        )
        return Catalogue(
            pa.concat_arrays([self.ids, ids.cast(self.ids.type)]), fields.combine_chunks()
        )


def _as_text(column: pa.ChunkedArray, where: str) -> pa.Array:
    try:
        if pa.types.is_list(column.type):
            paths = pa.types.is_list(column.type.value_type)
            lists = column.cast(pa.list_(pa.list_(pa.string()) if paths else pa.string()))
            return pa.array([_joined(texts) for texts in lists.to_pylist()], pa.string())
        return column.cast(pa.string()).combine_chunks()
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
        raise DataError(
            f"{where} holds {column.type}, which is no text.", "Join it into one string per item."
        ) from error


def _joined(texts: list[Any] | None, mark: str = " ; ") -> str | None:
    """Join a list's texts; those of a list in it, as a category's path is, by ` > `."""
    parts = [_joined(text, " > ") if isinstance(text, list) else text for text in texts or ()]
    return mark.join(part for part in parts if part is not None) or None


def _codes(ids: pa.Array) -> npt.NDArray[Any]:
    codes: npt.NDArray[Any] = ids.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return codes


def _as_array(ids: Any) -> pa.Array:
    try:
        return pa.array(ids)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([str(value) for value in ids])


def _convert(value: Any, kind: pa.DataType) -> Any:
    try:
        return pa.scalar(value).cast(kind).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
