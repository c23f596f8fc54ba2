"""The command line run in this process, and what its tests run it on."""

import contextlib
import io
import json
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from lite_llm4rec.cli import main
from lite_llm4rec.cli.terminal import console
from tests.conftest import ring_tables

PRESET = """
[text]
model = "{text_model}"
max_tokens = 8
[model]
backbone = "t5"
from_scratch = true
shape = {{ d_model = 32, d_kv = 8, num_heads = 4, d_ff = 64, num_layers = 1 }}
history_length = 5
dropout = 0.0
[vector]
strategy = "all"
epochs = 40
batch = 64
lr = 1e-2
"""


@dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: object) -> Result:
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv, warnings.showwarning
    console.width = 200
    sys.argv = ["lite-llm4rec", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        status: Any = 0
    except SystemExit as error:
        status = error.code
    finally:
        sys.argv, warnings.showwarning = before
    return Result(status or 0, out.getvalue(), err.getvalue())


@dataclass
class World:
    log: Path
    items: Path
    preset: Path
    run: Path

    @property
    def tables(self) -> list[object]:
        return ["--interactions", self.log, "--items", self.items]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, text_model: Path) -> World:
    """Two CSV tables, a preset, and the run folder that `train` makes of them."""
    folder = tmp_path_factory.mktemp("cli")
    log, items = ring_tables(60, 20, 6, seed=0)
    found = World(folder / "log.csv", folder / "items.csv", folder / "p.toml", folder / "run")
    pa.csv.write_csv(log, found.log)
    pa.csv.write_csv(items, found.items)
    found.preset.write_text(PRESET.format(text_model=text_model))
    return found


@pytest.fixture(scope="session")
def first(world: World) -> Result:
    return run(
        "train", *world.tables, "--preset", world.preset, "--out", world.run, "--device", "cpu"
    )


@pytest.fixture
def folder(world: World, first: Result) -> Path:
    assert first.status == 0, first.err
    return world.run


def train(world: World, out: Path, *more: object) -> Result:
    return run("train", *world.tables, "--preset", world.preset, "--out", out, *more)


def assert_refused(result: Result, *words: str) -> None:
    assert result.status == 2, result.out + result.err
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err, result.err
