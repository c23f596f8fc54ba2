"""Appending copies what is appended, and harms nothing that was returned before."""

import torch

from lite_llm4rec.models.room import Room


def rows(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None]


def test_rows_come_behind_the_table():
    room, table = Room(), rows(1, 2)
    for value in range(3, 40):
        table = room.append(table, rows(value))
    assert table[:, 0].tolist() == list(range(1, 40))


def test_only_a_full_room_is_left():
    room, table, places = Room(), torch.zeros(100, 1), set()
    for value in range(100):
        table = room.append(table, rows(value))
        places.add(table.data_ptr())
    assert 2 <= len(places) <= 8


def test_a_table_from_elsewhere_is_not_written_behind():
    whole = rows(1, 2, 3, 4)
    room = Room()
    assert room.append(whole[:2], rows(9))[:, 0].tolist() == [1, 2, 9]
    assert whole[:, 0].tolist() == [1, 2, 3, 4]


def test_two_tables_from_one_keep_their_own_rows():
    room, first = Room(), rows(*range(50))
    grown = room.append(first, rows(50))
    one, other = room.append(grown, rows(1)), room.append(grown, rows(2))
    assert one[-1] == 1
    assert other[-1] == 2


def test_a_table_of_another_kind():
    room = Room()
    room.append(rows(1.0), rows(2.0))
    assert room.append(torch.tensor([[True]]), torch.tensor([[False]])).dtype is torch.bool
