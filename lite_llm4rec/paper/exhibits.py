"""The paper's tables and figures, each as the cells that it is made of."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from lite_llm4rec.errors import ConfigError, nearest
from lite_llm4rec.paper import studies
from lite_llm4rec.paper.cell import Cell
from lite_llm4rec.paper.choices import choices
from lite_llm4rec.paper.counts import count
from lite_llm4rec.paper.efficiency import (
    BERT4REC,
    ENCODERS,
    LITE,
    WRITERS,
    count_tokens,
    time_parts,
    time_systems,
)
from lite_llm4rec.paper.figure5 import choose
from lite_llm4rec.paper.published import (
    METRICS,
    TABLE_1,
    TABLE_2,
    TABLE_3,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TITLE_TOKENS,
)
from lite_llm4rec.paper.systems import (
    BACKBONE,
    FRESH,
    MILD,
    SAMPLING,
    SCRATCH,
    SYSTEMS,
    TWICE,
    Published,
    System,
    settings_of,
    train_system,
)
from lite_llm4rec.preset import families, load_preset

Seeds = Sequence[int]
SBERT = 'text.model="sentence-transformers/all-MiniLM-L6-v2"'


def _table7(row: str) -> Published:
    return {"ml-1m": dict(zip(METRICS, TABLE_7[row], strict=True))}


def _table2(row: str) -> Published:
    return {
        data: dict(zip(("recall@20", "ndcg@20"), rows[row], strict=False))
        for data, rows in TABLE_2.items()
    }


ITEM_LLMS = (
    System("T5-small", "paper", published=_table7("T5-small"), gpu=True, t5=TWICE),
    System(
        "T5-base",
        "paper",
        ('text.model="google-t5/t5-base"',),
        published=_table7("T5-base"),
        gpu=True,
        t5=BACKBONE,
    ),
    System(
        "BERT",
        "paper",
        ('text.model="google-bert/bert-base-uncased"', 'text.pooling="pooler"'),
        published=_table7("BERT"),
        gpu=True,
        t5=BACKBONE,
    ),
    System("Sbert", "paper", (SBERT,), published=_table7("Sbert"), gpu=True, t5=BACKBONE),
    System("Sbert, small backbone", "cpu/small", published=_table7("Sbert")),
)
ENCODED = ("without-decoder", "titles")
DIGITS = 'model.backbone="t5"'  # with the tokenizer that the small P5 and POD have
TINY = (  # the shape and the training of cpu/small
    "model.from_scratch=true",
    "model.shape={d_model=64, d_kv=16, num_heads=4, d_ff=256, num_layers=2}",
    "vector.batch=128",
    "vector.lr=1e-3",
    "vector.validate_every=4",
    'vector.schedule="linear"',
    "vector.warmup=0.02",
    'vector.precision="fp32"',
)


def _chain(name: str) -> tuple[System, ...]:
    """P5 or POD, then without the decoder, then with titles for ids; small and at T5's size."""
    whole, ids, titles = (f"{name.lower()}/{part}" for part in ("t5-small", *ENCODED))
    without, titled = _table2(f"{name} w/o_d"), _table2(f"{name} w/o_d_TID")
    fresh = partial(System, settings=(FRESH,), gpu=True, t5=BACKBONE)
    return (
        System(f"{name} small", f"{name.lower()}/small", (), _table2(name)),
        System(f"{name} small w/o_d", ids, (*TINY, DIGITS), without),
        System(f"{name} small w/o_d_TID", titles, TINY, titled, t5=BACKBONE),
        System(name, whole, (), _table2(name), gpu=True, t5=BACKBONE),
        System(f"{name} w/o_d", ids, (), without, gpu=True, t5=BACKBONE),
        System(f"{name} w/o_d_TID", titles, (), titled, gpu=True, t5=BACKBONE),
        fresh(f"{name} from scratch", whole, published=_table2(name)),
        fresh(f"{name} w/o_d from scratch", ids, published=without),
        fresh(f"{name} w/o_d_TID from scratch", titles, published=titled),
    )


