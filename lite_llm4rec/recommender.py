"""The user's object: fit, recommend, similar_items, evaluate, save, load."""

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from lite_llm4rec import hub, training_folder
from lite_llm4rec.compiled import BATCHES, FixedShapes
from lite_llm4rec.config import to_dict
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split
from lite_llm4rec.data.titles import find_title
from lite_llm4rec.errors import ConfigError, DataError, nearest
from lite_llm4rec.evaluate import Evaluation, Part, encode_cases, evaluate
from lite_llm4rec.index import EXACT_BELOW, Index, IndexFacts
from lite_llm4rec.item_changes import ItemChanges
from lite_llm4rec.lists import (
    Candidates,
    Recommendations,
    as_ids,
    as_lists,
    as_marks,
    item_numbers,
    name_lists,
)
from lite_llm4rec.machine import Machine
from lite_llm4rec.models import EncoderModel, SequenceModel
from lite_llm4rec.neighbours import similar_items
from lite_llm4rec.own_split import LearntTargets, as_numbered, learnt_targets
from lite_llm4rec.preset import Preset, load_preset, preset_for, preset_from_dict, preset_split
from lite_llm4rec.rank import MAX_SCORE_BYTES, top_k
from lite_llm4rec.rank_histories import Search, rank_histories
from lite_llm4rec.run_folder import read_run, write_run
from lite_llm4rec.sample_histories import sample_histories

USERS = 1000  # that an index is made to fit


