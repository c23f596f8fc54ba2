"""The tuned presets are what their searches found."""

import json
import re
from pathlib import Path

import pytest

from lite_llm4rec.config import to_dict
from lite_llm4rec.preset import load_preset, preset_from_dict, preset_text

ROOT = Path(__file__).parents[2]
BASES = {"bert4rec": "bert4rec", "fdsa": "fdsa", "s3rec": "s3rec", "lite": "cpu/small"}
LENGTHS = {"short": "toys", "long": "ml-1m"}


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("length", LENGTHS)
def test_a_tuned_preset_has_the_settings_of_its_searchs_best_cell(kind: str, length: str):
    folder = ROOT / "results" / f"ablation-{LENGTHS[length]}-{kind}"
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    assert len(cells) > 3
    best = max(cells, key=lambda cell: cell["metrics"]["recall@10"])
    name = f"{kind}-tuned/{length}"
    found = to_dict(preset_from_dict({**best["settings"], "name": name}))
    assert to_dict(load_preset(name)) == found


@pytest.mark.parametrize("kind", BASES)
@pytest.mark.parametrize("length", LENGTHS)
def test_it_marks_what_differs_from_the_base(kind: str, length: str):
    name, base = f"{kind}-tuned/{length}", BASES[kind]
    own = to_dict(load_preset(name))
    before = to_dict(load_preset(base if "/" in base else f"{base}/{length}"))
    changed = {
        f"{section}.{key}"
        for section, settings in own.items()
        if isinstance(settings, dict)
        for key, value in settings.items()
        if value != before[section][key]
    }
    assert marked(preset_text(name)) == changed


def marked(text: str) -> set[str]:
    """The settings that a preset's file marks as searched."""
    section, found = "", set()
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif re.search(r" = .*# searched", line):
            found.add(f"{section}.{line.split(' = ')[0]}")
    return found
