"""What holds for every command."""

import subprocess
import sys
from pathlib import Path

from lite_llm4rec.cli import COMMANDS
from tests.cli.conftest import World, assert_refused, run


def test_help_names_every_command():
    shown = run("--help")
    assert shown.status == 0
    for command in COMMANDS:
        assert f" {command.__name__.replace('_', '-')} " in shown.out


def test_a_path_that_cannot_be_written(folder: Path, world: World, tmp_path: Path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "lists.parquet"
    result = run("recommend", folder, "--history", "i03", "--out", out)
    assert_refused(result, str(tmp_path / "file"), "What to do: Check the path")


def test_without_the_extra_it_says_how_to_install_it():
    code = "import sys; sys.modules['typer'] = None; from lite_llm4rec.__main__ import main; main()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 2 and not found.stdout
    assert "error: The command needs the package 'typer'" in found.stderr
    assert "pip install 'lite-llm4rec[cli]'" in found.stderr
