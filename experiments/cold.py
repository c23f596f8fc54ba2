"""Hold items out of training and measure how they fare: baselines, models, and the offset's knob.

    python experiments/cold.py --data amazon-toys-2014 results/cold

Each system is one record per seed; those of a model that scores text come with the offset that its
training calibrated and with others, so that the knob can be seen. Records that exist are skipped.
"""

import argparse
from pathlib import Path

import torch

from lite_llm4rec.config import to_dict
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.sources import load
from lite_llm4rec.data.split import Split
from lite_llm4rec.evaluate import Evaluation, evaluate
from lite_llm4rec.models import TITLES, CausalLLM4Rec, NearestText, Popularity
from lite_llm4rec.preset import Preset, load_preset, preset_for, preset_split
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import write_record

SYSTEMS = {
    "default": ("fast", []),
    "no-id-dropout": ("fast", ["model.id_dropout=0.0"]),
    "text": ("fast", ["model.items='text'"]),
    "sasrec": ("sasrec", []),
}
SHIFTS = (-2.0, -1.0, 1.0, 2.0)  # logits around the calibrated offset


def preset_of(family: str, dataset: Dataset, changes: list[str], share: float, seed: int) -> Preset:
    variant = preset_for("fast", dataset).rpartition("/")[2]
    name = f"{family}/{variant}"
    return load_preset(name, [*changes, f"cold_share={share}"], seed)


def measure(out: Path, system: str, seed: int, trained: Recommender, dataset: Dataset) -> None:
    """Write records of the model with other offsets, where it has one, and as it was trained.

    The latter, by which a system is done, comes last.
    """
    split = preset_split(trained.preset, dataset)
    calibrated = trained.cold_offset
    scores_text = isinstance(trained.model, CausalLLM4Rec) and trained.model.scores_text
    for shift in SHIFTS if scores_text else ():
        trained.cold_offset = calibrated + shift
        found = evaluate(trained.model, dataset, split)
        write(
            out / f"{system}{shift:+.0f}-{seed}.json", found, trained,
            f"({system}, calibrated offset {shift:+.0f})",
        )  # fmt: skip
    trained.cold_offset = calibrated
    found = evaluate(trained.model, dataset, split)
    write(out / f"{system}-{seed}.json", found, trained, f"({system})")


def write(path: Path, found: Evaluation, trained: Recommender, note: str) -> None:
    preset = trained.preset
    write_record(
        path,
        found,
        model=TITLES[preset.model.kind],
        preset=preset.name,
        seed=preset.seed,
        seconds=trained.stages[-1]["seconds"],
        details={"note": note, "settings": to_dict(preset), "offset": trained.cold_offset},
    )


def baselines(out: Path, dataset: Dataset, split: Split, vectors: torch.Tensor) -> None:
    models = {
        "Popularity": Popularity(torch.from_numpy(split.train_counts())),
        "Nearest text": NearestText(vectors),
    }
    for name, model in models.items():
        write_record(
            out / f"{name.lower().replace(' ', '-')}.json", evaluate(model, dataset, split),
            model=name, preset="", seed=None, seconds=0.0,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", default="amazon-toys-2014")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    dataset = load(options.data)
    for seed in range(options.seeds):
        for system in options.systems.split(","):
            family, changes = SYSTEMS[system]
            if (options.out / f"{system}-{seed}.json").exists():
                continue
            preset = preset_of(family, dataset, changes, options.share, seed)
            split = preset_split(preset, dataset)
            trained = Recommender.fit(dataset, preset, split=split, device="cpu")
            if seed == 0 and trained.vectors.shape[1]:
                baselines(options.out, dataset, split, torch.from_numpy(trained.vectors))
            measure(options.out, system, seed, trained, dataset)


if __name__ == "__main__":
    main()
