"""The model card of a run folder: what was trained on what, and what its numbers mean."""

import csv
import io
import json

from lite_llm4rec.config import to_dict
from lite_llm4rec.evaluate import Evaluation
from lite_llm4rec.metrics import CASE_METRICS
from lite_llm4rec.models import CausalConfig, GenerativeConfig, title
from lite_llm4rec.preset import Preset

METRIC_ORDER = (*CASE_METRICS, "coverage@10")
OUTPUT_SHARES = ("malformed", "unknown", "repeated")  # of a model that writes ids
CURVE_ROWS = 12


def model_card(
    preset: Preset,
    evaluations: list[Evaluation],
    n_items: int,
    curves: str,
    brought: bool = False,
) -> str:
    """Write the card as Markdown.

    Parameters
    ----------
    curves : str
        The text of curves.csv.
    brought : bool
        Whether the item vectors were the caller's own.
    """
    return (
        "\n\n".join(
            [
                "---\nlibrary_name: lite-llm4rec\ntags:\n- recommender-system\n"
                "- sequential-recommendation\n---",
                f"# {title(to_dict(preset.model))}, preset `{preset.name}`",
                f"Reads up to {preset.model.history_length} items of a history and "
                f"{_scores(preset, n_items)}",
                "```python\nfrom lite_llm4rec import Recommender\n\n"
                'recommender = Recommender.load("this folder")\n'
                "print(recommender.recommend([[…ids of one history…]], k=10))\n```",
                _new_items(preset, brought),
                *[_measured(evaluation) for evaluation in evaluations],
                _curve(curves),
                "## Settings\n\n```json\n" + _settings(preset) + "\n```",
            ]
        )
        + "\n"
    )


def _scores(preset: Preset, n_items: int) -> str:
    if isinstance(preset.model, GenerativeConfig):
        return (
            f"writes ids of {n_items:,} items, {preset.model.beams} side by side. "
            "Scores are log-probabilities of what it writes."
        )
    return f"scores {n_items:,} items in one pass. Scores are logits, not probabilities."


def _new_items(preset: Preset, brought: bool) -> str:
    model = preset.model
    if isinstance(model, CausalConfig) and model.items in ("both", "text") and model.head == "tied":
        if brought:
            return (
                "New items are scored by their vectors, of the same kind as those it was trained"
                " on: `recommender.add_items(table, vectors=…)`, no training."
            )
        return "New items are scored by their text: `recommender.add_items(table)`, no training."
    return "It scores only the items that it was trained on."


def _measured(evaluation: Evaluation) -> str:
    lines = [
        f"## Measured ({evaluation.protocol.part})",
        "",
        f"Protocol: {evaluation.protocol.line()}; 95 % bootstrap intervals over users.",
        "",
        "| metric | mean | interval |",
        "|---|---|---|",
    ]
    for name in shown_metrics(evaluation):
        low, high = evaluation.intervals.get(name, (None, None))
        interval = "" if low is None else f"{low:.4f} – {high:.4f}"
        lines.append(f"| {name} | {evaluation.metrics[name]:.4f} | {interval} |")
    lines += ["", *[f"**Leak check:** {leak}" for leak in evaluation.leaks]]
    return "\n".join(lines).rstrip()


def shown_metrics(evaluation: Evaluation) -> list[str]:
    """Name the means to show, of a model that writes ids also what became of its outputs."""
    return [*METRIC_ORDER, *(name for name in OUTPUT_SHARES if name in evaluation.metrics)]


def _curve(curves: str) -> str:
    rows = list(csv.DictReader(io.StringIO(curves)))
    if not rows:
        return "## Curves\n\nNone recorded."
    step = max(1, -(-len(rows) // CURVE_ROWS))
    shown = rows[::step] + ([rows[-1]] if (len(rows) - 1) % step else [])
    lines = ["## Curves", "", "Every epoch is in `curves.csv`.", ""]
    lines += ["| stage | epoch | loss | valid recall@10 | valid ndcg@10 |", "|---|---|---|---|---|"]
    for row in shown:
        lines.append(
            f"| {row['stage']} | {int(row['epoch']) + 1} | {_digits(row['loss'])}"
            f" | {_digits(row['recall@10'])} | {_digits(row['ndcg@10'])} |"
        )
    return "\n".join(lines)


def _digits(value: str) -> str:
    """Round a number; an epoch at whose end training was stopped has no loss."""
    return f"{float(value):.4f}" if value else "—"


def _settings(preset: Preset) -> str:
    return json.dumps(to_dict(preset), indent=2, ensure_ascii=False)
