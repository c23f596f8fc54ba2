"""A preset: all settings of a run, as a TOML file that a person can read."""

from dataclasses import dataclass, field
from importlib.resources import files
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from lite_llm4rec.config import check_shares, from_dict, override, read_toml
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, cold_start
from lite_llm4rec.data.split_name import split_by
from lite_llm4rec.errors import ConfigError, nearest
from lite_llm4rec.models import (
    MODELS,
    GenerativeConfig,
    LiteConfig,
    ModelConfig,
    PretrainedModel,
    PromptEncoderConfig,
)
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.text.encoder import Pooling
from lite_llm4rec.text.template import TEMPLATE_VERSION, TEMPLATES

SMALL = 120_000  # interactions
ONE_TARGET = (LiteConfig, GenerativeConfig, PromptEncoderConfig)  # learnt per pass
LONG_HISTORY = 30  # interactions per user, on average


@dataclass(frozen=True)
class TextConfig:
    """How item text becomes item vectors.

    Attributes
    ----------
    model : str
        The Item LLM: a Hub name, a local folder or the packaged MiniLM.
    pooling : "mean", "pooler", "cls" or "weightedmean", optional
        See `ItemLLM`. None takes the model's own (sentence-transformers), else the mean.
    max_tokens : int
        Longer texts are cut.
    template : str
        A key of `TEMPLATES`.
    precision : "fp32" or "bf16"
    """

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    pooling: Pooling | None = None
    max_tokens: int = 64
    template: str = TEMPLATE_VERSION
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        if self.template not in TEMPLATES:
            raise ConfigError(f"No template '{self.template}'", nearest(self.template, TEMPLATES))


@dataclass(frozen=True)
class Preset:
    """All settings of a run. A stage that is None is left out.

    Attributes
    ----------
    repeats : bool
        Whether an item may be recommended to who has had it (music, groceries): then nothing seen
        is removed from a ranking, in validation, evaluation and recommendation alike.
    split : str
        What is predicted in validation and test: "leave_one_out", or as `split_by` reads it.
    cold_share : float
        Share of the items to hold out of training, to measure how new items fare.
    pretrain : StageConfig, optional
        Pretext tasks first, for a model that has some (S3-Rec). It runs all its epochs: nothing is
        validated.
    joint : StageConfig, optional
        The Item LLM in the training loop (paper Algorithm 1).
    vector : StageConfig, optional
        The item vectors as a table (paper §5.1.4, "further fine-tuning").
    """

    name: str = "given"
    seed: int = 0
    repeats: bool = False
    split: str = "leave_one_out"
    cold_share: float = 0.0
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=LiteConfig)
    pretrain: StageConfig | None = None
    joint: StageConfig | None = None
    vector: StageConfig | None = None

    def __post_init__(self) -> None:
        check_shares(self, "cold_share")
        split_by(self.split)
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed}.", "It is at least 0, and below 2^63.")
        if self.joint is None and self.vector is None:
            raise ConfigError(
                "A preset needs a [joint] or a [vector] stage, or both.",
                "Add one, for example: --set vector.epochs=200",
            )
        pretrains = issubclass(MODELS[self.model.kind], PretrainedModel)
        if self.pretrain is not None and not pretrains:
            raise ConfigError(
                f"A {self.model.kind} model has nothing to pre-train.",
                'Leave out [pretrain], or set model.kind = "s3rec".',
            )
        if self.joint is not None and not isinstance(self.model, LiteConfig):
            raise ConfigError(
                f"The joint stage is the paper's model's, not {self.model.kind}'s.",
                'Leave out [joint], or set model.kind = "lite".',
            )
        if self.joint is not None and not self.reads_text:
            raise ConfigError(
                'The joint stage trains the Item LLM, which model.items = "id" lacks.',
                'Leave out [joint], or set model.items = "text".',
            )
        for name in ("joint", "vector"):
            self._check_strategy(name)
            self._check_parts(name)

    def _check_strategy(self, name: str) -> None:
        stage = getattr(self, name)
        one_target = isinstance(self.model, ONE_TARGET)
        if stage and stage.strategy == "positions" and one_target:
            whose = "the paper's model" if self.model.kind == "lite" else self.model.kind
            raise ConfigError(
                f"{name}.strategy is 'positions', but {whose} learns one target per pass"
                " and would miss most of them.",
                'Set strategy = "sampling" or "all", or model.kind = "causal".',
            )

    def _check_parts(self, name: str) -> None:
        stage = getattr(self, name)
        for part in ("train_head", "train_items"):
            if stage and not getattr(stage, part) and not isinstance(self.model, LiteConfig):
                raise ConfigError(
                    f"{name}.{part} is for the paper's model; a {self.model.kind} model learns as a"
                    " whole.",
                    'Leave it out, or set model.kind = "lite".',
                )

    @property
    def reads_text(self) -> bool:
        """Whether the model needs encoded text."""
        return getattr(self.model, "items", "id") != "id"


