"""Efficiency beyond the paper's tables: what it says in words, and what it leaves open."""

from collections.abc import Sequence
from functools import partial

from lite_llm4rec.paper.cell import Cell
from lite_llm4rec.paper.clocks import (
    SYSTEMS,
    time_batches,
    time_beams,
    time_clocks,
    time_lengths,
)
from lite_llm4rec.paper.cost import LAYERS, measure_cost, time_layers
from lite_llm4rec.paper.efficiency import LITE, WRITERS
from lite_llm4rec.paper.redundancy import EXAMPLE, EXAMPLE_TIMES, count_encodings
from lite_llm4rec.paper.systems import MILD, TWICE, System

Seeds = Sequence[int]
DEPTHS = (
    *(
        System(
            f"{layers} layers, small",
            "cpu/small",
            (f"model.shape={{d_model=64, d_kv=16, num_heads=4, d_ff=256, num_layers={layers}}}",),
        )
        for layers in LAYERS[:3]
    ),
    *(
        System(
            f"{layers} layers, from scratch",
            "paper",
            (*MILD, f"model.shape={{num_layers={layers}}}"),
            gpu=True,
            t5=TWICE,
        )
        for layers in LAYERS
    ),
)
POOLINGS = (
    System("mean", "cpu/small", ('text.pooling="mean"',)),
    System("first token", "cpu/small", ('text.pooling="cls"',)),
    System("weighted by position", "cpu/small", ('text.pooling="weightedmean"',)),
)


def length(data: str, seeds: Seeds) -> list[Cell]:
    """Time against the length of the input (§3.2)."""
    return [
        Cell("length", data, name, partial(time_lengths, name), timed=True)
        for name in (*WRITERS, *LITE)
    ]


def redundancy(data: str, seeds: Seeds) -> list[Cell]:
    """How often the same item is encoded (§4.2)."""
    paper: dict[str, float] = {EXAMPLE: EXAMPLE_TIMES} if data == "ml-1m" else {}
    return [Cell("redundancy", data, "encodings", count_encodings, paper=paper)]


def clocks(data: str, seeds: Seeds) -> list[Cell]:
    """Time of all components (§3.2) and of the model alone (§5.3), for every system."""
    return [
        Cell("clocks", data, "components", time_clocks, timed=True),
        Cell("clocks", data, "encoder once or per beam", time_beams, timed=True),
    ]


def batch(data: str, seeds: Seeds) -> list[Cell]:
    """Time against the size of the batch."""
    return [Cell("batch", data, "time", time_batches, timed=True)]


def cost(data: str, seeds: Seeds) -> list[Cell]:
    """Parameters, training, encoding and time of a batch, system by system."""
    return [
        Cell("cost", data, name, partial(measure_cost, name, timed), timed=True)
        for name, timed in SYSTEMS.items()
    ]


def size(data: str, seeds: Seeds) -> list[Cell]:
    """Time of Recommendation LLMs of other depths; `DEPTHS` are to be trained."""
    return [Cell("size", data, "time", time_layers, timed=True)]
