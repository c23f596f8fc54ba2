"""The records of the paper's cells, as claims are judged by them."""

from collections.abc import Collection
from math import isclose
from pathlib import Path
from statistics import mean
from typing import Any

from lite_llm4rec.paper.cell import is_cut
from lite_llm4rec.paper.figure5 import HELD
from lite_llm4rec.paper.pairs import PAIRS, Pair
from lite_llm4rec.paper.rows import is_gpu, place
from lite_llm4rec.records import read_folder

POPULARITY = "Popularity"  # as its records name it


class Evidence:
    """The records of the paper's cells.

    Parameters
    ----------
    records : Path
        A folder with one subfolder per table or figure.
    """

    def __init__(self, records: Path) -> None:
        folders = sorted(path for path in records.glob("*") if path.is_dir())
        self._cells = [cell for folder in folders for cell in read_folder(folder)]

    def measured(self, exhibit: str, data: str, row: str) -> list[dict[str, Any]]:
        """Return the records of what was counted or timed in a cell, that of a GPU first."""
        wanted = (exhibit, data, row)
        found = [
            cell
            for cell in self._cells
            if (cell["experiment"], cell["dataset"], cell.get("row")) == wanted
            and cell.get("values")
        ]
        return sorted(found, key=lambda cell: not is_gpu(cell))

    def trained(self, exhibit: str, data: str, row: str) -> list[dict[str, Any]]:
        """Return the records of a system's trainings on a data set, one per seed."""
        wanted = (exhibit, data, row)
        return [
            cell
            for cell in self._cells
            if (cell["experiment"], cell["dataset"], cell.get("row")) == wanted
            and cell.get("metrics")
        ]

    def was_cut(self, exhibit: str, data: Collection[str], row: str) -> bool:
        """Whether a training of a system on one of these data sets ended by its budget."""
        return any(
            is_cut(cell)
            for cell in self._cells
            if (cell["experiment"], cell.get("row")) == (exhibit, row) and cell["dataset"] in data
        )

    def above_popularity(self, exhibit: str, data: str, row: str) -> bool:
        """Whether a system's Recall@10 is clearly above popularity's, or either is not known.

        Clearly: the lower end of its interval is, over the seeds' mean.
        """
        here = [
            cell
            for cell in self._cells
            if (cell["experiment"], cell["dataset"]) == (exhibit, data) and cell.get("metrics")
        ]
        popular = [one["metrics"]["recall@10"] for one in here if one["model"] == POPULARITY]
        own = [one["intervals"]["recall@10"][0] for one in self.trained(exhibit, data, row)]
        return not popular or not own or mean(own) > mean(popular)

    def writers(self) -> list[dict[str, Any]]:
        """Return the records of models that wrote ids freely, held neither to items nor to some."""
        return [
            cell
            for cell in self._cells
            if "malformed" in cell.get("metrics", {})
            and "settings" in cell  # a model, and no rule
            and not (cell["settings"]["model"]["constrained"] or cell["row"].endswith(HELD))
        ]

    def tests(self, pair: Pair) -> list[dict[str, Any]]:
        """Return the paired tests of two systems that are of their records as they are now."""
        found = [cell for cell in self._cells if cell["experiment"] == PAIRS]
        return [test for test in found if _is_of(test, pair) and self._is_current(test)]

    def is_alike(self, test: dict[str, Any]) -> bool:
        """Whether a test is of two whole trainings, or of two on processors of one kind.

        What a budget in minutes ends has learnt more on a faster one.
        """
        both = [
            cell
            for name in ("row", "other")
            for cell in self.trained(test["exhibit"], test["dataset"], test[name])
            if cell["seed"] == test["seed"]
        ]
        return not any(map(is_cut, both)) or len(set(map(place, both))) == 1

    def untested(self, pair: Pair) -> list[str]:
        """Name the data sets that two systems were trained on with a seed that has no test."""
        tested = {(one["dataset"], one["seed"]) for one in self.tests(pair)}
        first, second = (self._seeds(pair.exhibit, name) for name in (pair.better, pair.other))
        return sorted({data for data, _ in first & second - tested})

    def _seeds(self, exhibit: str, row: str) -> set[tuple[str, int]]:
        return {
            (cell["dataset"], cell["seed"])
            for cell in self._cells
            if (cell["experiment"], cell.get("row")) == (exhibit, row) and cell.get("metrics")
        }

    def _is_current(self, test: dict[str, Any]) -> bool:
        """Whether a test's difference is that of the two records, which may be newer than it."""
        first, second = (
            [
                one["metrics"][test["metric"]]
                for one in self.trained(test["exhibit"], test["dataset"], test[name])
                if one["seed"] == test["seed"]
            ]
            for name in ("row", "other")
        )
        if not first or not second:  # nothing that it could be held against
            return True
        return isclose(first[0] - second[0], test["values"]["difference"], abs_tol=1e-6)


def _is_of(test: dict[str, Any], pair: Pair) -> bool:
    """Whether a record is a test of this pair."""
    return Pair(test["exhibit"], test["row"], test["other"], test["metric"]) == pair
