"""Tables that grow at their end: catalogues get new items one by one, and copies take long."""

import torch

SPARE = 8  # a new place for a table has room for an eighth more


class Room:
    """Holds one table, and room for rows behind it."""

    def __init__(self) -> None:
        self._place = torch.empty(0)
        self._end = 0

    @torch.no_grad()
    def append(self, table: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return `table` (N, …) with `rows` (n, …) behind it.

        The table is copied only when it is not what was returned last, or the room is full; what
        was returned before keeps its values.
        """
        end = len(table) + len(rows)
        if not self._holds(table) or end > len(self._place):
            self._place = table.new_empty(end + end // SPARE, *table.shape[1:])
            self._place[: len(table)] = table
        self._place[len(table) : end] = rows
        self._end = end
        return self._place[:end]

    def _holds(self, table: torch.Tensor) -> bool:
        held = self._place[: self._end]
        return table.data_ptr() == held.data_ptr() and table.shape == held.shape
