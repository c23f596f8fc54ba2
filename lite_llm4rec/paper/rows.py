"""Records → the cells of a table's row."""

from collections.abc import Iterator
from itertools import groupby
from statistics import mean
from typing import Any

from lite_llm4rec.config import to_dict
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.id_text import STYLES
from lite_llm4rec.preset import load_preset, preset_from_dict, preset_names
from lite_llm4rec.stage_config import STAGES

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "mrr", "coverage@10")
UNTRAINED = ("Popularity", "Nearest text")
LOSS = [f"model.loss.{part}" for part in ("name", "negatives", "shared", "draw")]
TOLD = ["name", "seed", *LOSS]  # in columns of their own
PLAIN = ("model", "vector")  # sections whose settings are called by their last name


def merge_seeds(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Put records that differ in their seed alone together; what needs no training comes once."""
    untrained = {row["model"]: row for row in rows if row["model"] in UNTRAINED}
    first = [[untrained[name]] for name in UNTRAINED if name in untrained]
    trained = [row for row in rows if row["model"] not in UNTRAINED]
    return first + [list(group) for _, group in groupby(sorted(trained, key=_but_seed), _but_seed)]


def _but_seed(row: dict[str, Any]) -> tuple[str, ...]:
    """Name what makes two records the same system."""
    settings = _as_now({**row.get("settings", {}), "seed": 0})
    return row["dataset"], model(row), row["preset"], str(settings), row.get("note", "")


def _as_now(settings: dict[str, Any]) -> dict[str, Any]:
    """Fill in the settings that have come since a record was written, with their defaults."""
    try:
        return to_dict(preset_from_dict(settings))
    except ConfigError:  # one that is no more, or of a model that is not ours
        return settings


def model(row: dict[str, Any]) -> str:
    """Name the system, how it was trained and what its Recommendation LLM began with."""
    if "settings" not in row:
        return str(row["model"])
    settings = row["settings"]
    if settings["model"].get("kind", "lite") != "lite":
        first = ", pre-trained" if settings.get("pretrain") else ""
        return f"{row['model']}{first}{_loss(settings['model'].get('loss', {}))}"
    strategy = (settings["vector"] or settings["joint"])["strategy"]
    start = "from scratch" if settings["model"]["from_scratch"] else "pretrained"
    joint = ", joint stage first" if settings["joint"] and settings["vector"] else ""
    return f"{row['model']} `{strategy}`, {start}{joint}"


def _loss(loss: dict[str, Any]) -> str:
    name = loss.get("name", "full")
    if name == "full":
        return ", full cross-entropy"
    shared = " shared" if loss["shared"] else ""
    shared += " popular" if loss.get("draw") == "popular" else ""
    words = {"sampled": "sampled softmax", "gbce": "gBCE", "bce": "BCE"}
    return f", {words[name]} ({loss['negatives']}{shared} negatives)"


def preset(row: dict[str, Any]) -> str:
    """Name the preset as code, and what was set otherwise."""
    if row["preset"] not in preset_names():
        return f"`{row['preset']}`" if row["preset"] else ""
    if "settings" not in row:
        return f"`{row['preset']}`"
    packaged, own = to_dict(load_preset(row["preset"])), _as_now(row["settings"])
    return ", ".join([f"`{row['preset']}`", *_changes(packaged, own)])


def _changes(packaged: dict[str, Any], own: dict[str, Any]) -> Iterator[str]:
    """Name what was set otherwise; a stage that was left out, and one that came, as a whole."""
    for stage in STAGES:
        if packaged[stage] and not own.get(stage):
            yield f"no {stage} stage"
        elif own.get(stage) and not packaged[stage]:
            yield f"{stage} stage of {own[stage]['epochs']} epochs"
    before, after = (dict(_settings(one)) for one in (packaged, own))
    for path, value in after.items():
        section, _, name = path.partition(".")
        whole_stage = section in STAGES and not packaged[section]
        if path in (*TOLD, *STAGES) or whole_stage or before.get(path) == value:
            continue
        yield f"{name.rpartition('.')[2] if section in PLAIN else path} {value}"


def trained_as(row: dict[str, Any]) -> str:
    """Say in a cell what a training was of: its preset, how much history it reads, its loss."""
    shape = row["settings"]["model"]
    loss = _loss(shape["loss"]) if "loss" in shape else ""
    style = STYLES.get(shape.get("style"))
    reads = style is None or any("{items}" in wording for wording in style.next_item)
    history = f"history ≤ {shape['history_length']}" if reads else "no history"
    return f"{preset(row)}, {history}{loss}"


def _settings(section: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Give each setting with its path, "vector.lr" for instance."""
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _settings(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def place(row: dict[str, Any]) -> str:
    """Name the machine."""
    machine = row["machine"]
    threads = machine["threads"]
    cpu = f"{machine['processor']}, {threads} thread{'' if threads == 1 else 's'}"
    return str(machine.get("gpu") or cpu)


def yardstick(row: dict[str, Any]) -> str:
    """Name the system to hold others' times against: the fastest that the paper has, too."""
    times: dict[str, float] = row["values"]
    shared = [name for name in times if name in row["paper"]]
    return min(shared or times, key=times.__getitem__)


def places(rows: list[dict[str, Any]]) -> str:
    """Name the machines of several seeds."""
    return ", ".join(dict.fromkeys(map(place, rows)))


def commits(rows: list[dict[str, Any]]) -> str:
    """Name the commits of several seeds."""
    return ", ".join(dict.fromkeys(row["commit"] or "" for row in rows))


def is_gpu(row: dict[str, Any]) -> bool:
    """Whether it was measured on a GPU."""
    return "gpu" in row["machine"]


def value(rows: list[dict[str, Any]], name: str) -> str:
    """Give one record's mean with its interval over users, or several seeds' mean and range."""
    found = [row["metrics"][name] for row in rows]
    if len(rows) > 1:
        return f"{mean(found):.4f} ({min(found):.4f} – {max(found):.4f})"
    if name not in rows[0]["intervals"]:
        return f"{found[0]:.4f}"
    low, high = rows[0]["intervals"][name]
    return f"{found[0]:.4f} [{low:.4f}, {high:.4f}]"


def seeds(rows: list[dict[str, Any]]) -> str:
    """Name the seeds."""
    return ", ".join(str(row["seed"]) for row in rows if row["seed"] is not None)


def clock(rows: list[dict[str, Any]]) -> str:
    """Give the mean time of training in minutes."""
    seconds = mean(row["seconds"] for row in rows)
    return "" if not seconds else f"{seconds / 60:.1f} min"
