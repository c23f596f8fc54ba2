"""Interactions and catalogue with one numbering of items: what models learn from."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.interactions import Duplicates, Interactions
from lite_llm4rec.data.readers import name_of, read_table
from lite_llm4rec.errors import ConfigError, DataError, nearest

Candidates = Literal["interacted", "catalogue"]

MANY_UNKNOWN = 0.1  # of the items that occur, which a table of items should know


@dataclass(frozen=True)
class Dataset:
    """Histories and catalogue; item number `i` is row `i` of the catalogue in both.

    Attributes
    ----------
    name : str
        As in the protocol; what a results row is filed under.
    candidates : "interacted" or "catalogue"
        Whether the catalogue holds the items that occur, or every item of the items table.
    """

    name: str
    interactions: Interactions
    catalogue: Catalogue
    candidates: Candidates

    @classmethod
    def from_tables(
        cls,
        interactions: Any,
        items: Any = None,
        *,
        name: str = "given",
        user: str | None = None,
        item: str | None = None,
        items_id: str | None = None,
        time: str | None = None,
        text: Sequence[str] | None = None,
        duplicates: Duplicates = "keep",
        core: int = 0,
        candidates: Candidates = "interacted",
    ) -> "Dataset":
        """Read both tables and put them on one numbering.

        Parameters
        ----------
        interactions, items : path or table
            See `read_table`. Without `items`, ids are all that is known of an item.
        name : str
            What results are filed under.
        user, item, time, text : optional
            Column names; by default the usual ones are looked for.
        items_id : str, optional
            What the id is called in the items table; by default as `item`, where that is given and
            the items table has it, else a usual name.
        duplicates : "keep", "first" or "last"
            See `Interactions.from_table`.
        core : int
            Keep the k-core of users and items; 0 keeps everything.
        candidates : "interacted" or "catalogue"
            Which items can be recommended.

        Raises
        ------
        DataError
            On an unusable table, or ids that do not match between the two.
        ConfigError
            On other `candidates` or `duplicates`; on `items_id` or `text` without an items table.
        """
        if candidates not in get_args(Candidates):
            raise ConfigError(
                f"candidates is {candidates!r}.", nearest(str(candidates), get_args(Candidates))
            )
        catalogue = None
        if items is not None:
            table = read_table(items)
            key = items_id or (item if item in table.column_names else None)
            catalogue = Catalogue.from_arrow(table, key, text, name_of(items))
            del table
        for option, value in (("items_id", items_id), ("text", text)):
            if items is None and value is not None:
                raise ConfigError(
                    f"{option} names a column of an items table, and there is none.", "Pass items."
                )
        log = Interactions.from_table(
            interactions,
            user=user,
            item=item,
            time=time,
            duplicates=duplicates,
            known=None if catalogue is None else catalogue.ids,
        )
        if core:
            log = log.k_core(core, core)
        if catalogue is None:
            return cls(name, log, Catalogue.of_ids(log.item_ids), "interacted")
        return cls.align(name, log, catalogue, candidates)

    @classmethod
    def align(
        cls, name: str, log: Interactions, catalogue: Catalogue, candidates: Candidates
    ) -> "Dataset":
        """Give interactions and catalogue one numbering.

        Items that occur but have no catalogue row are kept, without text; where they are many, a
        warning says so.

        Raises
        ------
        DataError
            When no id of one table is found in the other.
        """
        wider = common_id_type(log.item_ids.type, catalogue.ids.type)
        if wider is not None:
            log = replace(log, item_ids=_cast(log.item_ids, wider))
            catalogue = replace(catalogue, ids=_cast(catalogue.ids, wider))
        ids = catalogue.ids
        if log.item_ids.type != ids.type:
            raise DataError(
                f"Item ids are {log.item_ids.type} in the interactions and {ids.type} in the"
                " items table.",
                "Give both columns one type, for example strings.",
            )
        known = pc.is_in(log.item_ids, value_set=ids)
        if not pc.any(known).as_py():
            raise DataError(
                "No item id of the interactions occurs in the items table"
                f" ({log.item_ids[0].as_py()!r} against {ids[0].as_py()!r}).",
                "Check the id columns: the two tables must name items alike. Name them:"
                " item=…, items_id=… (on the command line --item, --items-id).",
            )
        unknown = log.item_ids.filter(pc.invert(known))
        if len(unknown) > MANY_UNKNOWN * len(log.item_ids):
            warnings.warn(
                f"{len(unknown):,} of the {len(log.item_ids):,} items of the interactions have no"
                f" row in the items table, and so no text: {unknown[0].as_py()!r} for one.",
                stacklevel=2,
            )
        if len(unknown):
            catalogue = catalogue.with_ids(unknown)
        log = log.renumber_items(catalogue.ids)
        if candidates == "interacted":
            occurring = np.flatnonzero(log.item_counts())
            catalogue = catalogue.take(occurring)
            log = log.renumber_items(catalogue.ids)
        return cls(name, log, catalogue, candidates)

    def renumber(self, catalogue: Catalogue) -> "Dataset":
        """Number the items as a model's catalogue does, and take that catalogue.

        Raises
        ------
        DataError
            When items occur that the catalogue does not hold.
        """
        ids = catalogue.ids
        if self.catalogue.ids.equals(ids) and self.interactions.item_ids.equals(ids):
            return self
        log = self.interactions.drop_unused_items()
        missing = int((catalogue.lookup(log.item_ids) < 0).sum())
        if missing:
            raise DataError(
                f"{missing:,} of the data set's {log.n_items:,} items are not in this model's"
                " catalogue.",
                "Evaluate on the data that it was trained on, read with the same options.",
            )
        log = replace(log, item_ids=log.item_ids.cast(catalogue.ids.type))
        log = log.renumber_items(catalogue.ids)
        candidates: Candidates = "interacted" if log.item_counts().all() else "catalogue"
        return Dataset(self.name, log, catalogue, candidates)


def _cast(ids: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return ids.cast(kind)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"Item ids differ in type between the two tables, and cannot all be {kind}: {error}",
            "Give both columns one type, for example strings.",
        ) from error


def common_id_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Give the type that holds the ids of both: a wider one, or text where one of them is text."""
    if one != other and pa.types.is_integer(one) and pa.types.is_integer(other):
        return pa.int64()
    if {one, other} == {pa.string(), pa.large_string()}:
        return pa.large_string()
    for text, number in ((one, other), (other, one)):
        if pa.types.is_string(text) and pa.types.is_integer(number):
            return text
    return None
