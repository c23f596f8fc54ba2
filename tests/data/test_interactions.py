import hashlib
from collections import Counter
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.errors import DataError

Row = tuple[Any, Any, Any]
PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40)


def log_of(rows: list[Row], **options: Any) -> Interactions:
    users, items, times = zip(*rows, strict=True)
    table = pa.table({"user_id": list(users), "item_id": list(items), "timestamp": list(times)})
    return Interactions.from_table(table, **options)


def histories(log: Interactions) -> dict[Any, list[Any]]:
    ids = log.item_ids.to_pylist()
    return {
        user: [ids[item] for item in log.history(number)]
        for number, user in enumerate(log.user_ids.to_pylist())
    }


ROWS: list[Row] = [("b", "y", 30), ("a", "x", 20), ("b", "x", 10), ("a", "z", 5), ("b", "z", 20)]


def test_rows_become_histories_in_time_order() -> None:
    log = log_of(ROWS)
    assert histories(log) == {"b": ["x", "z", "y"], "a": ["z", "x"]}
    assert log.user_ids.to_pylist() == ["b", "a"]
    assert log.item_ids.to_pylist() == ["x", "y", "z"]
    assert log.offsets.tolist() == [0, 3, 5]
    assert log.items.tolist() == [0, 2, 1, 2, 0]
    assert log.times.tolist() == [10, 20, 30, 5, 20]
    assert log.users.tolist() == [0, 0, 0, 1, 1]
    assert log.lengths.tolist() == [3, 2]
    assert log.item_counts().tolist() == [2, 1, 2]
    assert (log.n_users, log.n_items, len(log), log.time) == (2, 3, 5, "unix")


def test_a_history_is_a_view() -> None:
    log = log_of(ROWS)
    assert np.shares_memory(log.history(1), log.items)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_any_library_gives_the_same_log(make: Any) -> None:
    users, items, times = zip(*ROWS, strict=True)
    table = make({"user_id": list(users), "item_id": list(items), "timestamp": list(times)})
    log = Interactions.from_table(table)
    assert histories(log) == {"b": ["x", "z", "y"], "a": ["z", "x"]}
    assert log.sequences_sha256 == log_of(ROWS).sequences_sha256


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 2)), min_size=1))
def test_ties_keep_the_tables_order(rows: list[Row]) -> None:
    expected = {
        user: [item for _, item, _ in sorted((r for r in rows if r[0] == user), key=lambda r: r[2])]
        for user in dict.fromkeys(user for user, _, _ in rows)
    }
    assert histories(log_of(rows)) == expected
    fractions = [(user, item, time + 0.5) for user, item, time in rows]
    assert histories(log_of(fractions)) == expected


def test_times_too_wide_apart_for_one_key_are_ordered_too() -> None:
    far = 2**62
    log = log_of([(1, "b", far), (2, "d", far), (1, "a", -far), (2, "c", -far)])
    assert histories(log) == {1: ["a", "b"], 2: ["c", "d"]}


def test_ties_are_counted_within_users_only() -> None:
    log = log_of([("a", "x", 7), ("a", "y", 7), ("a", "z", 7), ("b", "x", 7), ("b", "y", 9)])
    assert log.time_ties == 2


@pytest.mark.parametrize("first", [0, 1])
def test_positions_are_told_from_times(first: int) -> None:
    rows = [(user, item, first + item) for user in range(2) for item in range(3 + user)]
    log = log_of(rows)
    assert (log.time, log.time_ties) == ("order", None)
    assert log_of([*rows, (0, 3, first + 4)]).time == "unix"


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        ([30, 7, 30], pa.int16()),
        ([2**63, 7, 2**63], pa.uint64()),
        (["ü", "a", "ü"], pa.string()),
        ([b"\xff" * 16, b"\x00" * 16, b"\xff" * 16], pa.binary(16)),
        ([b"\xff", b"\x00", b"\xff"], pa.binary()),
        ([date(2024, 1, 2), date(2024, 1, 1), date(2024, 1, 2)], pa.date32()),
    ],
    ids=["int16", "uint64", "string", "uuid", "binary", "date"],
)
def test_ids_keep_their_value_and_type(ids: list[Any], kind: pa.DataType) -> None:
    column = pa.array(ids, kind)
    table = pa.table({"user_id": column, "item_id": column, "timestamp": [5, 6, 8]})
    log = Interactions.from_table(table)
    assert log.user_ids.type == log.item_ids.type == kind
    assert histories(log) == {ids[0]: [ids[0], ids[0]], ids[1]: [ids[1]]}
    assert len(log.sequences_sha256) == 64


