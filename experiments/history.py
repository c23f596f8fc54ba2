"""Cut the histories that trained runs are asked with: do older items help them, or disturb?

    python experiments/history.py results/history amazon-toys-2014 RUN RUN…

Each run is measured on validation with its latest 1, 2, 3, 5, 10, … items, up to the length that it
was trained with; nothing is trained. Records that exist are skipped.
"""

import argparse
from pathlib import Path

import torch

from lite_llm4rec.data.sources import load
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_record

LENGTHS = (1, 2, 3, 5, 10, 20, 50, 128)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("data")
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dataset = load(options.data)
    for run in options.runs:
        trained = Recommender.load(run)
        preset, whole = trained.preset, trained.model.history_length
        stage = trained.stages[-1]
        for length in [*(one for one in LENGTHS if one < whole), whole]:
            name = f"{preset.name.replace('/', '-')}-trained-{whole}-asked-{length}-{preset.seed}"
            path = options.out / f"{name}.json"
            if path.exists():
                continue
            trained.model.history_length = length
            write_record(
                path,
                trained.evaluate(dataset, part="valid"),
                model=preset.model.kind,
                preset=preset.name,
                seed=preset.seed,
                seconds=stage["seconds"],
                details={
                    "order": length,
                    "question": f"{preset.name}, trained with {whole}, seed {preset.seed}",
                    "changed": [f"asked with {length}"],
                    "epochs": stage["epochs"],
                },
            )  # fmt: skip


if __name__ == "__main__":
    main()
