import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from lite_llm4rec.data.synthetic import LONGEST, SHORTEST, Synthetic, big_log, make
from lite_llm4rec.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def world() -> Synthetic:
    return make(users=3000, seed=1)


@pytest.fixture(scope="module")
def last_left_out(world):
    return [h[:-1] for h in world.histories], np.array([h[-1] for h in world.histories])


def series_of(world):
    """The rows of each series, in the order of its parts, as the titles tell it."""
    found = {}
    for row, title in enumerate(world.items["title"].to_pylist()):
        if match := re.fullmatch(r"(.*), Part (\d)", title):
            found.setdefault(match[1], {})[int(match[2])] = row
    return [[parts[n] for n in sorted(parts)] for parts in found.values()]


def test_tables(world):
    log, items = world.interactions, world.items
    assert items.schema.types == [pa.string()] * 3
    assert log.schema.types == [pa.string(), pa.string(), pa.int64()]
    assert items.num_rows == 300
    assert len(set(items["title"].to_pylist())) == len(set(items["item_id"].to_pylist())) == 300
    assert len(series_of(world)) == 60
    assert {len(parts) for parts in series_of(world)} == {4}
    times = log["timestamp"].to_numpy()
    assert (np.diff(times) >= 0).all()


def test_log_and_histories_agree(world):
    row = {name: n for n, name in enumerate(world.items["item_id"].to_pylist())}
    found = {}
    for event in world.interactions.to_pylist():
        found.setdefault(event["user_id"], []).append((event["timestamp"], row[event["item_id"]]))
    assert len(found) == len(world.histories) == 3000
    for user, history in zip(sorted(found), world.histories, strict=True):
        times, items = zip(*found[user], strict=True)
        assert (np.diff(times) > 0).all()
        assert list(items) == history.tolist()
        assert len(set(items)) == len(items)
        assert SHORTEST <= len(items) <= LONGEST


def test_probabilities_sum_to_one_and_skip_the_seen(world):
    for history in world.histories[:300]:
        for length in (0, 1, 2, len(history)):
            chances = world.next_probabilities(history[:length])
            assert chances.sum() == pytest.approx(1, abs=1e-12)
            assert (chances >= 0).all()
            assert (chances > 0).sum() == 300 - length
            assert (chances[history[:length]] == 0).all()


def by_hand(world, history):
    """The rule of `Synthetic`, from the tables alone, item by item."""
    series, titles = series_of(world), world.items["title"].to_pylist()
    genres = world.items["genre"].to_pylist()
    order = ["Sea Adventure", "Space", "Crime", "Fantasy", "Romance", "Western", "Horror"]
    order += ["Cookery"]
    chances, left, last = np.zeros(300), 1.0, history[-1]
    mine = next((parts for parts in series if last in parts), [last])
    unread = [row for row in mine[mine.index(last) + 1 :] if row not in history]
    if unread:
        chances[unread[0]] += world.p_next
        left -= world.p_next
    target = genres[last]
    if len(history) > 1 and genres[history[-2]] == target:
        target = order[(order.index(target) + 1) % len(order)]
    openers = [
        row
        for row in range(300)
        if titles[row].endswith("Part 1") and genres[row] == target and row not in history
    ]
    if openers:
        share = left - (1 - world.p_next - world.p_genre)
        weights = world.popularity[openers]
        chances[openers] += share * weights / weights.sum()
        left -= share
    rest = [row for row in range(300) if row not in history]
    chances[rest] += left * world.popularity[rest] / world.popularity[rest].sum()
    return chances


def test_probabilities_are_the_rule(world):
    histories = [history[:n] for history in world.histories[:60] for n in (1, 2, 5, len(history))]
    every_first = [parts[0] for parts in series_of(world)]
    for history in [*histories, every_first]:
        history = [int(item) for item in history]
        np.testing.assert_allclose(
            world.next_probabilities(history), by_hand(world, history), atol=1e-12
        )


def test_order_matters(world):
    (first, *_), (second, after_second, *_) = series_of(world)[:2]
    assert world.next_probabilities([first, second])[after_second] > world.p_next
    assert world.next_probabilities([second, first])[after_second] < 0.1
    changed = [
        np.abs(world.next_probabilities(h) - world.next_probabilities(h[::-1])).sum() > 0.1
        for h in world.histories[:200]
    ]
    assert np.mean(changed) > 0.9


def test_more_than_the_last_item_matters(world):
    genres = world.items["genre"].to_pylist()
    mine, *others = series_of(world)
    same = next(s for s in others if genres[s[0]] == genres[mine[0]])
    other = next(s for s in others if genres[s[0]] != genres[mine[0]])
    stays = world.next_probabilities([other[1], mine[1]])
    moves = world.next_probabilities([same[1], mine[1]])
    assert stays[same[0]] > 3 * moves[same[0]]
    assert np.abs(stays - moves).sum() > world.p_genre


def test_the_log_was_drawn_from_the_probabilities(world):
    """Mean log-likelihood against expected entropy, over 3,000 users' random positions."""
    rng = np.random.default_rng(0)
    surprise, entropy = [], []
    for history in world.histories:
        length = int(rng.integers(0, len(history)))
        chances = world.next_probabilities(history[:length])
        positive = chances[chances > 0]
        surprise.append(-np.log(chances[history[length]]))
        entropy.append(-(positive * np.log(positive)).sum())
    difference = np.array(surprise) - np.array(entropy)
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(difference))


