"""Table 3: how large the data sets are."""

from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.records import write_values


def count(cell: Cell, bench: Bench) -> None:
    """Count users, items and interactions, with and without each user's test item."""
    log = bench.dataset(cell.data).interactions
    n_items = log.n_items
    values = {
        "users": log.n_users,
        "items": n_items,
        "interactions": len(log),
        "interactions without the test items": len(log) - log.n_users,
        "density": len(log) / log.n_users / n_items,
    }
    details = {**cell.about(), "sequences_sha256": log.sequences_sha256}
    write_values(cell.record(bench), values, details)
