"""What a trained system that writes ids was asked and what it wrote, for a reader's own eyes."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lite_llm4rec.data.batching import pad
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.models import GenerativeRec
from lite_llm4rec.models.id_text import Prompts
from lite_llm4rec.rank_generated import OUTPUTS
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.records import add_to_record

USERS = 4
SHOWN = 6  # of each user's outputs


def add_samples(record: Path, folder: Path, dataset: Dataset) -> None:
    """Put samples of what the model in a run folder writes for test users into its record."""
    model = Recommender.load(folder).model
    if isinstance(model, GenerativeRec):
        add_to_record(record, {"samples": samples(model.eval(), dataset)})


def samples(model: GenerativeRec, dataset: Dataset) -> list[dict[str, Any]]:
    """Ask for the test items of a few users, spread over the log.

    Returns
    -------
    list of dict
        prompt, answer: text; written: the first outputs; place: where the answer stands among
        all 20, from 1, None where it does not.
    """
    split = leave_one_out(dataset.interactions)
    chosen = np.linspace(0, len(split.test) - 1, USERS).astype(np.int64)
    cases = split.test.take(chosen)
    starts = np.maximum(cases.starts, cases.positions - model.history_length)
    items, mask = pad(dataset.interactions.items, starts, cases.positions)
    prompts = model.prompts_of(torch.from_numpy(cases.users.astype(np.int64)), items, mask)
    texts, scores = model.write(prompts, OUTPUTS)
    found = model.catalogue().read(texts, scores).items
    told = []
    for row, position in enumerate(cases.positions):
        target = int(dataset.interactions.items[position])
        place = (found[row] == target).nonzero()[:, 0].tolist()
        told.append(
            {
                "prompt": _prompt(model, prompts, row),
                "answer": model.text_of(model.catalogue().targets[target]),
                "written": texts[row * OUTPUTS : row * OUTPUTS + SHOWN],
                "place": place[0] + 1 if place else None,
            }
        )
    return told


def _prompt(model: GenerativeRec, prompts: Prompts, row: int) -> str:
    """Read a prompt word by word, as the model counts words; a tokenizer may drop the blanks."""
    tokens, words = (part[row][prompts.mask[row]] for part in (prompts.tokens, prompts.words))
    if not words.any():
        return model.text_of(tokens)
    numbers = dict.fromkeys(words.tolist())
    return " ".join(model.text_of(tokens[words == number]) for number in numbers).strip()
