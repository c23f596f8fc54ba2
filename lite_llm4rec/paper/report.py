"""Records of the paper's cells → pages under docs/paper, each number beside the paper's."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import groupby
from math import inf
from pathlib import Path
from statistics import mean
from typing import Any

from lite_llm4rec.paper import rows as shown
from lite_llm4rec.paper.cell import is_cut
from lite_llm4rec.paper.claims import write_claims
from lite_llm4rec.paper.efficiency import MILLISECONDS
from lite_llm4rec.paper.exhibits import LENGTH, cells
from lite_llm4rec.paper.grid import CORNER, show_grid
from lite_llm4rec.paper.plots import METRIC as PLOTTED
from lite_llm4rec.paper.plots import can_plot, plot_quality, plot_shares, plot_times
from lite_llm4rec.paper.published import (
    METRICS,
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
)
from lite_llm4rec.paper.timing import ratio
from lite_llm4rec.records import read_folder
from lite_llm4rec.top_n import METRICS as TOP_N
from lite_llm4rec.top_n import SHARES as NO_ANSWER

Rows = list[dict[str, Any]]
NOTE = "README.md"
TITLES = {
    "table1": "Table 1: time of a batch of 32 users",
    "table2": "Table 2: without the decoder, and with titles for ids",
    "table3": "Table 3: the data sets",
    "table4": "Table 4: recommendation quality",
    "table5": "Table 5: time of a batch of 32 users, from input to ranking",
    "table6": "Table 6: input length",
    "table7": "Table 7: other Item LLMs",
    "figure2": "Figure 2: where the time goes",
    "figure4": "Figure 4: what each component is worth",
    "figure5": "Figure 5: Top-N, the target among 99 items that are the model's input",
    "choices": "What the paper leaves open: how much each choice moves the result",
    "equal": f"Recommendation quality with at most {LENGTH} items of history each",
    "length": "Time against the length of the input",
    "redundancy": "How often the same item is encoded",
    "clocks": "Both clocks: all components, and the model alone",
    "batch": "Time against the size of the batch",
    "cost": "What each system costs",
    "size": "Size of the Recommendation LLM",
    "pooling": "Pooling in the Item LLM",
}
OWN_DATA = ("choices",)  # rows on data of their own, for which popularity is not one number
ALSO = ("mrr", "coverage@10")  # which the paper has not
COLUMNS = {"figure5": tuple(TOP_N)}  # METRICS and these where nothing is said
PAPER_DATA: dict[str, Collection[str]] = {  # what the paper's own tables are of
    "table2": TABLE_2, "table3": TABLE_3, "table4": TABLE_4, "table5": TABLE_5, "table6": TABLE_6,
}  # fmt: skip


def write_report(records: Path, out: Path) -> list[Path]:
    """Write a page per table and figure that has records; a page's note stands beside them.

    Returns
    -------
    list of Path
        The pages.
    """
    out.mkdir(parents=True, exist_ok=True)
    pages = []
    for exhibit, title in TITLES.items():
        found = read_folder(records / exhibit)
        found = [one for one in found if "row" in one] if exhibit in OWN_DATA else _named(found)
        if not found:
            continue
        note = records / exhibit / NOTE
        parts = [f"# {title}"]
        if note.is_file():
            parts.append(note.read_text(encoding="utf-8").strip())
        for name, group in groupby(found, _data):
            rows = list(group)
            parts.append(_data_set(exhibit, name, [*_not_run(exhibit, name, rows), *rows], out))
        missing = [name for name in PAPER_DATA.get(exhibit, ()) if name not in map(_data, found)]
        parts += [_not_here(exhibit, name) for name in missing]
        page = out / f"{exhibit}.md"
        page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
        pages.append(page)
    return [*pages, _index(records, out, pages)]


def _index(records: Path, out: Path, pages: list[Path]) -> Path:
    """Write the page that leads to the others, after what a person has to say of them all."""
    note = records / NOTE
    parts = ["# The paper's tables and figures"]
    if note.is_file():
        parts.append(note.read_text(encoding="utf-8").strip())
    parts += ["## Claim by claim", write_claims(records), "## Tables and figures"]
    parts.append("\n".join(f"- [{TITLES[page.stem]}]({page.name})" for page in pages))
    index = out / NOTE
    index.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return index


def _named(records: Rows) -> Rows:
    """Give what needs no training, which stands beside each training's record, one row.

    Where trainings differ in what it rests on, as the items' text vectors, each outcome has its
    row.
    """
    trained = [record for record in records if "row" in record]
    once = {
        (record["dataset"], record["model"], record["metrics"]["recall@10"]): record
        for record in records
        if "row" not in record
    }
    outcomes = Counter((data, model) for data, model, _ in once)
    named = []
    for (data, model, _), record in once.items():
        beside = record["cell"].split(".")[1]
        row = model if outcomes[data, model] == 1 else f"{model}, beside {beside}"
        named.append({**record, "row": row, "paper": {}, "stages": []})
    return sorted([*named, *trained], key=_data)


def _not_run(exhibit: str, data: str, records: Rows) -> Rows:
    """Give the trainings that have no record yet, so that no row of a table is passed over."""
    known = {record["row"] for record in records}
    return [
        {**cell.about(), "missing": f"wants {cell.wants}" if cell.wants else "not run yet"}
        for cell in cells([exhibit], data, [0])
        if cell.seed is not None and cell.row not in known
    ]


def _not_here(exhibit: str, data: str) -> str:
    """Say of the paper's data that nothing was measured on them, beside its numbers on them."""
    told = (
        "Not measured yet. Where the data root has these data, `lite-llm4rec reproduce"
        f" {exhibit} --data {data}` does it."
    )
    known = [row for row in _not_run(exhibit, data, []) if row.get("paper")]
    return "\n\n".join([f"## {data}", told, *([_trained(known, METRICS)] if known else [])])


