"""Numbers of items, by hand."""

from itertools import permutations

import numpy as np
import pyarrow as pa
import torch

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.models.item_numbers import number_items, number_texts
from lite_llm4rec.models.spectral import cluster_paths
from tests.conftest import ring_tables


def histories(*texts: str) -> Split:
    """One user per text, one item per letter."""
    rows = [(user, item, time) for user, text in enumerate(texts) for time, item in enumerate(text)]
    users, items, times = zip(*rows, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    return leave_one_out(Dataset.from_tables(table).interactions)


def test_original_numbers_count_along_whole_histories_test_items_included():
    """Items are 0…5 from a to f inside; the walk meets d, b, f, a, e, c."""
    assert number_items(histories("dbfdaefc"), "original", 0).tolist() == [4, 2, 6, 1, 5, 3]


def test_the_walk_goes_from_user_to_user_in_an_order_of_the_seed():
    texts = ("dbf", "dae", "fc")
    split = histories(*texts)
    walks = {"".join(dict.fromkeys("".join(order))) for order in permutations(texts)}
    found = {
        "".join("abcdef"[item] for item in number_items(split, "original", seed).argsort())
        for seed in range(30)
    }
    assert found == walks


def test_items_that_never_occur_come_last():
    log = histories("bca").interactions.renumber_items(pa.array(list("zaybc")))
    numbers = number_items(leave_one_out(log), "original", 0)
    assert numbers.tolist() == [4, 3, 5, 1, 2]


def test_random_numbers_are_a_seeded_permutation():
    split = leave_one_out(Dataset.from_tables(*ring_tables(100, 50, 5, seed=0)).interactions)
    first, again, other = (number_items(split, "random", seed) for seed in (1, 1, 2))
    assert sorted(first) == list(range(1, 51))
    assert (first == again).all()
    assert (first != other).any()


def test_collaborative_numbers_are_paths():
    split = leave_one_out(Dataset.from_tables(*ring_tables(100, 50, 5, seed=0)).interactions)
    paths = number_items(split, "collaborative", 3, clusters=4, size=10)
    assert np.array_equal(paths, cluster_paths(split, 4, 10, seed=3))
    assert len(set(number_texts(torch.from_numpy(paths)))) == 50