class Recommender(ItemChanges):
    """A trained model with its catalogue; `Run` says what it holds.

    Made by `Recommender.fit` or `Recommender.load`.
    """

    def __repr__(self) -> str:
        """Say in one line which model it is, and of how many items."""
        return f"Recommender({self.preset.name!r}, {len(self.catalogue):,} items)"

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        preset: str | Path | Preset | None = None,
        *,
        init_from: "Recommender | str | Path | None" = None,
        split: Split | None = None,
        vectors: npt.NDArray[np.float32] | None = None,
        folder: str | Path | None = None,
        device: str = "auto",
        devices: int = 1,
        progress: bool = True,
        max_seconds: float | None = None,
    ) -> "Recommender":
        """Train.

        Parameters
        ----------
        dataset : Dataset
        preset : str or Preset
            A preset's name ("fast" chooses a variant for the data), a TOML file's path, or the
            settings themselves. By default those of `init_from`, else "fast".
        init_from : Recommender or path, optional
            Go on from this model or run folder, which must be of the same shape: weights are kept,
            and those of items found by their ids; new items start from their text. What is retired
            there stays so.
        split : Split, optional
            By default the preset's: where it says no other, each user's last two items are kept for
            validation and test; with its share of items held out.
        vectors : numpy.ndarray, optional
            (N, width) brought item vectors, in the catalogue's order, in place of encoded text.
        folder : path, optional
            Where checkpoints and curves go. A run that was killed goes on from there when called
            again with the same folder, settings and data; without one nothing is kept.
        device : str
            "cpu", "cuda" or "auto".
        devices : int
            How many of them.
        progress : bool
            Print an epoch's line, with rate and ETA.
        max_seconds : float, optional
            Time for training; when it is over the best so far is kept.

        Raises
        ------
        DataError, ConfigError, DownloadError, TrainingError
        StoreError
            When another training is at work in the folder.
        """
        _check_dataset(dataset, "fit")
        if isinstance(init_from, str | Path):
            init_from = cls.load(init_from)
        if preset is None:
            preset = init_from.preset if init_from is not None else "fast"
        if isinstance(preset, str | Path):
            preset = load_preset(preset_for(str(preset), dataset))
        preset = preset_from_dict(to_dict(preset))  # a wrong value is told, whoever made it
        # Lightning takes seconds to import, and only training needs it.
        from lite_llm4rec.fitting import fit_run

        with training_folder.opened(folder) as state:
            run = fit_run(
                dataset, preset, split or preset_split(preset, dataset), Machine(device, devices),
                init_from=init_from, vectors=vectors, folder=state, progress=progress,
                max_seconds=max_seconds,
            )  # fmt: skip
        return cls(**vars(run))

    def evaluate(
        self,
        dataset: Dataset,
        split: Split | None = None,
        part: Part = "test",
        *,
        seen_filter: bool | None = None,
        device: str = "cpu",
        batch: int = 256,
        max_score_bytes: int = MAX_SCORE_BYTES,
    ) -> Evaluation:
        """Rank every target of a split's part among the whole catalogue.

        See `evaluate.evaluate`. The result is kept with the model and saved with it. By default
        the split is the one it was trained with, and seen items are removed unless the preset's
        `repeats` says otherwise. A warning, and `leaks`, tell of targets that training has seen,
        where the split is another.

        Raises
        ------
        DataError
            When the data set's items are not this model's; or, for a model that writes ids, its
            users: such a model knows them by their place in the log.
        ConfigError
            When no split is given and the model was trained with one that its name does not tell.
        """
        _check_dataset(dataset, "evaluate")
        if part not in get_args(Part):
            raise ConfigError(f"part is {part!r}.", nearest(str(part), get_args(Part)))
        (dataset, split), device = as_numbered(self, dataset, split), Machine(device).name()
        self.check_users(split.interactions)
        if seen_filter is None:
            seen_filter = not self.preset.repeats
        evaluation = evaluate(
            self.model, dataset, split, part, seen_filter=seen_filter, device=device, batch=batch,
            max_score_bytes=max_score_bytes,
        )  # fmt: skip
        learnt = learnt_targets(self, dataset, split, getattr(split, part))
        for leak in learnt:
            warnings.warn(leak, LearntTargets, stacklevel=2)
        evaluation = replace(evaluation, leaks=[*evaluation.leaks, *learnt])
        kept = {old.protocol: old for old in self.evaluations}  # one measured again stays in place
        self.evaluations = list((kept | {evaluation.protocol: evaluation}).values())
        return evaluation

    def recommend(
        self,
        histories: Any,
        k: int = 10,
        *,
        exclude: Sequence[Any] = (),
        candidates: Candidates | None = None,
        include_seen: bool | None = None,
        unknown: Literal["error", "drop"] = "error",
        unlisted: Mapping[Any, npt.NDArray[np.float32]] | None = None,
        device: str = "cpu",
    ) -> Recommendations:
        """Recommend for any histories, of users that were in training or not.

        Parameters
        ----------
        histories : list of lists, Interactions, or path or table
            Item ids in time order, or interactions, one history per user; of a table whose columns
            have other names than the usual, what `Interactions.from_table` reads.
        k : int
            How many items. Fewer come back only when fewer candidates are left, or when a model
            that writes ids writes fewer of them.
        exclude : sequence
            Ids never to recommend; those that the catalogue does not hold are passed over.
        candidates : sequence, optional
            Ids to choose from, or a bool array (N,) that marks them in the catalogue, which of
            many is quicker; by default the whole catalogue.
        include_seen : bool, optional
            Whether items of the history may come again; by default as the preset's `repeats`.
        unknown : "error" or "drop"
            What to do with ids in a history that the catalogue does not hold.
        unlisted : mapping, optional
            Items that the catalogue does not hold and histories may: the text vector (text width,)
            of each, by the id that the histories call it. They are read, never recommended.

        Returns
        -------
        Recommendations
            Ids, titles and scores (logits, comparable within one history only). An empty history
            gets the most popular items, and its note says so.

        Raises
        ------
        UnknownItemError
            Naming the ids that the catalogue does not hold.
        ConfigError
            On `unlisted` items where the model reads no text.
        """
        parts = self.recommend_stream(
            histories, k, exclude=exclude, candidates=candidates, include_seen=include_seen,
            unknown=unknown, unlisted=unlisted, device=device,
        )  # fmt: skip
        return Recommendations.join(list(parts))

    def recommend_stream(
        self,
        histories: Any,
        k: int = 10,
        *,
        exclude: Sequence[Any] = (),
        candidates: Candidates | None = None,
        include_seen: bool | None = None,
        unknown: Literal["error", "drop"] = "error",
        unlisted: Mapping[Any, npt.NDArray[np.float32]] | None = None,
        device: str = "cpu",
        batch: int = 1024,
    ) -> Iterator[Recommendations]:
        """Recommend in batches of `batch` histories, so that any number fits in memory.

        See `recommend`, also for what is raised: here when the first batch is asked for.

        Yields
        ------
        Recommendations
            Of up to `batch` histories, in their order.
        """
        _check_k(k)
        if unknown not in ("error", "drop"):
            raise ConfigError(f"unknown is '{unknown}'.", nearest(unknown, ["error", "drop"]))
        if include_seen is None:
            include_seen = self.preset.repeats
        device = Machine(device).name()
        allowed = self._allowed(exclude, candidates).to(device)
        texts = self._unlisted_vectors(unlisted) if unlisted else None
        self._make_ready(device)
        search = self._search(device)
        users, lists = as_lists(histories, self.catalogue.ids)
        first = 0
        while chunk := list(islice(lists, batch)):
            names = None if users is None else list(islice(users, len(chunk)))
            numbers = item_numbers(chunk, self.catalogue, unknown, unlisted or ())
            items, scores = rank_histories(
                self.model, search, self.counts, numbers, min(k, len(self.catalogue)), allowed,
                include_seen, texts,
            )  # fmt: skip
            yield name_lists(self.ids, self.titles, items, scores, names, numbers, first)
            first += len(chunk)

    def similar_items(
        self, items: Sequence[Any], k: int = 10, *, by: Literal["text", "behaviour"] = "text"
    ) -> Recommendations:
        """Find the items nearest to each of `items`, by cosine, itself left out.

        Parameters
        ----------
        items : sequence
            Ids.
        by : "text" or "behaviour"
            Compare what the items' text says, or the head's rows: who is recommended alike. An item
            without text has no neighbours by it, and its note says so.

        Returns
        -------
        Recommendations
            One list of up to `k` items per item; scores are cosines.

        Raises
        ------
        UnknownItemError
            Naming the ids that the catalogue does not hold.
        ConfigError
            When the model has no such vectors.
        """
        _check_k(k)
        return similar_items(self, as_ids(items), k, by, self._matrix.of)

    def find(self, words: str) -> Any:
        """Return the id of the one item whose title the words mean.

        Raises
        ------
        UnknownItemError
            When no title or several match.
        """
        return self.ids[find_title(self.titles, words)]

    @torch.no_grad()
    def build_index(self, dataset: Dataset | None = None, recall: float = 0.99) -> IndexFacts:
        """Find items approximately from now on, which pays in large catalogues; exactly scored.

        Parameters
        ----------
        dataset : Dataset, optional
            What the model was trained on, whose validation's users the index is made to fit;
            without it, drawn histories.
        recall : float
            The share of the exact ten best that it must find, on average.

        Raises
        ------
        ConfigError
            When the catalogue is so small that exact search is as fast, or the model scores no
            items.
        MissingExtraError
            When faiss is not installed.
        """
        if not isinstance(self.model, SequenceModel) or len(self.catalogue) < EXACT_BELOW:
            raise ConfigError(
                f"An index pays for models that score {EXACT_BELOW:,} items or more, not for"
                f" {len(self.catalogue):,}.",
                "Ask the run folder as it is.",
            )
        sample = sample_histories(self, dataset, USERS)
        users = encode_cases(self.model.cpu(), sample.items, sample.cases, "cpu")
        self.index = Index.build(self.model.item_matrix(), users, recall)
        return self.index.facts

    def compile(self, batches: Sequence[int] = BATCHES) -> None:
        """Encode histories at a few fixed shapes from now on, which a GPU runs as CUDA graphs.

        The first call at each shape takes a minute or so, and all calls must come from one thread.
        It pays for small batches on a GPU (`device="cuda"`); on a CPU take `export`.

        Parameters
        ----------
        batches : sequence of int
            The batch sizes; others are padded to the next, or cut.

        Raises
        ------
        ConfigError
            When the model has no encoder of item vectors.
        """
        if not isinstance(self.model, EncoderModel):
            raise ConfigError(
                f"A {self.preset.model.kind} model has no encoder of item vectors to compile.",
                "Ask it as it is.",
            )
        self.model.compiled = FixedShapes(self.model.encode, self.model.history_length, batches)

    def save(self, path: str | Path) -> Path:
        """Write the run folder, whole or not at all; an older one at `path` is replaced.

        Raises
        ------
        StoreError
            When something else than a run folder is at `path`, or it cannot be written.
        """
        return write_run(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> "Recommender":
        """Load a run folder.

        Raises
        ------
        StoreError
            When it is not one, is damaged, or is of a newer format.
        MissingExtraError
            When it is an export, or has an index, whose runtime is not installed.
        """
        return cls(**vars(read_run(Path(path))))

    @classmethod
    def from_pretrained(cls, name: str | Path, revision: str | None = None) -> "Recommender":
        """Load a run folder from the Hugging Face Hub, or a local one.

        Raises
        ------
        DownloadError
            When the Hub cannot be reached or has no such repository.
        MissingExtraError
            As `load` does, and where the Hub's library is not installed.
        """
        return cls.load(hub.download(str(name), revision))

    def push_to_hub(self, name: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the run folder to the Hugging Face Hub and return its address.

        Raises
        ------
        DownloadError
            When the Hub cannot be reached, or does not take it.
        MissingExtraError
            Where the Hub's library is not installed.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.save(Path(temporary) / "run")
            return hub.upload(folder, name, private=private, token=token)

    def _make_ready(self, device: str) -> None:
        """Move the model or end its training, where need be: to go through its parts takes time."""
        weight = next(chain(self.model.parameters(), self.model.buffers()), None)
        if weight is None or weight.device.type != device:
            self.model.to(device)
        if self.model.training:
            self.model.eval()

    def _search(self, device: str) -> Search | None:
        """Choose how the best items of user vectors are found: by the index, or exactly."""
        if not isinstance(self.model, SequenceModel):
            return None
        if self.index is not None and device == "cpu":
            return self.index.top_k
        matrix = self._matrix.of(self.model)
        return lambda users, k, seen, allowed: top_k(users, matrix, k, seen, allowed)

    def _allowed(self, exclude: Sequence[Any], candidates: Candidates | None) -> torch.Tensor:
        allowed = torch.from_numpy(~self.retired)
        if candidates is not None:
            allowed &= torch.from_numpy(as_marks(candidates, self.catalogue))
        if denied := as_ids(exclude):
            numbers = self.catalogue.lookup(denied)
            allowed[numbers[numbers >= 0]] = False
        return allowed


def _check_k(k: int) -> None:
    if k < 1:
        raise ConfigError(f"k must be at least 1, not {k}.", "Ask for one item or more.")


def _check_dataset(dataset: Any, what: str) -> None:
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"{what} takes a Dataset, not a {type(dataset).__name__}.",
            "Dataset.from_tables(interactions, items) makes one; load_dataset(name) too.",
        )
