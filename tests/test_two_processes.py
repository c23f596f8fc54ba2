"""Training on two devices, in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
from lite_llm4rec import Dataset, leave_one_out
from lite_llm4rec.paths import is_main_process
from lite_llm4rec.machine import Machine
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.train import fit
from tests.conftest import ring_tables
from tests.models.test_lite import make
devices, batch, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
torch.manual_seed(0)
split = leave_one_out(Dataset.from_tables(*ring_tables(200, 60, 8, 0)).interactions)
model = make("t5")
fit(model, split, StageConfig(epochs=3, batch=batch, lr=1e-3), folder / "state",
    machine=Machine("cpu", devices), progress=False)
if is_main_process():
    save_file(model.state_dict(), folder / "weights.safetensors")
"""


def weights_after(devices: int, batch: int, folder: Path) -> dict[str, torch.Tensor]:
    """Train 200 examples on so many devices, in processes of their own."""
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, folder / "script.py", str(devices), str(batch), folder],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return load_file(folder / "weights.safetensors")


@pytest.mark.slow
def test_two_processes_end_where_one_does(tmp_path: Path):
    """Gradients over two devices are those of the whole batch (no dropout), unequal shares or not.

    Of 200 examples in batches of 67 the shares are 34 and 33.
    """
    one, two = (weights_after(devices, 67, tmp_path / f"{devices}") for devices in (1, 2))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_a_last_batch_may_be_too_small_for_all_processes(tmp_path: Path):
    found = weights_after(2, 199, tmp_path / "run")
    assert all(torch.isfinite(value).all() for value in found.values())
