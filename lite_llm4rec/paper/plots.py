"""Records of one data set → a plot as PNG and SVG, ours beside the paper's.

Wants matplotlib (`pip install 'lite-llm4rec[plots]'`).
"""

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Any

from lite_llm4rec.paper.rows import place, yardstick

Rows = list[dict[str, Any]]
OURS, PAPER = "#2b6cb0", "#c05621"
SHADES = ("#2b6cb0", "#90cdf4", "#c05621", "#fbd38d", "#718096")
GRID = "#e2e8f0"
METRIC = "recall@10"
WIDTH = 7.5  # inches
ROW = 0.32  # inches for each bar or point
SPAN = 0.5  # of the way from one system to the next


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def plot_quality(rows: list[tuple[str, Rows]], path: Path) -> None:
    """Draw Recall@10 of systems as bars, with intervals or the seeds' range, the paper's as marks.

    Parameters
    ----------
    rows : list of (name, records of its seeds)
        From the bottom up.
    path : Path
        Where to, without an ending.
    """
    names = [name for name, _ in rows]
    values = [mean(record["metrics"][METRIC] for record in records) for _, records in rows]
    reach = [_reach(records) for _, records in rows]
    below = [value - low for value, (low, _) in zip(values, reach, strict=True)]
    above = [high - value for value, (_, high) in zip(values, reach, strict=True)]
    papers = {name: records[0]["paper"].get(METRIC) for name, records in rows}

    def draw(axes: Any) -> None:
        spread = {"xerr": [below, above], "capsize": 2}
        axes.barh(names, values, **spread, color=OURS, height=0.6, label="ours")
        _mark(axes, names, papers)
        axes.set_xlabel("Recall@10")

    _write(draw, len(rows), path)


def plot_times(records: Rows, path: Path) -> None:
    """Draw how many times as long as `yardstick` each system takes, beside the paper's ratios.

    As points: on a logarithmic axis a bar would begin nowhere.

    Parameters
    ----------
    records : list of dict
        The same times on different machines, at most as many as there are `SHADES`.
    """
    against = yardstick(records[0])
    ours = [_ratios(record["values"], against) for record in records]
    printed = records[0]["paper"]
    paper = _ratios(printed, against) if against in printed else {}
    shared = set.intersection(*map(set, ours))
    names = sorted(shared, key=ours[0].__getitem__)
    height = SPAN / len(records)

    def draw(axes: Any) -> None:
        for turn, (record, ratios) in enumerate(zip(records, ours, strict=True)):
            lower = (len(records) - 1 - 2 * turn) * height / 2  # the first is on top
            places = [number + lower for number in range(len(names))]
            values = [ratios[name] for name in names]
            axes.scatter(values, places, color=SHADES[turn], label=f"ours, {place(record)}")
        axes.set_yticks(range(len(names)), names)
        axes.grid(axis="x", color=GRID)
        axes.set_axisbelow(True)
        _mark(axes, names, paper)
        axes.set_xscale("log")
        axes.set_xlabel(f"time of a batch, as a multiple of {against}'s")

    _write(draw, len(names) * len(records), path)


def plot_shares(records: Rows, path: Path) -> None:
    """Draw what share of each system's time its parts take."""
    names = [f"{record['row']}, {place(record)}" for record in records]

    def draw(axes: Any) -> None:
        before = [0.0] * len(names)
        for part, colour in zip(records[0]["values"], SHADES, strict=False):
            shares = [record["values"][part] / sum(record["values"].values()) for record in records]
            axes.barh(names, shares, left=before, color=colour, height=0.5, label=part)
            before = [start + share for start, share in zip(before, shares, strict=True)]
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of a batch's time")

    _write(draw, len(names), path)


def _mark(axes: Any, names: list[str], papers: Mapping[str, float | None]) -> None:
    """Put the paper's numbers in the rows of the same names."""
    known = [(papers[name], place) for place, name in enumerate(names) if papers.get(name)]
    if known:
        values, places = zip(*known, strict=True)
        axes.scatter(values, places, marker="D", color=PAPER, zorder=3, label="paper")


def _reach(records: Rows) -> tuple[float, float]:
    """Give the range over seeds, or one seed's interval over users."""
    found = [record["metrics"][METRIC] for record in records]
    if len(found) > 1:
        return min(found), max(found)
    low, high = records[0]["intervals"].get(METRIC, (found[0], found[0]))
    return low, high


def _ratios(values: Mapping[str, float], against: str) -> dict[str, float]:
    return {name: value / values[against] for name, value in values.items()}


def _write(draw: Callable[[Any], None], bars: int, path: Path) -> None:
    """Write one figure as PNG and SVG, the same bytes for the same records."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, 1.2 + ROW * bars), layout="constrained")
    axes = figure.subplots()
    draw(axes)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=5, frameon=False)
    with rc_context({"svg.hashsalt": path.name}):
        figure.savefig(f"{path}.png", dpi=110)
        figure.savefig(f"{path}.svg", metadata={"Date": None})