def test_the_log_is_calibrated(world, last_left_out):
    """Chi-square over bins of items ranked by probability: 1st, 2nd–4th, 5th–10th, the rest."""
    histories, targets = last_left_out
    expected, observed = np.zeros(4), np.zeros(4)
    bins = np.repeat(np.arange(4), [1, 3, 6, 290])
    for history, target in zip(histories, targets, strict=True):
        chances = world.next_probabilities(history)
        ranked = np.argsort(-chances, kind="stable")
        expected += np.bincount(bins, weights=chances[ranked])
        observed[bins[np.flatnonzero(ranked == target)[0]]] += 1
    assert ((observed - expected) ** 2 / expected).sum() < 16.3  # 3 degrees of freedom, 0.1 %


def test_bound(world, last_left_out):
    histories, targets = last_left_out
    bound = world.bound(histories, targets, 10)
    assert 0.6 < bound.recall < 0.8
    assert bound.ndcg < bound.recall
    error = np.sqrt(bound.recall * (1 - bound.recall) / len(targets))
    assert abs(bound.realised_recall - bound.recall) < 4 * error
    assert abs(bound.realised_ndcg - bound.ndcg) < 4 * error
    chances = np.sort(world.next_probabilities(histories[0]))[::-1][:10]
    one = world.bound(histories[:1], targets[:1], 10)
    assert one.recall == pytest.approx(chances.sum())
    assert one.ndcg == pytest.approx((chances / np.log2(np.arange(10) + 2)).sum())
    assert world.bound(histories[:9], targets[:9], 300).realised_recall == 1


def test_popularity_is_far_below(world, last_left_out):
    histories, targets = last_left_out
    counts = np.bincount(np.concatenate(histories), minlength=300).astype(float)
    hits = 0
    for history, target in zip(histories, targets, strict=True):
        scores = counts.copy()
        scores[history] = -1
        hits += target in np.argsort(-scores)[:10]
    assert hits / len(targets) < 0.15


def test_every_series_occurs_often(world):
    counts = np.bincount(np.concatenate(world.histories), minlength=300)
    assert min(counts[parts].sum() for parts in series_of(world)) > 200


def test_ids_and_rows_do_not_reveal_the_order(world):
    ids = np.array(world.items["item_id"].to_pylist())
    for key in (ids.argsort().argsort(), np.arange(300)):
        steps = [
            key[later] > key[former] for s in series_of(world) for former, later in pairwise(s)
        ]
        assert 0.35 < np.mean(steps) < 0.65
        assert abs(np.corrcoef(key, world.popularity)[0, 1]) < 0.2
        assert abs(np.corrcoef(key, world.genre)[0, 1]) < 0.2


def test_seed():
    one, again, other = make(50, seed=3), make(50, seed=3), make(50, seed=4)
    assert one.items.equals(again.items)
    assert one.interactions.equals(again.interactions)
    assert not one.items.equals(other.items)
    assert not one.interactions.equals(other.interactions)
    assert make(10, seed=3).items.equals(one.items)


@pytest.mark.parametrize(
    "wrong",
    [
        {"users": 0},
        {"parts": 1},
        {"singles": -1},
        {"series": 2000},
        {"series": 2, "parts": 2, "singles": 0},
        {"p_next": 0.7},
        {"p_genre": -0.1},
    ],
)
def test_impossible_worlds(wrong):
    with pytest.raises(ConfigError):
        make(**wrong)


def test_impossible_questions(world):
    with pytest.raises(DataError, match="outside"):
        world.next_probabilities([300])
    with pytest.raises(DataError, match="every item"):
        world.next_probabilities(range(300))
    with pytest.raises(DataError, match="cannot be measured"):
        world.bound([], [], 10)


def test_another_size():
    small = make(20, series=6, parts=3, singles=4, p_next=0.0, p_genre=0.0, seed=0)
    assert small.items.num_rows == 22
    chances = small.next_probabilities([0])
    np.testing.assert_allclose(chances[1:], small.popularity[1:] / small.popularity[1:].sum())
    assert make(1, series=1000, parts=2, singles=24).items.num_rows == 2024


def test_nothing_left_of_a_genre_goes_to_all(world):
    few = make(20, series=1, parts=2, singles=30, seed=0)
    chances = few.next_probabilities(series_of(few)[0])
    left = np.where(chances > 0, few.popularity, 0)
    np.testing.assert_allclose(chances, left / left.sum())


def test_big_log():
    log = big_log(1000, 200, 1_100_000, seed=1)
    assert log.schema.names == ["user_id", "item_id", "timestamp"]
    assert log.schema.types == [pa.int64()] * 3
    assert log.num_rows == 1_100_000
    assert (np.diff(log["timestamp"].to_numpy()) >= 0).all()
    users, items = log["user_id"].to_numpy(), log["item_id"].to_numpy()
    assert users.min() >= 0 and users.max() < 1000 and items.min() >= 0 and items.max() < 200
    assert (np.diff(users[:1000]) < 0).any()
    counts = np.sort(np.bincount(items, minlength=200))[::-1]
    assert counts[:20].sum() > 0.4 * counts.sum()
    assert log.equals(big_log(1000, 200, 1_100_000, seed=1))
    assert not log.equals(big_log(1000, 200, 1_100_000, seed=2))
    with pytest.raises(ConfigError):
        big_log(0, 1, 1)