def _data(record: dict[str, Any]) -> str:
    return str(record["dataset"])


def _data_set(exhibit: str, data: str, records: Rows, out: Path) -> str:
    missing = [record for record in records if "missing" in record]
    seeded = {cell.row for cell in cells([exhibit], data, [0]) if cell.seed is not None}
    trained = [one for one in records if "metrics" in one]
    trained += [one for one in missing if one["row"] in seeded]
    grids = [record for record in records if CORNER in record]
    measured = [record for record in records if record.get("values") and record not in grids]
    timed = sorted(
        (record for record in measured if record.get("unit") == MILLISECONDS),
        key=lambda record: not shown.is_gpu(record),
    )
    counted = [record for record in measured if record not in timed]
    parts = [f"## {data}", *(_why(one) for one in missing if one not in trained)]
    parts += map(_timed, timed)
    parts += map(show_grid, _tables(grids))
    parts += [_counted(counted)] if counted else []
    parts += [_trained(trained, COLUMNS.get(exhibit, (*METRICS, *ALSO)))] if trained else []
    parts += [_samples(record) for record in trained if record.get("samples")]
    if can_plot():
        parts += _plots(exhibit, data, timed, trained, out)
    return "\n\n".join(parts)


def _tables(grids: Rows) -> list[Rows]:
    """Put together what is to be one table: the same rows and columns, of a GPU first."""
    tables: dict[tuple[str, bool], Rows] = {}
    for corner in dict.fromkeys(grid[CORNER] for grid in grids):
        for gpu in (True, False):
            tables[corner, gpu] = [
                grid for grid in grids if (grid[CORNER], shown.is_gpu(grid)) == (corner, gpu)
            ]
    return [table for table in tables.values() if table]


def _plots(exhibit: str, data: str, timed: Rows, trained: Rows, out: Path) -> list[str]:
    """Draw what a page's tables say, and return the pictures' lines."""
    measured = [record for record in _in_order(trained) if "metrics" in record]
    rows = [(row, list(group)) for row, group in groupby(measured, lambda record: record["row"])]
    shares = [record for record in timed if exhibit == "figure2"]
    drawn = []
    if shares:
        plot_shares(shares, out / f"{exhibit}-{data}-shares")
        drawn.append(("shares", "Shares of a batch's time"))
    elif timed:
        plot_times(timed, out / f"{exhibit}-{data}-time")
        drawn.append(("time", "Time of a batch, ours and the paper's"))
    if rows:
        plot_quality(rows, out / f"{exhibit}-{data}-quality")
        beside = " and the paper's" if any(_has_mark(record) for record in measured) else ""
        drawn.append(("quality", f"Recall@10, ours{beside}"))
    return [f"![{words}]({exhibit}-{data}-{what}.svg)" for what, words in drawn]


def _why(record: dict[str, Any]) -> str:
    """Say why a count or a time is not there."""
    return f"{record['row']}: {record['missing']}."


def _has_mark(record: dict[str, Any]) -> bool:
    """Whether the paper has a number of what is drawn."""
    return PLOTTED in record.get("paper", {})


def _timed(record: dict[str, Any]) -> str:
    """Put times as ratios to one system's, which hold on any machine, beside the paper's."""
    ours, paper, turns = record["values"], record["paper"], record["turns"]
    against = shown.yardstick(record)
    lines = [f"{record['row']}, {record['unit']}, {shown.place(record)}; ratios to {against}, turn "
             "by turn, their median and range", ""]  # fmt: skip
    lines += ["| | ours | ratio | paper | its ratio |", "|---|---|---|---|---|"]
    for name, value in ours.items():
        known = paper.get(name)
        times = ratio(turns[name], turns[against])
        spread = f"{times.median:.1f}× ({times.low:.1f} – {times.high:.1f})"
        theirs = f"{known / paper[against]:.1f}×" if known is not None else ""
        lines.append(_line([name, f"{value:,.1f}", spread, f"{known or ''}", theirs]))
    return "\n".join(lines)


