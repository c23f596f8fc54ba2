"""One cell of the paper's tables and figures: what is to be measured, and where it is kept."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from lite_llm4rec.config import difference, to_dict
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.sources import load
from lite_llm4rec.errors import ConfigError, DownloadError, LiteLLM4RecError
from lite_llm4rec.preset import preset_from_dict


class NotHereError(LiteLLM4RecError):
    """A cell cannot be measured here; the report gives the reason in its place."""


def without_tokenizer(error: DownloadError) -> NotHereError:
    """Say of a cell that reads T5-small's tokens how to have them here."""
    return NotHereError(
        f"T5-small's tokenizer is not at hand ({error.problem}): name a folder that has it by --t5"
    )


@dataclass(frozen=True)
class Bench:
    """Where and how cells are measured.

    Attributes
    ----------
    records : Path
        Folder of the records, one subfolder per table or figure.
    runs : Path
        Folder of the run folders, so that users can be paired, and an interrupted training goes on.
    root : Path or None
        Where named data sets lie.
    budget : float or None
        Seconds of training for one cell.
    device : str
        "cpu" or "cuda".
    t5 : str
        T5-small: a Hub name, or a local folder. What draws its weights anew needs no more than
        its config and tokenizer.
    vectors : Path or None
        MiniLM's item vectors, as `read_brought_vectors` takes them, for where its weights are not.
    given : Dataset, optional
        Taken in place of any named data set.
    """

    records: Path
    runs: Path
    root: Path | None = None
    budget: float | None = None
    device: str = "cpu"
    t5: str = "google-t5/t5-small"
    vectors: Path | None = None
    given: Dataset | None = None

    def __post_init__(self) -> None:
        if self.budget is not None and self.budget <= 0:
            raise ConfigError(f"A budget of {self.budget:g} s trains nothing.", "--budget 30")

    @property
    def t5_name(self) -> str:
        """What records call T5-small: of a local folder its name alone."""
        return Path(self.t5).name if self.t5_folder else self.t5

    @property
    def t5_folder(self) -> Path | None:
        """Where T5-small lies, if it is a local folder."""
        folder = Path(self.t5).expanduser()
        return folder if folder.is_dir() else None

    def dataset(self, name: str) -> Dataset:
        """Load a named data set; the last one is kept."""
        return self.given or _load(name, self.root)


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table or figure.

    Attributes
    ----------
    exhibit : str
        "table4", for instance.
    data : str
        A named data set.
    row : str
        The system.
    measure : callable
        Measures it on a `Bench` and writes its record.
    seed : int or None
        None where nothing is drawn.
    paper : dict
        The paper's numbers for it, by name.
    wants : str
        What it needs besides a CPU, in words.
    timed : bool
        Whether it is of times, which a CPU and a GPU have apart: each has a record.
    settings : callable, optional
        Tells the settings that it would be trained with on a `Bench`, as its record has them.
    """

    exhibit: str
    data: str
    row: str
    measure: Callable[["Cell", Bench], None]
    seed: int | None = None
    paper: dict[str, float] = field(default_factory=dict)
    wants: str = ""
    timed: bool = False
    settings: Callable[["Cell", Bench], dict[str, Any]] | None = None

    @property
    def name(self) -> str:
        """The record's file name without its ending."""
        plain = self.row.lower().replace(" ", "-").replace("/", "").replace(",", "")
        return f"{self.data}.{plain}" + ("" if self.seed is None else f".{self.seed}")

    def record(self, bench: Bench) -> Path:
        """Name the record's file."""
        device = f".{bench.device}" if self.timed and bench.device != "cpu" else ""
        return bench.records / self.exhibit / f"{self.name}{device}.json"

    def is_done(self, bench: Bench) -> bool:
        """Whether its record exists and holds more than a reason."""
        path = self.record(bench)
        return path.is_file() and "missing" not in json.loads(path.read_text(encoding="utf-8"))

    def otherwise(self, bench: Bench) -> str:
        """Say of a cell that is done what would be otherwise if it were measured now."""
        record = json.loads(self.record(bench).read_text(encoding="utf-8"))
        found = []
        if is_cut(record) and record["budget"] != bench.budget:
            found.append(f"cut at {record['budget'] / 60:.3g} min")
        if self.settings is not None and "settings" in record:
            old, new = map(whole_settings, (record["settings"], self.settings(self, bench)))
            found += [change for change in [difference(old, new)] if change]
        remedy = f"to measure it anew, delete {self.record(bench)}"
        return f", {'; '.join([*found, remedy])}" if found else ""

    def about(self) -> dict[str, Any]:
        """What every record of the paper's cells says besides."""
        return {"dataset": self.data, "row": self.row, "paper": self.paper}


def whole_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Fill in the settings that an older version did not have.

    Raises
    ------
    ConfigError
        On a setting that is no more.
    """
    whole: dict[str, Any] = json.loads(json.dumps(to_dict(preset_from_dict(settings))))
    return whole


def is_cut(record: Mapping[str, Any]) -> bool:
    """Whether a record's training ended by its budget."""
    return any(stage.get("cut") for stage in record.get("stages", []))


@lru_cache(maxsize=1)
def _load(name: str, root: Path | None) -> Dataset:
    return load(name, root)
