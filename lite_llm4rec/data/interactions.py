"""A table of interactions → checked, stably ordered histories (offsets + items arrays)."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lite_llm4rec.data.columns import check_id_type, find_column
from lite_llm4rec.data.readers import name_of, read_table
from lite_llm4rec.data.times import as_numbers
from lite_llm4rec.errors import ConfigError, DataError, at_row, nearest

Duplicates = Literal["keep", "first", "last"]
Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Interactions:
    """Every user's history, in time order, as one array cut by offsets.

    Users are 0…U−1 in order of first appearance, items 0…N−1. The history of user `u` is
    `items[offsets[u]:offsets[u + 1]]`; a prefix of it is a view, never a copy.

    Attributes
    ----------
    user_ids, item_ids : pyarrow.Array
        (U,), (N,): the caller's ids, of the caller's type.
    offsets : numpy.ndarray
        (U + 1,) int64.
    items : numpy.ndarray
        (interactions,) int32.
    times : numpy.ndarray
        (interactions,) as the column has them: seconds, or their parts, which
        `times.seconds_per_unit` tells; dates and ISO text as seconds since 1970.
    time : "unix" or "order"
        "order" where the column is only a position within the user.
    duplicates_removed : int
        Interactions dropped by the duplicate policy.
    """

    user_ids: pa.Array
    item_ids: pa.Array
    offsets: Ints
    items: Ints
    times: npt.NDArray[Any]
    time: Literal["unix", "order"]
    duplicates_removed: int = 0

    @classmethod
    def from_table(
        cls,
        source: Any,
        *,
        user: str | None = None,
        item: str | None = None,
        time: str | None = None,
        duplicates: Duplicates = "keep",
        known: pa.Array | None = None,
    ) -> "Interactions":
        """Read and order a table of interactions.

        Rows are ordered by (user, time, row): interactions with equal times keep the table's
        order. That is the only tie rule here; sorting ties by item id inflates metrics.

        Parameters
        ----------
        source : path or table
            See `read_table`.
        user, item, time : str, optional
            Column names; by default the usual ones are looked for.
        duplicates : "keep", "first" or "last"
            Of several interactions of one user with one item, keep all, the first or the last.
        known : pyarrow.Array, optional
            The ids of a catalogue: where the log has several usual names for the item, such as
            `asin` and `parent_asin`, the one that holds most of them is taken.

        Raises
        ------
        DataError
            On a missing column, an empty table, a missing id or an unreadable time, with its row.
        """
        if duplicates not in get_args(Duplicates):
            raise ConfigError(
                f"duplicates is {duplicates!r}.", nearest(str(duplicates), get_args(Duplicates))
            )
        where = name_of(source)
        table = read_table(source)
        names = [
            find_column(table, "user", user, where),
            find_column(table, "item", item, where, known),
            find_column(table, "time", time, where),
        ]
        if table.num_rows == 0:
            raise DataError(f"{where} has no rows.", "Check how the table was made.")
        user_ids, users = _encode(table, names[0], where)
        item_ids, items = _encode(table, names[1], where)
        times = as_numbers(table[names[2]], f"{where}, column '{names[2]}'")
        del table
        order = _stable_order(users, times)
        users, items, times = users[order], items[order], times[order]
        item_ids, items = _sort_ids(item_ids, items)
        result = cls(user_ids, item_ids, _offsets(users, len(user_ids)), items, times, "unix")
        if result._is_position():
            result = replace(result, time="order")
        return result if duplicates == "keep" else result._drop_repeats(duplicates)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def n_users(self) -> int:
        """How many users there are."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """How many items are numbered, whether they occur or not."""
        return len(self.item_ids)

    @cached_property
    def lengths(self) -> Ints:
        """The length of each history, (U,)."""
        return np.diff(self.offsets)

    @cached_property
    def users(self) -> Ints:
        """The user of each interaction, (interactions,) int32."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), self.lengths)

    def history(self, user: int) -> Ints:
        """One user's items in time order, a view."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def item_counts(self) -> Ints:
        """How often each item occurs, (N,)."""
        return np.bincount(self.items, minlength=self.n_items)

    @cached_property
    def time_ties(self) -> int | None:
        """How many interactions have the time of the one before; None where time is a position."""
        if self.time == "order":
            return None
        return int(np.count_nonzero((self.times[1:] == self.times[:-1]) & self._same_user()))

    def k_core(self, user: int = 5, item: int = 5) -> "Interactions":
        """Drop users and items with too few interactions, until all have enough."""
        result = self
        while True:
            few_users = result.lengths < user
            few_items = result.item_counts() < item
            keep = ~(few_users[result.users] | few_items[result.items])
            if keep.all():
                return result.drop_unused_items()
            result = result.keep(keep)
            if len(result) == 0:
                raise DataError(
                    f"No interaction is left of the {user}-core of users and {item}-core of items.",
                    "Ask for smaller numbers.",
                )

    def keep(self, mask: npt.NDArray[np.bool_]) -> "Interactions":
        """Keep the interactions where `mask` (interactions,) is true; empty users go."""
        users = self.users[mask]
        counts = np.bincount(users, minlength=self.n_users)
        alive = counts > 0
        offsets = np.concatenate([[0], np.cumsum(counts[alive])])
        return replace(
            self,
            user_ids=self.user_ids.filter(pa.array(alive)),
            offsets=offsets,
            items=self.items[mask],
            times=self.times[mask],
        )

    def drop_unused_items(self) -> "Interactions":
        """Renumber so that only items which occur have a number."""
        return self.renumber_items(self.item_ids.filter(pa.array(self.item_counts() > 0)))

    def renumber_items(self, item_ids: pa.Array) -> "Interactions":
        """Number the items by their place in `item_ids`, which must hold every item that occurs."""
        place = pc.index_in(self.item_ids, value_set=item_ids)
        lookup = place.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
        return replace(self, item_ids=item_ids, items=lookup[self.items])

    @cached_property
    def sequences_sha256(self) -> str:
        """Hash of all ordered sequences, the same whatever the rows' or the items' numbering.

        Two measured numbers are comparable only if it is equal.
        """
        digest = hashlib.sha256()
        occurring = self.drop_unused_items()
        item_ids, items = _sort_ids(_as_bytes(occurring.item_ids), occurring.items)
        user_ids = _as_bytes(self.user_ids)
        by_id = pc.sort_indices(user_ids).to_numpy()
        for ids in (item_ids, user_ids.take(pa.array(by_id))):
            digest.update(b"\n".join(ids.to_pylist()))
            digest.update(b"\n\n")
        digest.update(self.lengths[by_id].astype("<i8").tobytes())
        place = np.empty(self.n_users, np.int64)
        place[by_id] = np.arange(self.n_users)
        order = np.argsort(place[self.users], kind="stable")
        digest.update(items[order].astype("<i4").tobytes())
        return digest.hexdigest()

    @cached_property
    def users_sha256(self) -> str:
        """Hash of the users' ids in their order, for a model that knows users by their number."""
        return hashlib.sha256(b"\n".join(_as_bytes(self.user_ids).to_pylist())).hexdigest()

    def _same_user(self) -> npt.NDArray[np.bool_]:
        same: npt.NDArray[np.bool_] = self.users[1:] == self.users[:-1]
        return same

    def _is_position(self) -> bool:
        if self.times.dtype.kind != "i" or self.times.max(initial=0) > self.lengths.max():
            return False
        position = np.arange(len(self)) - np.repeat(self.offsets[:-1], self.lengths)
        return bool((self.times == position).all()) or bool((self.times == position + 1).all())

    def _drop_repeats(self, which: Literal["first", "last"]) -> "Interactions":
        pair = self.users.astype(np.int64) * self.n_items + self.items
        backwards = which == "last"
        kept = np.unique(pair[::-1] if backwards else pair, return_index=True)[1]
        mask = np.zeros(len(self), bool)
        mask[len(self) - 1 - kept if backwards else kept] = True
        return replace(self.keep(mask), duplicates_removed=len(self) - int(mask.sum()))


