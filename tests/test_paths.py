"""One process at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from lite_llm4rec.errors import StoreError
from lite_llm4rec.paths import alone

HOLD = """
import sys
from pathlib import Path
from lite_llm4rec.paths import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_keeps_it_until_it_ends_or_is_killed(tmp_path: Path):
    lock = tmp_path / "lock"
    for kill in (False, True):
        other = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(lock)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="Another process is at work"), alone(lock, 0):
            raise AssertionError("two at once")
        if kill:
            other.kill()
        other.communicate()
        with alone(lock, 0):
            pass