def preset_split(preset: Preset, dataset: Dataset) -> Split:
    """Split as the preset says, with its share of items held out of training."""
    split = split_by(preset.split)(dataset.interactions)
    return cold_start(split, preset.cold_share, preset.seed) if preset.cold_share else split


def preset_for(name: str, dataset: Dataset) -> str:
    """Resolve a family of presets, such as "fast", to the one for this data.

    A family has a variant for long histories and one for short ones, some also one for small
    data; another name is returned as it is.
    """
    if name not in families():
        return name
    log = dataset.interactions
    if len(log) < SMALL and f"{name}/small" in preset_names():
        return f"{name}/small"
    return f"{name}/{'long' if len(log) > LONG_HISTORY * log.n_users else 'short'}"


def families() -> list[str]:
    """List the families of presets, of which one can be chosen by the data."""
    names = preset_names()
    folders = sorted({name.partition("/")[0] for name in names})
    return [name for name in folders if {f"{name}/long", f"{name}/short"} <= set(names)]


def preset_names() -> list[str]:
    """List the presets that come with the package."""
    root = files("lite_llm4rec") / "presets"
    return sorted(
        f"{folder.name}/{file.name.removesuffix('.toml')}"
        for folder in root.iterdir()
        if folder.is_dir()
        for file in folder.iterdir()
        if file.name.endswith(".toml")
    )


def preset_text(name: str) -> str:
    """Return the file of a preset that comes with the package."""
    names = preset_names()
    of_family = [other for other in names if other.startswith(f"{name}/")]
    if of_family:
        raise ConfigError(f"'{name}' is a family of presets.", f"Name one: {', '.join(of_family)}.")
    if name not in names:
        raise ConfigError(f"No preset '{name}'.", nearest(name, [*families(), *names]))
    return (files("lite_llm4rec") / "presets" / f"{name}.toml").read_text(encoding="utf-8")


def preset_about(name: str) -> str:
    """Return the first sentence of what a preset's file says of itself."""
    lines = takewhile(lambda line: line.startswith("#"), preset_text(name).splitlines())
    return " ".join(line.lstrip("# ") for line in lines).partition(". ")[0].rstrip(".")


def load_preset(name: str, assignments: list[str] | None = None, seed: int | None = None) -> Preset:
    """Load a preset by name, or a TOML file by path, which is called by its file's name alone.

    Parameters
    ----------
    assignments : list of str, optional
        `section.key=value`, as in `--set`; they win over the file.
    seed : int, optional
        Wins over the file's.

    Raises
    ------
    ConfigError
        On an unknown preset, setting or value.
    """
    own = name.endswith(".toml")
    if own:
        values = read_toml(Path(name))
    else:
        preset_text(name)
        values = read_toml(Path(str(files("lite_llm4rec") / "presets" / f"{name}.toml")))
    values = override({"name": Path(name).name if own else name, **values}, assignments or [])
    if seed is not None:
        values["seed"] = seed
    return preset_from_dict(values)


def preset_from_dict(values: dict[str, Any]) -> Preset:
    """Build a preset from what `config.to_dict` gave.

    Raises
    ------
    ConfigError
        On an unknown setting, value or kind of model.
    """
    model = values.get("model", {})
    if not isinstance(model, dict):
        raise ConfigError(f"model is {model!r}.", 'Its settings are: model.kind = "causal", …')
    kind = model.get("kind", "lite")
    if not isinstance(kind, str) or kind not in MODELS:
        known = nearest(str(kind), MODELS)
        raise ConfigError(
            f"There is no model of the kind {kind!r}.",
            f"{known}{'' if known.endswith('?') else '.'} A model of your own comes with"
            " --model-file FILE.py, or by importing its file.",
        )
    return from_dict(Preset, values, "preset")
