"""Clusters of items that share users: worlds whose clusters are known."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, leave_one_out
from lite_llm4rec.models.spectral import cluster_paths

GROUPS, EACH = 4, 12


def worlds(strays: float = 0.0) -> tuple[Split, np.ndarray]:
    """Users of four groups, each of which takes items of its own twelve, strays aside.

    The group of each item is returned beside.
    """
    rng = np.random.default_rng(0)
    names = rng.permutation(GROUPS * EACH)
    rows = []
    for user in range(120):
        for time, item in enumerate(rng.permutation(EACH)[:8]):
            group = rng.integers(GROUPS) if rng.random() < strays else user % GROUPS
            rows.append((user, f"i{names[group * EACH + item]:02}", time))
    users, items, times = zip(*rows, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    split = leave_one_out(Dataset.from_tables(table).interactions)
    numbers = [int(name.as_py()[1:]) for name in split.interactions.item_ids]
    return split, np.argsort(names)[numbers] // EACH


@pytest.mark.parametrize("strays", [0.0, 0.2])
def test_items_that_share_users_share_the_first_part(strays: float):
    split, groups = worlds(strays)
    paths = cluster_paths(split, GROUPS, EACH, seed=0)
    assert paths.shape == (GROUPS * EACH, 2)
    for group in range(GROUPS):
        part = paths[groups == group]
        assert len(set(part[:, 0])) == 1
        assert sorted(part[:, 1]) == list(range(EACH))
    assert sorted(set(paths[:, 0])) == list(range(GROUPS))


def test_clusters_of_clusters():
    """Two clusters hold two groups each, which the second cut finds."""
    split, groups = worlds()
    paths = cluster_paths(split, 2, EACH, seed=0)
    for group in range(GROUPS):
        shared = paths[groups == group][:, : paths.shape[1] - 1]
        whole = [row[row >= 0] for row in paths[groups == group]]
        assert len({tuple(row[:-1]) for row in whole}) == 1
        assert len(shared) == EACH


def test_every_item_has_a_path_of_its_own_whatever_the_sizes():
    split, _ = worlds(0.5)
    for clusters, size in ((2, 2), (3, 5), (50, 100), (5, 47), (60, 2)):
        paths = cluster_paths(split, clusters, size, seed=1)
        whole = {tuple(part for part in row if part >= 0) for row in paths.tolist()}
        assert len(whole) == GROUPS * EACH
        assert not any(longer[: len(path)] == path for path in whole for longer in whole - {path})
        assert max(Counter(path[:-1] for path in whole).values()) <= size


def test_it_is_a_function_of_its_seed():
    split, _ = worlds(0.3)
    first, again = (cluster_paths(split, 3, 5, seed=7) for _ in range(2))
    assert (first == again).all()


def test_items_that_training_tells_nothing_of_are_a_cluster():
    """Items d, h and l are of the test alone, c, g and k of the validation."""
    texts = ["abcd", "efgh", "ijkl"]
    rows = [(user, item, time) for user, text in enumerate(texts) for time, item in enumerate(text)]
    users, items, times = zip(*rows, strict=True)
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    paths = cluster_paths(leave_one_out(Dataset.from_tables(table).interactions), 3, 6, seed=0)
    first = dict(zip("abcdefghijkl", paths[:, 0].tolist(), strict=True))
    assert len({first[item] for item in "cdghkl"}) == 1
    pairs = [{first[item] for item in pair} for pair in ("ab", "ef", "ij")]
    assert [len(pair) for pair in pairs] == [1, 1, 1]
    assert len(set.union(*pairs, {first["c"]})) == 4


def test_held_out_items_tell_nothing():
    split, _ = worlds(0.2)
    log = split.interactions
    other = log.items.copy()
    for targets in (split.valid, split.test):
        other[targets.positions] = np.roll(other[targets.positions], 7)
    changed = leave_one_out(replace(log, items=other))
    assert (other != log.items).any()
    assert (cluster_paths(split, 3, 5, 0) == cluster_paths(changed, 3, 5, 0)).all()