def test_columns_are_named_by_argument() -> None:
    table = pa.table({"who": ["a"], "what": ["x"], "when": [3], "user_id": ["no"]})
    log = Interactions.from_table(table, user="who", item="what", time="when")
    assert histories(log) == {"a": ["x"]}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user_id": [1], "item_id": [1]}, "no column that looks like the time"),
        ({"user_id": [], "item_id": [], "timestamp": []}, "has no rows"),
        (
            {"user_id": [1, None, None], "item_id": [1, 1, 1], "timestamp": [1, 2, 3]},
            r"'user_id', row 1 \(from 0, header not counted\): the id is missing \(2 such rows\)",
        ),
        (
            {"user_id": [1], "item_id": [1.5], "timestamp": [1]},
            "column 'item_id' holds decimal numbers",
        ),
        (
            {"user_id": [1], "item_id": [[1, 2]], "timestamp": [1]},
            "column 'item_id' holds lists or objects",
        ),
        (
            {"user_id": [{"0": 1, "1": 2}], "item_id": [{"0": 5, "1": 6}], "timestamp": [1]},
            "column 'user_id' holds lists or objects",
        ),
        (
            {"user_id": [1, 1], "item_id": [1, 1], "timestamp": ["5", "soon"]},
            "column 'timestamp', row 1 \\(from 0, header not counted\\): 'soon' is not a time",
        ),
    ],
)
def test_bad_tables_are_refused_with_column_and_row(table: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        Interactions.from_table(pa.table(table))
    assert caught.value.remedy


REPEATS: list[Row] = [("a", "x", 10), ("a", "y", 20), ("a", "x", 30), ("b", "x", 5), ("a", "x", 40)]


@pytest.mark.parametrize(
    ("duplicates", "expected", "removed"),
    [
        ("keep", {"a": ["x", "y", "x", "x"], "b": ["x"]}, 0),
        ("first", {"a": ["x", "y"], "b": ["x"]}, 2),
        ("last", {"a": ["y", "x"], "b": ["x"]}, 2),
    ],
)
def test_duplicates(duplicates: Any, expected: dict[str, list[str]], removed: int) -> None:
    log = log_of(REPEATS, duplicates=duplicates)
    assert histories(log) == expected
    assert log.duplicates_removed == removed


def test_positions_stay_positions_when_duplicates_leave_gaps() -> None:
    rows = [("a", "x", 0), ("a", "y", 1), ("a", "x", 2), ("a", "z", 3)]
    log = log_of(rows, duplicates="first")
    assert histories(log) == {"a": ["x", "y", "z"]}
    assert log.time == "order"


def brute_core(pairs: list[tuple[int, int]], user: int, item: int) -> list[tuple[int, int]]:
    while True:
        users = Counter(u for u, _ in pairs)
        items = Counter(i for _, i in pairs)
        kept = [(u, i) for u, i in pairs if users[u] >= user and items[i] >= item]
        if len(kept) == len(pairs):
            return kept
        pairs = kept


@given(PAIRS, st.integers(0, 4), st.integers(0, 4))
def test_k_core_equals_the_plain_loop(pairs: list[tuple[int, int]], user: int, item: int) -> None:
    log = log_of([(u, i, 100 + row) for row, (u, i) in enumerate(pairs)])
    kept = brute_core(pairs, user, item)
    if not kept:
        with pytest.raises(DataError, match="No interaction is left"):
            log.k_core(user, item)
        return
    core = log.k_core(user, item)
    expected: dict[int, list[int]] = {}
    for u, i in kept:
        expected.setdefault(u, []).append(i)
    assert histories(core) == expected
    assert core.item_ids.to_pylist() == sorted({i for _, i in kept})


def test_keep_drops_empty_users_but_no_item_numbers() -> None:
    log = log_of(ROWS)
    kept = log.keep(np.array([False, False, False, True, True]))
    assert histories(kept) == {"a": ["z", "x"]}
    assert kept.times.tolist() == [5, 20]
    assert kept.n_items == 3
    assert kept.drop_unused_items().item_ids.to_pylist() == ["x", "z"]
    assert histories(kept.drop_unused_items()) == {"a": ["z", "x"]}


def test_renumber_items_leaves_the_histories_as_they_are() -> None:
    log = log_of(ROWS)
    renumbered = log.renumber_items(pa.array(["new", "z", "y", "x"]))
    assert histories(renumbered) == histories(log)
    assert renumbered.items.tolist() == [3, 1, 2, 1, 3]


@given(PAIRS, st.randoms())
def test_the_hash_does_not_depend_on_row_order(pairs: list[tuple[int, int]], random: Any) -> None:
    rows = [(f"u{u}", f"i{i}", 100 + row) for row, (u, i) in enumerate(pairs)]
    shuffled = random.sample(rows, len(rows))
    assert log_of(rows).sequences_sha256 == log_of(shuffled).sequences_sha256


def test_the_hash_does_not_depend_on_numbering_unused_items_or_id_type() -> None:
    rows = [(1, 10, 3), (1, 9, 4), (2, 10, 7)]
    log = log_of(rows)
    renumbered = log.renumber_items(pa.array([11, 10, 9]))
    as_text = log_of([(str(user), str(item), time) for user, item, time in rows])
    assert log.sequences_sha256 == renumbered.sequences_sha256 == as_text.sequences_sha256


@pytest.mark.parametrize(
    "changed",
    [
        [("a", "y", 3), ("a", "x", 4), ("b", "x", 7)],
        [("a", "x", 3), ("a", "y", 4), ("b", "y", 7)],
        [("a", "x", 3), ("a", "y", 4), ("c", "x", 7)],
        [("a", "x", 3), ("b", "y", 4), ("b", "x", 7)],
    ],
    ids=["two items swapped", "another item", "another user", "another owner"],
)
def test_the_hash_changes_with_the_sequences(changed: list[Row]) -> None:
    rows: list[Row] = [("a", "x", 3), ("a", "y", 4), ("b", "x", 7)]
    assert log_of(rows).sequences_sha256 != log_of(changed).sequences_sha256


def test_the_hash_is_the_same_in_years_to_come() -> None:
    """Published numbers are compared by it, so its definition must not drift."""
    log = log_of([("a", "x", 3), ("a", "y", 4), ("b", "x", 7)])
    ids = b"x\ny\n\n" + b"a\nb\n\n"
    lengths = np.array([2, 1], "<i8").tobytes()
    items = np.array([0, 1, 0], "<i4").tobytes()
    assert log.sequences_sha256 == hashlib.sha256(ids + lengths + items).hexdigest()


def test_the_hash_of_the_users_says_which_they_are_and_in_which_order() -> None:
    rows: list[Row] = [("u", "a", 1), ("v", "a", 2), ("w", "b", 3)]
    log = log_of(rows)
    assert log.users_sha256 == hashlib.sha256(b"u\nv\nw").hexdigest()
    assert log_of([*rows, ("u", "b", 4)]).users_sha256 == log.users_sha256
    for other in (rows[::-1], rows[:2]):
        assert log_of(other).users_sha256 != log.users_sha256


def test_an_empty_id_is_refused_with_its_row() -> None:
    table = pa.table(
        {"user_id": ["a", "", "b"], "item_id": ["x", "y", "z"], "timestamp": [1, 2, 3]}
    )
    with pytest.raises(DataError, match=r"'user_id', row 1 .*the id is empty"):
        Interactions.from_table(table)
