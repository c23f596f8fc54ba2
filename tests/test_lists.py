import pyarrow as pa
import pytest

from lite_llm4rec.errors import DataError
from lite_llm4rec.lists import Recommendations, as_lists

FIRST = Recommendations(
    ["u", "v"],
    [[7, 3], [9]],
    [["Seven", "Three"], ["Nine"]],
    [[2.5, 1.0], [-0.25]],
    ["", "short"],
)
SECOND = Recommendations(["w"], [[]], [[]], [[]], [""])

KNOWN = pa.array(["a", "b"])


def test_one_row_per_recommendation():
    assert FIRST.to_table().to_pylist() == [
        {"user": "u", "rank": 1, "item_id": 7, "title": "Seven", "score": 2.5, "note": ""},
        {"user": "u", "rank": 2, "item_id": 3, "title": "Three", "score": 1.0, "note": ""},
        {"user": "v", "rank": 1, "item_id": 9, "title": "Nine", "score": -0.25, "note": "short"},
    ]


def test_without_users_a_history_is_known_by_its_place():
    nameless = Recommendations(None, FIRST.ids, FIRST.titles, FIRST.scores, FIRST.notes)
    assert nameless.to_table()["user"].to_pylist() == [0, 0, 1]
    assert str(nameless).startswith("history 1:\n  1. Seven  [7]  2.500\n")


def test_printed():
    assert str(FIRST) == (
        "u:\n  1. Seven  [7]  2.500\n  2. Three  [3]  1.000\nv (short):\n  1. Nine  [9]  -0.250"
    )


def test_parts_are_joined_in_order():
    joined = Recommendations.join([FIRST, SECOND])
    assert joined.users == ["u", "v", "w"]
    assert joined.ids == [[7, 3], [9], []]
    assert len(joined) == 3
    assert joined.to_table().num_rows == 3
    assert Recommendations.join([]) == Recommendations(None, [], [], [], [])
    nameless = Recommendations(None, [[1]], [["One"]], [[0.0]], [""])
    assert Recommendations.join([nameless, nameless]).users is None


def test_a_table_is_cut_into_histories_in_time_order():
    log = pa.table({"user_id": [2, 1, 2], "item_id": ["b", "c", "a"], "timestamp": [20, 5, 10]})
    users, lists = as_lists(log, KNOWN)
    assert users is not None
    assert list(users) == [2, 1]
    assert list(lists) == [["a", "b"], ["c"]]


def test_lists_are_taken_as_they_come():
    users, lists = as_lists(iter([["a"], ("b", "c"), []]), KNOWN)
    assert users is None
    assert list(lists) == [["a"], ("b", "c"), []]


@pytest.mark.parametrize("flat", [["abc"], [1], [b"abc"], [None]])
def test_a_flat_list_is_refused(flat):
    _, lists = as_lists(flat, KNOWN)
    with pytest.raises(DataError, match="should be a list of item ids"):
        list(lists)
