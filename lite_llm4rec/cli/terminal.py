"""What every command does with the terminal and the threads."""

import json
import sys
from typing import Any

from rich.console import Console

console = Console(markup=False)  # names of files and columns may hold brackets


def print_json(value: Any) -> None:
    """Print a value for another program to read, in whatever encoding standard output has."""
    whole = (sys.stdout.encoding or "").lower() in ("utf-8", "utf8")
    print(json.dumps(value, indent=2, ensure_ascii=not whole, default=str))


def set_threads(threads: int | None) -> None:
    """Bound the threads that torch computes with."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
