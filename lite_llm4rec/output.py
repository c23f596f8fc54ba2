"""How results look on a terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lite_llm4rec.card import METRIC_ORDER, shown_metrics
from lite_llm4rec.data.doctor import Report
from lite_llm4rec.data.doctor_report import counted
from lite_llm4rec.evaluate import Evaluation, Protocol
from lite_llm4rec.lists import Recommendations
from lite_llm4rec.models import title
from lite_llm4rec.written_table import writer_for

SHORT = {
    "recall@10": "R@10",
    "recall@20": "R@20",
    "ndcg@10": "N@10",
    "ndcg@20": "N@20",
    "coverage@10": "C@10",
}
COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def show_report(console: Console, report: Report) -> None:
    """Show a doctor's report: facts, then findings with their remedies."""
    facts = _grid()
    for name, value in report.facts:
        facts.add_row(name, value)
    console.print(facts)
    findings = _grid()
    for finding in report.findings:
        severity = Text(finding.severity, COLOURS[finding.severity])
        findings.add_row()
        findings.add_row(severity, Text(finding.message))
        if finding.remedy:
            findings.add_row("", Text(f"What to do: {finding.remedy}"))
    console.print(findings)
    count = sum(finding.severity == "error" for finding in report.findings)
    console.print(f"\n{'Ready to train.' if report.ok else f'{count} to mend before training.'}")


def show_presets(console: Console, presets: dict[str, str]) -> None:
    """List presets with what each says of itself."""
    table = _grid()
    for name, about in presets.items():
        table.add_row(name, Text(about))
    console.print(table)


def show_results(
    console: Console, protocol: Protocol, rows: list[tuple[str, dict[str, float]]]
) -> None:
    """Show systems under one protocol."""
    legend = f"R recall, N NDCG, C coverage\n{protocol.line()}"
    table = Table(caption=legend, caption_justify="left")
    table.add_column("")
    names = [name for name in METRIC_ORDER if all(name in metrics for _, metrics in rows)]
    for name in names:
        table.add_column(SHORT.get(name, name), justify="right", no_wrap=True)
    for system, metrics in rows:
        table.add_row(system, *[f"{metrics[name]:.4f}" for name in names])
    console.print(table)


def show_cold(
    console: Console, evaluation: Evaluation, rows: list[tuple[str, dict[str, float]]]
) -> None:
    """Show warm and cold targets apart, all ranked in one list."""
    table = Table(title="Warm and cold targets, in one ranking", title_justify="left")
    table.add_column("")
    names = [name for name in ("cases", *METRIC_ORDER) if all(name in row for _, row in rows)]
    for name in names:
        table.add_column(SHORT.get(name, name), justify="right", no_wrap=True)
    for system, row in rows:
        values = [f"{row[name]:,}" if name == "cases" else f"{row[name]:.4f}" for name in names]
        table.add_row(system, *values)
    console.print(table)
    found = evaluation.metrics
    console.print(
        f"Cold items are {100 * found['cold_targets']:.1f} % of the targets and"
        f" {100 * found['cold@10']:.1f} % of the model's lists."
    )


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Show an evaluation: means with intervals, slices, leak checks."""
    console.print(evaluation.protocol.line(), markup=False, highlight=False)
    table = Table()
    for heading in ("metric", "mean", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "metric" else "right")
    for name in shown_metrics(evaluation):
        interval = evaluation.intervals.get(name)
        shown = f"{interval[0]:.4f} – {interval[1]:.4f}" if interval else ""
        table.add_row(name, f"{evaluation.metrics[name]:.4f}", shown)
    console.print(table)
    _show_slices(console, evaluation)
    for leak in evaluation.leaks:
        console.print(Text.assemble(("leak", "red"), f" {leak}"))
    if not evaluation.leaks:
        numbers = "were drawn" if "malformed" in evaluation.metrics else "do not matter"
        console.print(
            f"Leak checks passed: no target in training, order kept, items' numbers {numbers}."
        )
    if evaluation.repeats:
        missed = (
            ", which the ranking leaves out: these are missed. Where people come to the same items"
            " again, train with --set repeats=true"
        )
        console.print(
            f"{counted(evaluation.repeats, 'target', 'occur')} in their own history"
            f"{missed if evaluation.protocol.seen_filter else ''}."
        )
    console.print(f"{evaluation.cases.num_rows:,} cases in {evaluation.seconds:.1f} s")


def _show_slices(console: Console, evaluation: Evaluation) -> None:
    table = Table()
    table.add_column("slice")
    for name in ("cases", "recall@10", "ndcg@10"):
        table.add_column(name, justify="right")
    for name, values in evaluation.slices.items():
        table.add_row(
            name, f"{values['cases']:,}", f"{values['recall@10']:.4f}", f"{values['ndcg@10']:.4f}"
        )
    console.print(table)


def show_comparison(console: Console, first: str, second: str, found: dict[str, Any]) -> None:
    """Show a paired comparison."""
    table = Table(
        caption=f"a: {first}, b: {second}; 95 % paired bootstrap over users,"
        " and the share of it in which b is not better",
        caption_justify="left",
    )
    for heading in ("metric", "a", "b", "b - a", "95 % interval", "not better"):
        left = heading == "metric"
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for name, row in found.items():
        low, high = row["interval"]
        table.add_row(
            name,
            f"{row['first']:.4f}",
            f"{row['second']:.4f}",
            f"{row['difference']:+.4f}",
            f"{low:+.4f} – {high:+.4f}",
            f"{row['not_better']:.3f}",
        )
    console.print(table)


def show_parity(console: Console, report: dict[str, Any]) -> None:
    """Show how far an export is from its model, and how much faster."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("compared on", f"{report['cases']:,} histories, {report['histories']}")
    error, spread = report["largest_score_error"], report["score_std"]
    table.add_row("largest score error", f"{error:.2g} (scores spread by {spread:.2g})")
    table.add_row("ten best in common", f"{report['top10_overlap']:.4f}")
    change = report["recall@10"]
    if change is not None:
        low, high = change["interval"]
        table.add_row(
            "recall@10",
            f"{change['first']:.4f} → {change['second']:.4f}, "
            f"95 % interval of the change {low:+.4f} – {high:+.4f}",
        )
    for name, times in report["latency_ms"].items():
        table.add_row(
            name,
            f"{times['exported']:.2f} ms, torch {times['torch']:.2f} ms: {times['ratio']:.1f}×",
        )
    console.print(table)