def _trained(records: Rows, metrics: Sequence[str]) -> str:
    """Put the systems side by side, seeds merged, the paper's numbers after ours, if it has any."""
    printed = any(record.get("paper") for record in records)
    heads = _values(metrics, _short, dict.fromkeys(metrics, "paper") if printed else None)
    lines = [_line(["system", *heads, "trained as", "seeds", "training", "remarks"])]
    lines.append("|---" * (len(heads) + 5) + "|")
    for row, group in groupby(_in_order(records), lambda record: str(record["row"])):
        rows = list(group)
        measured = [record for record in rows if "missing" not in record]
        known = rows[0].get("paper", {})
        papers = {name: f"{value:.4f}" for name, value in known.items()} if printed else None
        if measured:
            values = _values(metrics, partial(shown.value, measured), papers)
            trained = [record for record in measured if "settings" in record]
            how = "; ".join(dict.fromkeys(map(shown.trained_as, trained)))
            rest = [how, shown.seeds(measured), shown.clock(measured), _remarks(measured)]
        else:
            values = _values(metrics, lambda metric: "—", papers)
            rest = ["", "", "", rows[0]["missing"]]
        lines.append(_line([row, *values, *rest]))
    first = next((record for record in records if "protocol" in record), None)
    return "\n".join(lines) + (f"\n\n{_protocol(first)}" if first else "")


def _values(
    metrics: Sequence[str], ours: Callable[[str], str], papers: Mapping[str, str] | None
) -> list[str]:
    """Give our value of each metric, and after it the paper's, where a page has these at all."""
    if papers is None:
        return [ours(metric) for metric in metrics]
    return [
        text
        for metric in metrics
        for text in (ours(metric), *([] if metric in ALSO else [papers.get(metric, "")]))
    ]


def _remarks(measured: Rows) -> str:
    """Say what else there is to a number: a training that was cut, outputs that are no answer."""
    remarks = []
    cut = {record["budget"] / 60 for record in measured if is_cut(record)}
    if cut:
        remarks.append(f"cut at {' and '.join(f'{minutes:.3g}' for minutes in sorted(cut))} min")
    remarks += dict.fromkeys(record["remark"] for record in measured if "remark" in record)
    shares = [name for name in NO_ANSWER if name in measured[0]["metrics"]]
    told = [f"{mean(one['metrics'][name] for one in measured):.1%} {name}" for name in shares]
    if told:
        remarks.append(f"of its outputs {', '.join(told)}")
    return "; ".join(remarks)


def _counted(records: Rows) -> str:
    lines = ["| | ours | paper |", "|---|---|---|"]
    for record in records:
        for name, value in record["values"].items():
            paper = record["paper"].get(name)
            number = f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
            lines.append(_line([name, number, "" if paper is None else f"{paper:,}"]))
    return "\n".join(lines)


def _samples(record: dict[str, Any]) -> str:
    """Show what a system that writes ids was asked and wrote."""
    lines = [f"What {record['row']} (seed {record['seed']}) was asked, and wrote:", ""]
    lines += ["| prompt | answer | its place of 20 | the first outputs |", "|---|---|---|---|"]
    for sample in record["samples"]:
        written = " · ".join(f"`{text}`" for text in sample["written"])
        place = "—" if sample["place"] is None else str(sample["place"])
        lines.append(_line([f"`{sample['prompt']}`", f"`{sample['answer']}`", place, written]))
    return "\n".join(lines)


def _in_order(records: Rows) -> Rows:
    """Order by mean Recall@10, what is missing last, so that a row's seeds come together."""

    def score(row: str) -> float:
        own = [record for record in records if record["row"] == row and "metrics" in record]
        return mean([record["metrics"]["recall@10"] for record in own]) if own else inf

    return sorted(records, key=lambda record: (score(record["row"]), record["row"]))


def _protocol(record: dict[str, Any]) -> str:
    protocol = record["protocol"]
    lists = "C@10 is the share of the items in any list of ten. "
    return (
        f"Sequences {record['sequences_sha256'][:12]}, {protocol['split']} {protocol['part']}, "
        f"{protocol['n_candidates']:,} {protocol['candidates']} candidates, seen items "
        f"{'removed' if protocol['seen_filter'] else 'kept'}; score ties count against the model. "
        f"{lists if ALSO[-1] in record['metrics'] else ''}"
        "In brackets 95 % intervals over users, in parentheses the range over seeds."
    )


def _short(metric: str) -> str:
    name, *k = metric.split("@")
    return "@".join(["MRR" if name == "mrr" else name[0].upper(), *k])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
