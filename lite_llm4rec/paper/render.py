"""Records → one Markdown page."""

from itertools import groupby
from pathlib import Path
from statistics import mean
from typing import Any

from lite_llm4rec.errors import DataError
from lite_llm4rec.paper import rows as cell
from lite_llm4rec.records import read_benchmarks, read_records

SUMMARISED = ("causal", "cpu")
NOTE = "README.md"  # what a person has to say of an experiment, beside its records
MARKS = ("<!-- results -->", "<!-- /results -->")
LOAD_COLUMNS = {  # title and format
    "p50_ms": ("p50 ms", ".1f"),
    "p95_ms": ("p95 ms", ".1f"),
    "p99_ms": ("p99 ms", ".1f"),
    "throughput": ("requests a second", ".0f"),
    "cpu_ms": ("computing ms a request", ".1f"),
    "errors": ("errors", "d"),
}


def render(root: Path) -> str:
    """Write the page: one section per experiment, one table per data set and protocol."""
    parts = [
        "# Results",
        "Rendered by `lite-llm4rec results`; each row is a file under `results/`. Full ranking, "
        "score ties count against the model. In brackets 95 % bootstrap intervals over users; in "
        "parentheses the range over seeds.",
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
            parts += [f"**{line}**", _fitting_table(rows)]
    benchmarks = read_benchmarks(root)
    if benchmarks:
        parts += ["## Benchmarks", _benchmarks(benchmarks)]
        parts += [_loads(record) for record in benchmarks if "resident_mb" in record]
        parts += [_soak(record) for record in benchmarks if "events_stored" in record]
        parts += [
            _to_98(record) for record in benchmarks if record.get("settings", {}).get("to_98")
        ]
    return "\n\n".join(parts) + "\n"


def _fitting_table(rows: list[dict[str, Any]]) -> str:
    if all("question" in row for row in rows):
        return _ablation(rows)
    return _cold_table(rows) if "items cold" in rows[0]["protocol"]["split"] else _table(rows)


def _benchmarks(records: list[dict[str, Any]]) -> str:
    lines = ["Ratios of both sides measured in turn in one run.", ""]
    lines += ["| benchmark | what | ratio | machine | commit |", "|---|---|---|---|---|"]
    for record in records:
        ratios = record.get("ratios", {})
        each = [f"{name}: {value}×" for name, value in ratios.items()]
        measured = "; ".join(each) or f"{record['ratio']}×"
        cells = [record["cell"], _what(record), measured, cell.place(record)]
        lines.append(f"| {' | '.join(cells)} | {record['commit'] or ''} |")
    return "\n".join(lines)


def _what(record: dict[str, Any]) -> str:
    """Say what a ratio is of, and at which length of the history where the record tells one."""
    length = record.get("settings", {}).get("length")
    return f"{record['what']} (history ≤ {length})" if length else str(record["what"])


def _loads(record: dict[str, Any]) -> str:
    """Put what was asked of the services, and how long the answers took, into a table."""
    lines = [f"{record['cell']}, {cell.place(record)}, {record['seconds_each']:g} s each:", ""]
    titles = [title for title, _ in LOAD_COLUMNS.values()]
    lines += [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for name, row in record.items():
        if isinstance(row, dict) and "p50_ms" in row:
            shown = [
                format(row[key], kind) if key in row else ""
                for key, (_, kind) in LOAD_COLUMNS.items()
            ]
            lines.append(f"| {' | '.join([name, *shown])} |")
    memory = "; ".join(
        f"{name} {before:.0f} → {after:.0f}"
        for name, (before, after) in record["resident_mb"].items()
    )
    return "\n".join([*lines, "", f"Resident memory in MB, before and after: {memory}."])


def _soak(record: dict[str, Any]) -> str:
    """Put what each part of a long load saw into a table."""
    answered = ", ".join(f"{count:,} {kind}" for kind, count in record["answered"].items())
    lines = [
        f"{record['cell']}, {cell.place(record)}, {record['minutes']:g} minutes at"
        f" {record['rate']:g} requests a second (answered: {answered});"
        f" {record['events_stored']:,} events were stored:",
        "",
        "| part | p50 ms | p95 ms | p99 ms | errors | resident MB |",
        "|---" * 6 + "|",
    ]
    for number, part in enumerate(record["parts"], start=1):
        times = [f"{part[key]:.1f}" for key in ("p50_ms", "p95_ms", "p99_ms")]
        shown = [str(number), *times, str(part["errors"]), f"{part['resident_mb']:.0f}"]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def _to_98(record: dict[str, Any]) -> str:
    """Put how long each system trained until its R@10 was nearly its best into a table."""
    lines = [
        f"{record['cell']}, {cell.place(record)}, validation R@10 after each epoch; at most"
        f" {record['settings']['epochs']} epochs, seconds of training alone:",
        "",
        "| system | best R@10 | 98 % of it after | epochs | targets an epoch | epochs seen"
        " | still rising |",
        "|---" * 7 + "|",
    ]
    for name, system in record["systems"].items():
        shown = [
            name,
            f"{system['best_recall@10']:.4f}",
            f"{system['seconds_to_98']:.0f} s",
            str(system["epochs_to_98"]),
            f"{system['targets_per_epoch']:,}",
            str(len(system["seconds"])),
            "no" if system["stopped_rising"] else "yes",
        ]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def render_summary(root: Path) -> str:
    """Write the README's table: the records of what trains on a CPU."""
    lines = [
        "| data set (candidates) | model | preset | Recall@10 | NDCG@10 | training |",
        "|---|---|---|---|---|---|",
    ]
    records = [record for record in read_records(root) if record["experiment"] in SUMMARISED]
    records.sort(key=lambda record: str(record["dataset"]))
    for _, group in groupby(records, key=_protocol_line):
        for rows in cell.merge_seeds(list(group)):
            row = rows[0]
            data = f"`{row['dataset']}` ({row['protocol']['n_candidates']:,})"
            values = [cell.value(rows, name) for name in ("recall@10", "ndcg@10")]
            shown = [data, cell.model(row), cell.preset(row), *values, cell.clock(rows)]
            lines.append(f"| {' | '.join(shown)} |")
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
    """One line per system; several seeds of one are a mean with its range."""
    header = ["model", "preset", "history", *cell.METRICS, "seeds", "training", "machine", "commit"]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for group in cell.merge_seeds(rows):
        lines.append(f"| {' | '.join(_cells(group))} |")
    return "\n".join(lines)


def _cells(rows: list[dict[str, Any]]) -> list[str]:
    row = rows[0]
    return [
        cell.model(row),
        cell.preset(row),
        f"≤ {row['protocol']['history_length']}" if row["preset"] else "",
        *[cell.value(rows, name) for name in cell.METRICS],
        cell.seeds(rows),
        cell.clock(rows),
        cell.places(rows),
        cell.commits(rows),
    ]


def _cold_table(rows: list[dict[str, Any]]) -> str:
    """Warm and cold targets apart, and the share of cold items in lists and among targets."""
    header = ["model", "seeds", "warm R@10", "warm N@10", "cold R@10", "cold N@10", "all R@10"]
    header += ["cold share of lists", "of targets"]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for group in cell.merge_seeds(rows):
        parts = [
            f"{mean(row['slices'][part][name] for row in group):.4f}"
            for part in ("warm", "cold")
            for name in ("recall@10", "ndcg@10")
        ]
        shares = [
            f"{100 * mean(row['metrics'][name] for row in group):.1f} %"
            for name in ("cold@10", "cold_targets")
        ]
        whole = f"{mean(row['metrics']['recall@10'] for row in group):.4f}"
        note = f" {group[0]['note']}" if "note" in group[0] else ""
        cells = [cell.model(group[0]) + note, cell.seeds(group), *parts, whole, *shares]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ablation(rows: list[dict[str, Any]]) -> str:
    """One line per variant, in the plan's order, validation only."""
    header = ["question", "variant", "valid R@10", "valid N@10", "epochs", "training", "changed"]
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    for row in sorted(rows, key=lambda row: int(row["order"])):
        changed = "; ".join(f"`{change}`" for change in row["changed"])
        numbers = [f"{row['metrics'][name]:.4f}" for name in ("recall@10", "ndcg@10")]
        cells = [row["question"], row["cell"], *numbers, str(row["epochs"]), cell.clock([row])]
        lines.append(f"| {' | '.join([*cells, changed])} |")
    return "\n".join(lines)