CHAIN = (
    *_chain("P5"),
    *_chain("POD"),
    System("Lite-LLM4Rec small, ids alone", "cpu/small", ('model.items="id"',)),
    System("Lite-LLM4Rec small", "cpu/small"),
    System(f"{SAMPLING}, from scratch, dropout 0.1", "paper", MILD, gpu=True, t5=TWICE),
)
VARIANTS = (
    System("full, MiniLM", "cpu/minilm"),
    System("fixT5, MiniLM", "cpu/minilm", ("model.fix_backbone=true",)),
    System("fixHead, MiniLM", "cpu/minilm", ("model.fix_head=true",)),
    System("Scratch, MiniLM", "cpu/minilm", ("model.from_scratch=true",)),
    System("full, T5-small", "paper", gpu=True, t5=TWICE),
    System("fixT5, T5-small", "paper", ("model.fix_backbone=true",), gpu=True, t5=TWICE),
    System("fixHead, T5-small", "paper", ("model.fix_head=true",), gpu=True, t5=TWICE),
    System("Scratch, T5-small", "paper", ("model.from_scratch=true",), gpu=True, t5=TWICE),
)
CHOOSERS = (
    System("P5 small", "p5/small"),
    System("POD small", "pod/small"),
    System("Lite-LLM4Rec small", "cpu/small"),
    System("P5", "p5/t5-small", gpu=True, t5=BACKBONE),
    System("P5 from scratch", "p5/t5-small", (FRESH,), gpu=True, t5=BACKBONE),
    System("POD", "pod/t5-small", gpu=True, t5=BACKBONE),
    System("POD from scratch", "pod/t5-small", (FRESH,), gpu=True, t5=BACKBONE),
    System("Lite-LLM4Rec", "paper", gpu=True, t5=TWICE),
    System("Lite-LLM4Rec from scratch", "paper", SCRATCH, gpu=True, t5=TWICE),
    System("Lite-LLM4Rec from scratch, dropout 0.1", "paper", MILD, gpu=True, t5=TWICE),
)
LENGTH = 20  # items of the history, the paper's
COMPARED = (
    "BERT4Rec, tuned", "SASRec", "S3-Rec, tuned", "FDSA, tuned", "P5 small", "POD small",
    "Lite-LLM4Rec small, tuned", "Lite-LLM4Rec causal",
)  # fmt: skip
EQUAL = tuple(
    System(system.row, system.preset, (*system.settings, f"model.history_length={LENGTH}"))
    for system in SYSTEMS
    if system.row in COMPARED
)
FORMS = {"as printed": False, "history in front": True}  # whether there is a history


def table1(data: str, seeds: Seeds) -> list[Cell]:
    """Time of a batch: BERT4Rec beside P5 and POD."""
    paper = {name: row[1] for name, row in TABLE_1.items()} if data == "ml-1m" else {}
    work = partial(time_systems, {**BERT4REC, **WRITERS})
    return [Cell("table1", data, "time", work, paper=paper, timed=True)]


def table2(data: str, seeds: Seeds) -> list[Cell]:
    """P5 and POD, without the decoder, with titles for ids, and with item vectors in their place.

    Quality and time.
    """
    paper = {name: row[2] for name, row in TABLE_2.get(data, {}).items()}
    work = partial(time_systems, {**WRITERS, **ENCODERS, **LITE})
    return [
        Cell("table2", data, "time", work, paper=paper, timed=True),
        *_trained("table2", data, CHAIN, seeds),
    ]


def table3(data: str, seeds: Seeds) -> list[Cell]:
    """Statistics of the data sets."""
    paper = TABLE_3[data]._asdict() if data in TABLE_3 else {}
    return [Cell("table3", data, "statistics", count, paper=paper)]


def table4(data: str, seeds: Seeds) -> list[Cell]:
    """Recall and NDCG of all systems."""
    return _trained("table4", data, SYSTEMS, seeds)


def table5(data: str, seeds: Seeds) -> list[Cell]:
    """Time from input to ranking: P5 and POD beside Lite-LLM4Rec."""
    work = partial(time_systems, {**WRITERS, **LITE})
    return [Cell("table5", data, "time", work, paper=TABLE_5.get(data, {}), timed=True)]


def table6(data: str, seeds: Seeds) -> list[Cell]:
    """Length of the input."""
    told = {**TABLE_6.get(data, {}), **TITLE_TOKENS.get(data, {})}
    paper = {f"{name} padded": value for name, value in told.items()}
    return [Cell("table6", data, "length", count_tokens, paper=paper)]


