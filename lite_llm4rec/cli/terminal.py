"""What every command does with the terminal and the threads."""

import json
from typing import Any

from rich.console import Console

console = Console(markup=False)  # names of files and columns may hold brackets


def print_json(value: Any) -> None:
    """Print a value for another program to read."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def set_threads(threads: int | None) -> None:
    """Bound the threads that torch computes with."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
