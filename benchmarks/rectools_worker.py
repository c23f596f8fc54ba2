"""Train a model of RecTools 0.19 epoch by epoch, in an environment of RecTools' own.

Started by `train_against_rectools.py`. Each line of its input is "train", for one more epoch, or
"validate"; it answers each with one line of JSON.
"""

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import rectools
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.fast_transformers import (
    FlatSASRecNet,
    SequenceBatchDataset,
    build_sequences,
    hitrate_at_k,
)
from rectools.models import SASRecModel
from torch.nn import functional
from torch.utils.data import DataLoader

LIST_LENGTH = 10
CASES_AT_ONCE = 256


class Clock(pl.Callback):
    """Times an epoch's steps; Lightning's own start and end are left out."""

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.seconds = time.perf_counter() - self.began


def make_trainer() -> pl.Trainer:
    """RecTools' default trainer, with a clock and on the CPU."""
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[Clock()],
    )


class WholeModel:
    """`SASRecModel`, by its own `fit_partial` and `recommend`."""

    def __init__(self, log: pd.DataFrame, valid: pd.DataFrame, settings: dict[str, Any]) -> None:
        names = {"user": Columns.User, "item": Columns.Item, "order": Columns.Datetime}
        frame = log.rename(columns=names)
        frame[Columns.Datetime] = pd.to_datetime(frame[Columns.Datetime], unit="s")
        frame[Columns.Weight] = 1.0
        self.dataset = Dataset.construct(frame)
        self.valid = valid.rename(columns=names)
        self.model = SASRecModel(
            n_factors=settings["width"],
            n_blocks=settings["blocks"],
            n_heads=settings["heads"],
            session_max_len=settings["length"],
            dropout_rate=settings["dropout"],
            batch_size=settings["batch"],
            loss=settings["loss"],
            lr=settings["lr"],
            get_trainer_func=make_trainer,
            recommend_torch_device="cpu",
        )

    def train(self) -> dict[str, Any]:
        self.model.fit_partial(self.dataset, min_epochs=1, max_epochs=1)
        clock = next(each for each in self.model.fit_trainer.callbacks if isinstance(each, Clock))
        taught = self.model.data_preparator.train_dataset.interactions.df
        return {"seconds": clock.seconds, "targets": len(taught) - taught[Columns.User].nunique()}

    def validate(self) -> float:
        users = self.valid[Columns.User].to_numpy()
        lists = self.model.recommend(users, self.dataset, LIST_LENGTH, filter_viewed=True)
        return len(lists.merge(self.valid, on=Columns.UserItem)) / len(self.valid)

    def describe(self) -> dict[str, int]:
        """Count what was built; only after the first epoch is there anything."""
        return {
            "items": self.model.torch_model.item_model.n_items - 1,
            "parameters": sum(each.numel() for each in self.model.torch_model.parameters()),
        }


class FlatNet:
    """`FlatSASRecNet`, which comes without a trainer: in the leanest loop that teaches it.

    Sequences, batches and the loss are as in the package's `UniSRecModel.fit`, initial values and
    Adam as in its `SASRecModel`: from those of `torch.nn.Embedding` it hardly learns.
    """

    def __init__(self, log: pd.DataFrame, valid: pd.DataFrame, settings: dict[str, Any]) -> None:
        users, items, order = (
            torch.from_numpy(log[name].to_numpy()) for name in ("user", "item", "order")
        )
        self.x, self.y, known, kept = build_sequences(users, items, order, settings["length"])
        self.loader = DataLoader(
            SequenceBatchDataset(self.x, self.y), settings["batch"], shuffle=True
        )
        self.net = FlatSASRecNet(
            n_items=len(known),
            n_factors=settings["width"],
            n_blocks=settings["blocks"],
            n_heads=settings["heads"],
            session_max_len=settings["length"],
            dropout=settings["dropout"],
        )
        for values in self.net.parameters():
            if values.dim() > 1:
                torch.nn.init.xavier_normal_(values)
        self.optimizer = torch.optim.Adam(self.net.parameters(), settings["lr"], (0.9, 0.98))
        goals = torch.from_numpy(valid["item"].to_numpy())
        place = torch.searchsorted(known, goals).clamp(max=len(known) - 1)
        self.goals = torch.where(known[place] == goals, place + 1, 0)  # 0 is never recommended
        self.rows = torch.searchsorted(kept, torch.from_numpy(valid["user"].to_numpy()))
        self.seen = self._seen(users, items, known, kept)

    def _seen(
        self, users: torch.Tensor, items: torch.Tensor, known: torch.Tensor, kept: torch.Tensor
    ) -> torch.Tensor:
        """Whether a user of `x` has had an item, (users, items)."""
        able = torch.isin(users, kept)
        seen = torch.zeros(len(kept), len(known), dtype=torch.bool)
        rows = torch.searchsorted(kept, users[able])
        seen[rows, torch.searchsorted(known, items[able])] = True
        return seen

    def train(self) -> dict[str, Any]:
        self.net.train()
        began = time.perf_counter()
        for batch in self.loader:
            self.optimizer.zero_grad()
            logits = self.net(batch).flatten(0, 1)
            loss = functional.cross_entropy(logits, batch["y"].flatten() - 1, ignore_index=-1)
            loss.backward()
            self.optimizer.step()
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "targets": int((self.y != 0).sum())}

    @torch.no_grad()
    def validate(self) -> float:
        self.net.eval()
        # torch's fast path gives NaN where a position may look at padding alone.
        torch.backends.mha.set_fastpath_enabled(False)
        histories = torch.cat([self.x[:, 1:], self.y[:, -1:]], 1)
        matrix = self.net.all_item_embeddings()
        hits = 0.0
        parts = zip(self.rows.split(CASES_AT_ONCE), self.goals.split(CASES_AT_ONCE), strict=True)
        for rows, goals in parts:
            scores = self.net.encode_last(histories[rows]) @ matrix.T
            scores[self.seen[rows]] = -torch.inf
            best = scores.topk(LIST_LENGTH).indices + 1
            hits += float(hitrate_at_k(best, goals)) * len(rows)
        return hits / len(self.goals)

    def describe(self) -> dict[str, int]:
        return {
            "items": self.net.n_items,
            "parameters": sum(each.numel() for each in self.net.parameters()),
        }


MODELS = {"SASRecModel": WholeModel, "FlatSASRecNet": FlatNet}


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    name, folder, settings = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever else prints must not be an answer
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    log, valid = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "valid"))
    system = MODELS[name](log, valid, settings)
    for line in sys.stdin:
        if line.strip() == "train":
            versions = {"rectools": rectools.__version__, "torch": torch.__version__}
            answer = {**system.train(), **system.describe(), "versions": versions}
        else:
            answer = {"recall@10": system.validate()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
