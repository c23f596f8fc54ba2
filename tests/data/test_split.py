import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.split import (
    Split,
    Targets,
    by_time,
    cold_start,
    last_n,
    leave_one_out,
)
from lite_llm4rec.errors import DataError

DAY = 86_400


def log_of(histories: list[list[int]], times: list[list[int]] | None = None) -> Interactions:
    """A log whose user `u` has `histories[u]`; times 1, 2, 3… days unless given."""
    times = times or [[(n + 1) * DAY for n in range(len(history))] for history in histories]
    rows = [
        (user, item, time)
        for user, history in enumerate(histories)
        for item, time in zip(history, times[user], strict=True)
    ]
    users, items, stamps = zip(*rows, strict=True)
    return Interactions.from_table(
        pa.table({"user_id": users, "item_id": items, "timestamp": stamps})
    )


def cases(log: Interactions, targets: Targets) -> list[tuple[int, list[int], int]]:
    """(user, history, target) of each case, as the caller's ids."""
    ids = log.item_ids.to_numpy()
    return [
        (int(user), ids[log.items[start:position]].tolist(), int(ids[log.items[position]]))
        for user, start, position in zip(
            targets.users, targets.starts, targets.positions, strict=True
        )
    ]


def trained(split: Split) -> list[list[int]]:
    log = split.interactions
    ids = log.item_ids.to_numpy()
    return [
        ids[log.items[begin:end]].tolist()
        for begin, end in zip(log.offsets[:-1], split.train_ends, strict=True)
    ]


HISTORIES = [[10, 11, 12, 13], [12, 10], [11, 13, 10]]


def test_leave_one_out_by_hand() -> None:
    log = log_of(HISTORIES)
    split = leave_one_out(log)
    assert split.name == "leave_one_out"
    assert trained(split) == [[10, 11], [12, 10], [11]]
    assert cases(log, split.valid) == [(0, [10, 11], 12), (2, [11], 13)]
    assert cases(log, split.test) == [(0, [10, 11, 12], 13), (2, [11, 13], 10)]
    assert split.train_items().tolist() == [0, 1, 2, 0, 1]
    assert split.train_counts().tolist() == [2, 2, 1, 0]