def show_run(
    console: Console, folder: Path, config: dict[str, Any], metrics: dict[str, Any]
) -> None:
    """Show what a run folder holds."""
    preset = config["preset"]
    n_items, width = config["shape"]
    console.print(f"{folder}: format {config['format_version']}, preset {preset['name']}")
    model = preset["model"]
    parts = [title(model), f"{n_items:,} items"]
    parts += [f"text vectors of {width}"] if width else []
    parts += [f"Recommendation LLM {model['backbone']}"] if "backbone" in model else []
    if "exported" in config:
        parts.append("exported: {precision}, {runtime}".format(**config["exported"]))
    console.print(f"  {', '.join(parts)}, history ≤ {model['history_length']}")
    for stage in metrics.get("stages", []):
        best = stage.get("best")
        valid = "" if best is None else f", valid recall@10 {best:.4f}"
        console.print(
            f"  {stage['stage']} stage: {stage['epochs']} epochs, {stage['seconds']:.0f} s"
            f"{', cut by the time it had' if stage.get('cut') else ''}{valid}"
        )
    for evaluation in metrics.get("evaluations", []):
        protocol = Protocol(**evaluation["protocol"])
        show_results(console, protocol, [(protocol.part, evaluation["metrics"])])


def _grid() -> Table:
    """Make a table of names and texts; a text that is too long goes on below itself."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    return table


def write_stream(stream: Iterator[Recommendations], path: Path) -> int:
    """Write recommendations to a file as they come; return the number of rows.

    Raises
    ------
    ConfigError
        When it is to be neither Parquet nor CSV.
    """
    open_writer = writer_for(path)
    partial = path.with_name(f"{path.name}.part")
    rows, writer, schema, empty = 0, None, None, Recommendations.join([]).to_table()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        for part in stream:
            table = part.to_table()
            if table.num_rows == 0:  # it has no types
                empty = table
                continue
            writer, schema = writer or open_writer(partial, table.schema), schema or table.schema
            writer.write_table(table.cast(schema))
            rows += table.num_rows
        writer = writer or open_writer(partial, empty.schema)
        writer.close()
        partial.replace(path)
    finally:
        if writer is not None:
            writer.close()  # Windows removes no open file
        partial.unlink(missing_ok=True)
    return rows