def table7(data: str, seeds: Seeds) -> list[Cell]:
    """Other Item LLMs."""
    return _trained("table7", data, ITEM_LLMS, seeds)


def figure2(data: str, seeds: Seeds) -> list[Cell]:
    """Where the time of P5 and POD goes."""
    return [Cell("figure2", data, name, partial(time_parts, name), timed=True) for name in WRITERS]


def figure4(data: str, seeds: Seeds) -> list[Cell]:
    """What each component is worth."""
    return _trained("figure4", data, VARIANTS, seeds)


def figure5(data: str, seeds: Seeds) -> list[Cell]:
    """Top-N, of which the paper has bars without numbers."""
    return [
        Cell(
            "figure5", data, f"{system.row}, {form}", partial(choose, system, history), seed,
            wants=system.wants, settings=partial(settings_of, system),
        )
        for system in CHOOSERS
        for form, history in FORMS.items()
        for seed in seeds
    ]  # fmt: skip


def equal(data: str, seeds: Seeds) -> list[Cell]:
    """Recall and NDCG of what a CPU trains, each with the same length of history."""
    return _trained("equal", data, EQUAL, seeds)


def size(data: str, seeds: Seeds) -> list[Cell]:
    """Recommendation LLMs of other depths: time and quality."""
    return [*studies.size(data, seeds), *_trained("size", data, studies.DEPTHS, seeds)]


def pooling(data: str, seeds: Seeds) -> list[Cell]:
    """Other ways from an item's tokens to its vector: quality."""
    return _trained("pooling", data, studies.POOLINGS, seeds)


EXHIBITS: dict[str, Callable[[str, Seeds], list[Cell]]] = {
    "table1": table1,
    "table2": table2,
    "table3": table3,
    "table4": table4,
    "table5": table5,
    "table6": table6,
    "table7": table7,
    "figure2": figure2,
    "figure4": figure4,
    "figure5": figure5,
    "choices": choices,
    "equal": equal,
    "length": studies.length,
    "redundancy": studies.redundancy,
    "clocks": studies.clocks,
    "batch": studies.batch,
    "cost": studies.cost,
    "size": size,
    "pooling": pooling,
}


def cells(names: Sequence[str], data: str, seeds: Seeds, also: Sequence[str] = ()) -> list[Cell]:
    """List the cells of some tables and figures; "all" means every one.

    Parameters
    ----------
    also : sequence of str
        Presets or their files that Table 4 is to have besides the paper's systems.

    Raises
    ------
    ConfigError
        On a name that is none of them, or a preset that cannot be read.
    """
    for name in names:
        if name not in (*EXHIBITS, "all"):
            raise ConfigError(f"The paper has no '{name}' here.", nearest(name, [*EXHIBITS, "all"]))
    for name in also:
        if name not in families():
            load_preset(name)  # a wrong one is told before the first cell
    wanted = EXHIBITS if "all" in names else names
    if also and "table4" not in wanted:
        raise ConfigError("--also puts a preset into Table 4.", "Ask for table4, or all.")
    seeds = list(dict.fromkeys(seeds))
    found = [cell for name in wanted for cell in EXHIBITS[name](data, seeds)]
    return _own_cells(data, seeds, also, found) + found


def _own_cells(data: str, seeds: Seeds, also: Sequence[str], found: Sequence[Cell]) -> list[Cell]:
    """List the cells of Table 4 that presets of the caller's make; each has a row of its own."""
    names = [Path(name).stem if name.endswith(".toml") else name for name in also]
    cells = _trained("table4", data, list(map(System, names, also)), seeds)
    taken = [cell.name for cell in [*cells, *found]]
    for cell in cells:
        if taken.count(cell.name) > 1:
            raise ConfigError(
                f"Two rows of Table 4 would be called '{cell.row}'.", "Rename the preset's file."
            )
    return cells


def _trained(exhibit: str, data: str, systems: Sequence[System], seeds: Seeds) -> list[Cell]:
    return [
        Cell(
            exhibit,
            data,
            system.row,
            partial(train_system, system),
            seed,
            dict(system.published.get(data, {})),
            system.wants,
            settings=partial(settings_of, system),
        )
        for system in systems
        for seed in seeds
    ]
