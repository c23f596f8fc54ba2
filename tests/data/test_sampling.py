import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.sampling import (
    STRATEGIES,
    Examples,
    bucket,
    every_position,
    every_prefix,
    random_segment,
)
from lite_llm4rec.data.split import Split, leave_one_out

LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=6).filter(lambda ls: max(ls) >= 3)


def split_of(lengths: list[int]) -> Split:
    """A log of users with so many interactions; the item of each is its place in the log."""
    users = np.repeat(np.arange(len(lengths)), lengths)
    items = np.arange(len(users))
    table = pa.table({"user_id": users, "item_id": items, "timestamp": items + 1_000})
    return leave_one_out(Interactions.from_table(table))


def pairs(examples: Examples) -> list[tuple[int, int]]:
    return list(zip(examples.starts.tolist(), examples.targets.tolist(), strict=True))


@given(LENGTHS, st.integers(1, 5), st.integers(0, 9))
def test_segments_stay_within_a_users_training_part(
    lengths: list[int], history_length: int, epoch: int
) -> None:
    split = split_of(lengths)
    log = split.interactions
    examples = random_segment(split, history_length, 0, epoch)
    users = log.users[examples.targets]
    assert (log.users[examples.starts] == users).all()
    assert (examples.targets < split.train_ends[users]).all()
    assert (examples.starts < examples.targets).all()
    assert (examples.targets - examples.starts <= history_length).all()
    able = split.train_ends - log.offsets[:-1] >= 2
    assert sorted(users.tolist()) == np.flatnonzero(able).tolist()


def test_every_segment_is_reached_and_targets_are_as_likely_as_they_should_be() -> None:
    split = split_of([6])  # trains on positions 0…3
    draws = [pairs(random_segment(split, 2, 0, epoch))[0] for epoch in range(3_000)]
    assert set(draws) == {(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)}
    # The start is uniform over 0, 1, 2, then the target over what follows it.
    share = np.bincount([target for _, target in draws], minlength=4) / len(draws)
    assert share[1:] == pytest.approx([1 / 9, 5 / 18, 11 / 18], abs=0.03)


def test_every_prefix_by_hand() -> None:
    split = split_of([5, 2, 6])  # trains on 0…2, 5…6 and 7…10
    examples = every_prefix(split, 2, 0, 0)
    assert sorted(pairs(examples)) == [(0, 1), (0, 2), (5, 6), (7, 8), (7, 9), (8, 10)]


@given(LENGTHS)
def test_every_prefix_counts_the_training_interactions_less_one_per_user(
    lengths: list[int],
) -> None:
    split = split_of(lengths)
    expected = int((split.train_ends - split.interactions.offsets[:-1] - 1).sum())
    assert len(every_prefix(split, 20, 0, 0)) == expected


@pytest.mark.parametrize("name", ["sampling", "all"])
def test_an_epoch_is_a_function_of_seed_and_epoch(name: str) -> None:
    split = split_of([9, 8, 7, 9, 9])
    draw = STRATEGIES[name]
    first = pairs(draw(split, 5, 1, 3))
    assert pairs(draw(split, 5, 1, 3)) == first
    assert pairs(draw(split, 5, 1, 4)) != first
    assert pairs(draw(split, 5, 2, 3)) != first


def test_take_keeps_examples_in_the_order_asked_for() -> None:
    examples = Examples(np.array([0, 1, 2]), np.array([3, 4, 5]))
    assert pairs(examples.take(np.array([2, 0]))) == [(2, 5), (0, 3)]
    assert len(examples) == 3


@given(LENGTHS, st.integers(1, 5), st.integers(0, 9))
def test_windows_teach_each_training_target_exactly_once(
    lengths: list[int], history_length: int, epoch: int
) -> None:
    split = split_of(lengths)
    log = split.interactions
    examples = every_position(split, history_length, 0, epoch)
    taught = [position for start, end in pairs(examples) for position in range(start + 1, end + 1)]
    users = log.users
    able = np.arange(len(log)) > log.offsets[:-1][users]
    assert (
        sorted(taught)
        == np.flatnonzero(able & (np.arange(len(log)) < split.train_ends[users])).tolist()
    )
    assert all(users[start] == users[end] for start, end in pairs(examples))
    assert (examples.targets - examples.starts <= history_length).all()
    assert len(examples) == len(every_position(split, history_length, 1, epoch + 1))


def test_windows_are_cut_elsewhere_in_another_epoch() -> None:
    split = split_of([40, 3])
    cuts = {tuple(sorted(pairs(every_position(split, 16, 0, epoch)))) for epoch in range(20)}
    assert len(cuts) > 5


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 7))
def test_buckets_hold_every_example_once_and_like_lengths_together(
    lengths: list[int], batch: int
) -> None:
    lengths = lengths * batch  # whole batches only: a smaller last one may hold the longest
    starts = np.arange(len(lengths)) * 100
    examples = Examples(starts, starts + lengths)
    found = bucket(examples, batch, 0, 0)
    assert sorted(pairs(found)) == pairs(examples)
    padded = sum(
        max(part) * len(part) for part in _batches((found.targets - found.starts).tolist(), batch)
    )
    plain = sum(max(part) * len(part) for part in _batches(lengths, batch))
    assert padded <= plain


def _batches(values: list[int], size: int) -> list[list[int]]:
    return [values[place : place + size] for place in range(0, len(values), size)]
