"""What is settled before the service listens."""

import subprocess
import sys

import pytest

ASKED = """
import resource
kind, given = resource.RLIMIT_NOFILE, ({soft}, {hard})
resource.setrlimit(kind, given)
from lite_llm4rec.serve.run import connections
print(connections(), *resource.getrlimit(kind))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [(256, 600, "472 600 600"), (256, 4000, "2048 2176 4000"), (3000, 4000, "2048 3000 4000")],
)
def test_no_more_connections_are_taken_than_files_may_be_open(soft: int, hard: int, expected: str):
    asked = [sys.executable, "-c", ASKED.format(soft=soft, hard=hard)]
    found = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == expected
