"""The paper's cells that want a GPU, the most wanted first; `gpu.sh` runs it in slices.

Wants no more than the package itself does: no typer, no rich, no network.
"""

import argparse
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from lite_llm4rec.errors import Interrupted
from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.exhibits import cells
from lite_llm4rec.paper.reproduce import reproduce

EFFICIENCY = ("table5", "table1", "table2", "figure2", "clocks", "length", "batch", "cost", "size")
WEIGHTS = ".safetensors"
KNOWN = Path(__file__).parents[1] / "results" / "paper"
GO_ON = 75  # the status that says: not through yet, call again (EX_TEMPFAIL)


def wanted(data: str, seeds: list[int], only: str = "") -> list[Cell]:
    """Lite-LLM4Rec from scratch, then times, then P5 and POD from scratch, then the rest.

    Of these those whose exhibit and name hold all words of `only`.
    """
    ranked = [(_rank(cell), cell) for cell in cells(["all"], data, seeds)]
    kept = [(rank, cell) for rank, cell in ranked if rank is not None and _is_named(cell, only)]
    return [cell for _, cell in sorted(kept, key=lambda pair: pair[0])]


def _is_named(cell: Cell, words: str) -> bool:
    return all(word in f"{cell.exhibit} {cell.name}" for word in words.lower().split())


def _rank(cell: Cell) -> int | None:
    fresh = cell.exhibit in ("table4", "table2") and "from scratch" in cell.row
    if cell.wants and fresh and cell.row.startswith("Lite-LLM4Rec") and cell.exhibit == "table4":
        return 0
    if cell.seed is None:
        return 1 + EFFICIENCY.index(cell.exhibit) if cell.exhibit in EFFICIENCY else None
    if cell.wants and fresh:
        return 10 if cell.row.startswith(("P5", "POD")) else 11
    return 12 if cell.wants else None


def bring_home(runs: Path, home: Path) -> None:
    """Copy whole run folders, their weights in half precision; `Recommender.load` reads them."""
    for config in runs.glob("*/*/config.json"):
        folder = config.parent
        target = home / folder.relative_to(runs)
        if target.exists():
            continue
        partial = target.with_name(f".{target.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(folder, partial)
        for path in partial.rglob(f"*{WEIGHTS}"):
            save_file(_halved(load_file(path)), path, metadata={"format": "pt"})
        partial.rename(target)


def _halved(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        name: value.half() if value.is_floating_point() else value
        for name, value in weights.items()
    }


def main() -> int:
    """Measure what is missing; return the status."""
    parser = _parser()
    given = parser.parse_args()
    runs, home = given.out / "runs", given.out / "home"
    bench = Bench(
        home / "records",
        runs,
        given.root,
        60 * given.budget,
        given.device,
        given.t5,
        vectors=given.vectors,
    )
    listed = wanted(given.data, given.seeds, given.only)
    if not listed:
        parser.error(f"No cell's name holds all of '{given.only}'.")
    known = replace(bench, records=given.known)
    missing = [cell for cell in listed if not cell.is_done(known)]
    if len(missing) < len(listed):
        print(f"{len(listed) - len(missing)} of {len(listed)} cells have records in {given.known}.")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also when started in the background
    try:
        bring_home(runs, home / "checkpoints")
        failed = reproduce(missing, bench, lambda line: print(line, flush=True))
        bring_home(runs, home / "checkpoints")
    except (KeyboardInterrupt, Interrupted):
        return GO_ON
    return 1 if failed else 0


def seeds(words: str) -> list[int]:
    """Read comma-separated numbers; argparse names this function where there are others."""
    return [int(seed) for seed in words.split(",") if seed]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="data root, with ml-1m/interactions.parquet")
    parser.add_argument("t5", help="folder of T5-small: config, tokenizer, weights if at hand")
    parser.add_argument("out", type=Path, help="folder of all results")
    parser.add_argument("--vectors", type=Path, help="MiniLM's item vectors, if it is not here")
    parser.add_argument("--data", default="ml-1m")
    parser.add_argument(
        "--seeds", type=seeds, default="0", help='comma-separated; "" for times alone'
    )
    parser.add_argument("--only", default="", help="words that a cell's name holds")
    parser.add_argument("--known", type=Path, default=KNOWN, help="records that are there already")
    parser.add_argument("--budget", type=float, default=20.0, help="minutes of training per cell")
    parser.add_argument("--device", default="cuda")
    return parser


if __name__ == "__main__":
    sys.exit(main())