def test_last_two_by_hand() -> None:
    log = log_of([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4]])
    split = last_n(log, 2)
    assert split.name == "last_2"
    assert trained(split) == [[1, 2], [1, 2, 3, 4]]
    assert cases(log, split.valid) == [(0, [1, 2], 3), (0, [1, 2, 3], 4)]
    assert cases(log, split.test) == [(0, [1, 2, 3, 4], 5), (0, [1, 2, 3, 4, 5], 6)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_training_validation_and_test_make_up_the_log(lengths: list[int], n: int) -> None:
    log = log_of([list(range(length)) for length in lengths])
    if max(lengths) < 2 * n + 1:
        with pytest.raises(DataError, match=f"No user has the {2 * n + 1} interactions"):
            last_n(log, n)
        return
    split = last_n(log, n)
    train = np.concatenate(
        [np.arange(a, b) for a, b in zip(log.offsets[:-1], split.train_ends, strict=True)]
    )
    parts = np.concatenate([train, split.valid.positions, split.test.positions])
    assert sorted(parts.tolist()) == list(range(len(log)))
    assert (split.valid.positions >= split.train_ends[split.valid.users]).all()
    assert len(split.valid) == len(split.test) == n * sum(length > 2 * n for length in lengths)


def test_last_n_needs_a_target() -> None:
    with pytest.raises(DataError, match="at least 1 target per user, not 0"):
        last_n(log_of(HISTORIES), 0)


def test_take_keeps_cases_in_the_order_asked_for() -> None:
    log = log_of(HISTORIES)
    test = leave_one_out(log).test.take(np.array([1, 0]))
    assert cases(log, test) == [(2, [11, 13], 10), (0, [10, 11, 12], 13)]


TIMES = [[1, 5, 11, 12, 21, 22], [2, 23], [13, 14], [24, 25]]
TIMED = [[1, 2, 3, 4, 5, 6], [1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_by_time_by_hand_in_every_unit(unit: int) -> None:
    begin = 1_700_000_000
    log = log_of(TIMED, [[(begin + day * DAY) * unit for day in days] for days in TIMES])
    split = by_time(log, begin + 10 * DAY, begin + 20 * DAY)
    assert trained(split) == [[1, 2], [1], [], []]
    # User 2 has nothing before day 10, user 3 nothing before day 20: no history to go by.
    assert cases(log, split.valid) == [(0, [1, 2], 3)]
    assert cases(log, split.test) == [(0, [1, 2, 3, 4], 5), (1, [1], 2)]


def test_a_cut_belongs_to_the_later_period() -> None:
    log = log_of([[1, 2, 3]], [[100, 200, 300]])
    split = by_time(log, 200, 300)
    assert trained(split) == [[1]]
    assert cases(log, split.valid) == [(0, [1], 2)]
    assert cases(log, split.test) == [(0, [1, 2], 3)]


@pytest.mark.parametrize("cuts", [(300, 200), (50, 200), (200, 400), (150, 160), (200, 200)])
def test_empty_periods_are_refused_with_the_logs_range(cuts: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"times run from 100 \(1970-01-01\) to 300 \(1970"):
        by_time(log_of([[1, 2, 3]], [[100, 200, 300]]), *cuts)


def test_periods_that_share_no_user_leave_nothing_to_predict() -> None:
    log = log_of([[1, 2], [1, 2], [1, 2]], [[100, 110], [200, 210], [300, 310]])
    with pytest.raises(DataError, match="in the valid period, so that there is nothing"):
        by_time(log, 150, 250)


def test_positions_are_no_times_to_cut_at() -> None:
    log = log_of([[1, 2, 3]], [[0, 1, 2]])
    with pytest.raises(DataError, match="only a position") as caught:
        by_time(log, 1, 2)
    assert caught.value.remedy == "Use leave_one_out or last_n."


@given(
    st.lists(st.lists(st.integers(10, 16), min_size=1, max_size=8), min_size=1, max_size=6).filter(
        lambda histories: max(map(len, histories)) >= 3
    ),
    st.sampled_from([0.2, 0.5]),
    st.integers(0, 5),
)
def test_cold_items_leave_training_and_are_still_predicted(
    histories: list[list[int]], share: float, seed: int
) -> None:
    whole = leave_one_out(log_of(histories))
    try:
        split = cold_start(whole, share, seed)
    except DataError:
        return
    trained = set(np.flatnonzero(whole.train_counts()).tolist())
    left = set(np.flatnonzero(split.train_counts()).tolist())
    cold = trained - left
    assert len(cold) == round(share * len(trained))
    before, after = cases(whole.interactions, whole.test), cases(split.interactions, split.test)
    ids = whole.interactions.item_ids.to_pylist()
    gone = {ids[item] for item in cold}
    expected = [
        ([*[item for item in history[:-1] if item not in gone], history[-1]], target)
        for _, history, target in before
    ]
    assert [case[1:] for case in after] == expected
    assert all(target not in gone for _, _, target in cases(split.interactions, split.valid))
    assert all(history for _, history, _ in cases(split.interactions, split.valid))


@pytest.mark.parametrize("share", [-0.1, 0.0, 1.0, 1.5])
def test_a_share_of_cold_items_is_between_0_and_1(share: float) -> None:
    with pytest.raises(DataError, match="share of cold items"):
        cold_start(leave_one_out(log_of(HISTORIES)), share, 0)


def test_what_is_no_log_and_no_time_is_told(ring: Dataset):
    with pytest.raises(DataError, match=r"not a Dataset[\s\S]*its interactions"):
        last_n(ring, 2)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"not a Dataset[\s\S]*its interactions"):
        leave_one_out(ring)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"seconds since 1970, not '1998-01-01'"):
        by_time(ring.interactions, "1998-01-01", "1998-02-01")  # type: ignore[arg-type]