def _encode(table: pa.Table, name: str, where: str) -> tuple[pa.Array, Ints]:
    """Turn a column of ids into (distinct ids, codes)."""
    column = table[name]
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise DataError(
            f"{where}, column '{name}', {at_row(row)}: the id is missing"
            f" ({column.null_count:,} such rows).",
            "Drop or repair these rows first.",
        )
    check_id_type(column, f"{where}, column '{name}'")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    encoded = column.dictionary_encode().combine_chunks()  # codes: the text may be beyond 2 GiB
    ids, codes = encoded.dictionary, encoded.indices.to_numpy(zero_copy_only=False)
    blank = pc.index(ids, "").as_py() if pa.types.is_string(ids.type) else -1
    if blank >= 0:
        raise DataError(
            f"{where}, column '{name}', {at_row(int((codes == blank).argmax()))}: the id is empty.",
            "Drop or repair these rows first.",
        )
    return ids, codes


def _as_bytes(ids: pa.Array) -> pa.Array:
    is_binary = pa.types.is_binary(ids.type) or pa.types.is_fixed_size_binary(ids.type)
    return (ids if is_binary else ids.cast(pa.string())).cast(pa.binary())


def _sort_ids(ids: pa.Array, codes: Ints) -> tuple[pa.Array, Ints]:
    """Number ids in their sorted order, so that numbers do not depend on the rows' order."""
    order = pc.sort_indices(ids)
    place = np.empty(len(ids), np.int32)
    place[order.to_numpy()] = np.arange(len(ids), dtype=np.int32)
    return ids.take(order), place[codes]


def _stable_order(users: Ints, times: npt.NDArray[Any]) -> Ints:
    """Order rows by (user, time, row)."""
    if times.dtype.kind == "i":
        low, high = int(times.min()), int(times.max())
        if (int(users.max()) + 1) * (high - low + 1) < 2**63:
            key = users.astype(np.int64) * (high - low + 1) + (times - low)
            return np.argsort(key, kind="stable")
    return np.lexsort((times, users))


def _offsets(sorted_users: Ints, n_users: int) -> Ints:
    counts = np.bincount(sorted_users, minlength=n_users)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
