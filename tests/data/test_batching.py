import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lite_llm4rec.data.batching import from_lists, make_batch, pad

ITEMS = np.array([5, 6, 7, 8, 9, 4], np.int32)


def test_a_batch_by_hand() -> None:
    batch = make_batch(ITEMS, np.array([0, 4]), np.array([3, 5]))
    assert batch.items.dtype == batch.targets.dtype == torch.int64
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.items[0].tolist() == [5, 6, 7]
    assert batch.items[1, 0].item() == 9
    assert batch.targets.tolist() == [8, 4]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)).filter(lambda p: p[0] < p[1])))
def test_a_batch_holds_what_its_examples_hold_one_by_one(pairs: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in pairs], np.int64)
    targets = np.array([target for _, target in pairs], np.int64)
    batch = make_batch(ITEMS, starts, targets)
    assert (
        batch.items.shape
        == batch.mask.shape
        == (len(pairs), int((targets - starts).max(initial=1)))
    )
    for row, (start, target) in enumerate(pairs):
        alone = make_batch(ITEMS, starts[row : row + 1], targets[row : row + 1])
        assert alone.mask.all()
        assert torch.equal(batch.items[row][batch.mask[row]], alone.items[0])
        assert alone.items[0].tolist() == ITEMS[start:target].tolist()
        assert batch.targets[row].item() == alone.targets[0].item() == ITEMS[target]


def test_padding_comes_last_and_stands_for_some_item_that_can_be_looked_up() -> None:
    items, mask = pad(ITEMS, np.array([5, 0]), np.array([6, 4]))
    assert mask.tolist() == [[True, False, False, False], [True, True, True, True]]
    assert set(items.flatten().tolist()) <= set(ITEMS.tolist())


def test_lists_keep_their_last_items() -> None:
    histories = [np.array([1, 2, 3]), np.array([9]), np.array([4, 5])]
    items, mask = from_lists(histories, 2)
    assert mask.tolist() == [[True, True], [True, False], [True, True]]
    assert items[mask].tolist() == [2, 3, 9, 4, 5]


def test_moving_a_batch_keeps_it() -> None:
    batch = make_batch(ITEMS, np.array([0]), np.array([2]))
    moved = batch.to("meta")
    assert {moved.items.device.type, moved.mask.device.type, moved.targets.device.type} == {"meta"}
    assert torch.equal(batch.to("cpu").items, batch.items)


def test_users_are_those_of_the_targets():
    items, users = np.array([5, 6, 7, 8]), np.array([3, 3, 4, 4], np.int32)
    batch = make_batch(items, np.array([0, 2]), np.array([1, 3]), users)
    assert batch.users is not None
    assert batch.users.tolist() == [3, 4]
    assert batch.to("cpu").users is batch.users
    assert make_batch(items, np.array([0]), np.array([1])).users is None
