"""Records → one Markdown page."""

from itertools import groupby
from pathlib import Path
from typing import Any

from lite_llm4rec.errors import DataError
from lite_llm4rec.paper.records import read_benchmarks, read_records

SUMMARISED = "cpu"
NOTE = "README.md"  # what a person has to say of an experiment, beside its records
MARKS = ("<!-- results -->", "<!-- /results -->")
METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "mrr", "coverage@10")


def render(root: Path) -> str:
    """Write the page: one section per experiment, one table per data set and protocol."""
    parts = [
        "# Results",
        "Rendered by `lite-llm4rec results`; each row is a file under `results/`. Full ranking, "
        "score ties count against the model; 95 % bootstrap intervals over users in brackets.",
    ]
    records = read_records(root)
    for experiment, group in groupby(records, key=lambda record: str(record["experiment"])):
        parts.append(f"## {experiment}")
        note = root / experiment / NOTE
        if note.is_file():
            parts.append(note.read_text(encoding="utf-8").strip())
        tables: dict[str, list[dict[str, Any]]] = {}
        for record in group:
            tables.setdefault(_protocol_line(record), []).append(record)
        for line, rows in tables.items():
            parts += [f"**{line}**", _table(rows)]
    benchmarks = read_benchmarks(root)
    if benchmarks:
        parts += ["## Benchmarks", _benchmarks(benchmarks)]
    return "\n\n".join(parts) + "\n"


def _benchmarks(records: list[dict[str, Any]]) -> str:
    lines = ["Ratios of both sides measured in turn in one run.", ""]
    lines += ["| benchmark | what | ratio | machine | commit |", "|---|---|---|---|---|"]
    for record in records:
        cells = [record["cell"], record["what"], f"{record['ratio']}×", _place(record)]
        lines.append(f"| {' | '.join(cells)} | {record['commit'] or ''} |")
    return "\n".join(lines)


def render_summary(root: Path) -> str:
    """Write the README's table: the records of the experiment `cpu`."""
    lines = [
        "| data set (candidates) | model | preset | Recall@10 | NDCG@10 | training |",
        "|---|---|---|---|---|---|",
    ]
    records = [record for record in read_records(root) if record["experiment"] == SUMMARISED]
    for _, group in groupby(records, key=_protocol_line):
        for row in _popularity_once(list(group)):
            data = f"`{row['dataset']}` ({row['protocol']['n_candidates']:,})"
            values = [_value(row, "recall@10"), _value(row, "ndcg@10"), _clock(row["seconds"])]
            lines.append(f"| {' | '.join([data, _model(row), _preset(row), *values])} |")
    return "\n".join(lines)


def put_between_marks(page: str, text: str) -> str:
    """Replace what stands between a page's marks by `text`.

    Raises
    ------
    DataError
        When the page has no marks.
    """
    head, begin, rest = page.partition(MARKS[0])
    _, end, tail = rest.partition(MARKS[1])
    if not begin or not end:
        raise DataError(
            f"The page has no marks {MARKS[0]} … {MARKS[1]}.", "Put them where it goes."
        )
    return f"{head}{begin}\n{text}\n{end}{tail}"


def _protocol_line(record: dict[str, Any]) -> str:
    protocol = record["protocol"]
    return (
        f"{record['dataset']}, sequences {record['sequences_sha256'][:12]}, {protocol['split']} "
        f"{protocol['part']}, {protocol['n_candidates']:,} {protocol['candidates']} candidates, "
        f"seen items {'removed' if protocol['seen_filter'] else 'kept'}"
    )


def _table(rows: list[dict[str, Any]]) -> str:
    header = ["model", "preset", "history", *METRICS, "seed", "training", "machine", "commit"]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for row in _popularity_once(rows):
        lines.append(f"| {' | '.join(_cells(row))} |")
    return "\n".join(lines)


def _popularity_once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put popularity first, once per table: it is the same whatever was trained beside it."""
    popular = [row for row in rows if row["model"] == "Popularity"]
    return popular[:1] + [row for row in rows if row["model"] != "Popularity"]


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        _model(row),
        _preset(row),
        f"≤ {row['protocol']['history_length']}" if row["preset"] else "",
        *[_value(row, name) for name in METRICS],
        "" if row["seed"] is None else str(row["seed"]),
        _clock(row["seconds"]),
        _place(row),
        row["commit"] or "",
    ]


def _model(row: dict[str, Any]) -> str:
    """Name the system, how it was trained and what its Recommendation LLM began with."""
    if "settings" not in row:
        return str(row["model"])
    settings = row["settings"]
    strategy = (settings["vector"] or settings["joint"])["strategy"]
    start = "from scratch" if settings["model"]["from_scratch"] else "pretrained"
    joint = ", joint stage first" if settings["joint"] and settings["vector"] else ""
    return f"{row['model']} `{strategy}`, {start}{joint}"


def _preset(row: dict[str, Any]) -> str:
    return f"`{row['preset']}`" if row["preset"] else ""


def _place(row: dict[str, Any]) -> str:
    machine = row["machine"]
    threads = machine["threads"]
    cpu = f"{machine['processor']}, {threads} thread{'' if threads == 1 else 's'}"
    return str(machine.get("gpu") or cpu)


def _value(row: dict[str, Any], name: str) -> str:
    mean = f"{row['metrics'][name]:.4f}"
    if name not in row["intervals"]:
        return mean
    low, high = row["intervals"][name]
    return f"{mean} [{low:.4f}, {high:.4f}]"


def _clock(seconds: float) -> str:
    return "" if not seconds else f"{seconds / 60:.1f} min"
