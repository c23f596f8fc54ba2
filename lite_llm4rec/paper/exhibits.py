"""The paper's tables and figures, each as the cells that it is made of."""

from collections.abc import Callable, Sequence
from functools import partial

from lite_llm4rec.errors import ConfigError, nearest
from lite_llm4rec.paper.cell import Cell
from lite_llm4rec.paper.counts import count
from lite_llm4rec.paper.published import METRICS, TABLE_3, TABLE_7
from lite_llm4rec.paper.systems import SYSTEMS, System, train_system

Seeds = Sequence[int]
SBERT = 'text.model="sentence-transformers/all-MiniLM-L6-v2"'


def _table7(row: str) -> dict[str, tuple[float, ...]]:
    return {"ml-1m": TABLE_7[row]}


ITEM_LLMS = (
    System("T5-small", "paper", published=_table7("T5-small"), gpu=True),
    System(
        "T5-base",
        "paper",
        ('text.model="google-t5/t5-base"',),
        published=_table7("T5-base"),
        gpu=True,
    ),
    System(
        "BERT",
        "paper",
        ('text.model="google-bert/bert-base-uncased"', 'text.pooling="pooler"'),
        published=_table7("BERT"),
        gpu=True,
    ),
    System("Sbert", "paper", (SBERT,), published=_table7("Sbert"), gpu=True),
    System("Sbert, small backbone", "cpu/small", published=_table7("Sbert")),
)
VARIANTS = (
    System("full, MiniLM", "cpu/minilm"),
    System("fixT5, MiniLM", "cpu/minilm", ("model.fix_backbone=true",)),
    System("fixHead, MiniLM", "cpu/minilm", ("model.fix_head=true",)),
    System("Scratch, MiniLM", "cpu/minilm", ("model.from_scratch=true",)),
    System("full, T5-small", "paper", gpu=True),
    System("fixT5, T5-small", "paper", ("model.fix_backbone=true",), gpu=True),
    System("fixHead, T5-small", "paper", ("model.fix_head=true",), gpu=True),
    System("Scratch, T5-small", "paper", ("model.from_scratch=true",), gpu=True),
)


def table3(data: str, seeds: Seeds) -> list[Cell]:
    """Statistics of the data sets."""
    paper = TABLE_3[data]._asdict() if data in TABLE_3 else {}
    return [Cell("table3", data, "statistics", count, paper=paper)]


def table4(data: str, seeds: Seeds) -> list[Cell]:
    """Recall and NDCG of all systems."""
    return _trained("table4", data, SYSTEMS, seeds)


def table7(data: str, seeds: Seeds) -> list[Cell]:
    """Other Item LLMs."""
    return _trained("table7", data, ITEM_LLMS, seeds)


def figure4(data: str, seeds: Seeds) -> list[Cell]:
    """What each component is worth."""
    return _trained("figure4", data, VARIANTS, seeds)


EXHIBITS: dict[str, Callable[[str, Seeds], list[Cell]]] = {
    "table3": table3,
    "table4": table4,
    "table7": table7,
    "figure4": figure4,
}


def cells(names: Sequence[str], data: str, seeds: Seeds) -> list[Cell]:
    """List the cells of some tables and figures; "all" means every one.

    Raises
    ------
    ConfigError
        On a name that is none of them.
    """
    for name in names:
        if name not in (*EXHIBITS, "all"):
            raise ConfigError(f"The paper has no '{name}' here", nearest(name, [*EXHIBITS, "all"]))
    wanted = EXHIBITS if "all" in names else names
    return [cell for name in wanted for cell in EXHIBITS[name](data, seeds)]


def _trained(exhibit: str, data: str, systems: Sequence[System], seeds: Seeds) -> list[Cell]:
    found = []
    for system in systems:
        paper = dict(zip(METRICS, system.published.get(data, ()), strict=False))
        work = partial(train_system, system)
        found += [Cell(exhibit, data, system.row, work, seed, paper) for seed in seeds]
    return found
