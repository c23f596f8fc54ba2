import json
import re
from dataclasses import replace

import pytest

from lite_llm4rec.config import to_dict
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models import CausalConfig, LiteConfig, S3RecConfig
from lite_llm4rec.preset import (
    Preset,
    TextConfig,
    families,
    load_preset,
    preset_for,
    preset_from_dict,
    preset_names,
    preset_split,
    preset_text,
)
from lite_llm4rec.stage_config import StageConfig
from tests.conftest import ring_tables, tiny_preset

PAPER = ("paper/ml-1m", "paper/movies", "paper/toys")


def test_the_shipped_presets():
    names = preset_names()
    assert {"cpu/demo", "cpu/small", *PAPER} <= set(names)
    assert names == sorted(names)


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_loads_and_survives_json(name: str):
    preset = load_preset(name)
    assert preset.name == name
    assert preset_from_dict(json.loads(json.dumps(to_dict(preset)))) == preset


@pytest.mark.parametrize("name", PAPER)
def test_every_setting_of_a_paper_preset_says_where_it_is_from(name: str):
    lines = [line for line in preset_text(name).splitlines() if re.match(r"\w+ = ", line)]
    assert len(lines) > 25
    for line in lines:
        _, mark, comment = line.partition("#")
        assert mark and re.search(r"\b(paper|ours)\b", comment), line


@pytest.mark.parametrize("kind", ["bert4rec", "fdsa", "s3rec"])
@pytest.mark.parametrize("length", ["long", "short"])
def test_every_setting_of_a_baseline_says_where_it_is_from(kind: str, length: str):
    lines = [line for line in preset_text(f"{kind}/{length}").splitlines() if " = " in line]
    assert len(lines) > 15
    for line in lines:
        assert re.search(r"# .*\b(source|ours)\b", line) or line.startswith("kind"), line
    model = load_preset(f"{kind}/{length}").model
    assert (model.kind, model.history_length) == (kind, {"long": 64, "short": 50}[length])


@pytest.mark.parametrize(
    ("name", "dropout", "weight_decay", "warmup", "adam_eps"),
    [
        ("paper/ml-1m", 0.7, 0.0, 0.0, 1e-8),
        ("paper/movies", 0.8, 0.1, 0.1, 1e-6),
        ("paper/toys", 0.8, 0.1, 0.1, 1e-6),
    ],
)
def test_what_the_paper_gives(
    name: str, dropout: float, weight_decay: float, warmup: float, adam_eps: float
):
    """Section 5.1.4."""
    preset = load_preset(name)
    assert preset.text.model == preset.model.backbone == "google-t5/t5-small"
    assert not preset.model.from_scratch
    assert preset.model.items == "text"
    assert preset.model.history_length == 20
    assert preset.model.dropout == dropout
    assert preset.joint is not None and preset.vector is not None
    for stage in (preset.joint, preset.vector):
        assert (stage.strategy, stage.batch, stage.lr) == ("sampling", 256, 5e-4)
        assert (stage.patience, stage.validate_every) == (20, 1)
        assert stage.weight_decay == weight_decay
        assert stage.warmup == warmup
        assert stage.adam_eps == adam_eps


@pytest.mark.parametrize("name", [name for name in preset_names() if name.startswith("cpu/")])
def test_cpu_presets_have_no_joint_stage(name: str):
    preset = load_preset(name)
    assert preset.joint is None
    assert preset.vector is not None and preset.vector.precision != "bf16"


@pytest.mark.parametrize(
    ("users", "mean", "variant"),
    [(6000, 30, "short"), (6000, 31, "long"), (5999, 20, "small"), (6000, 20, "short")],
)
def test_the_default_has_a_preset_for_the_data(users: int, mean: int, variant: str):
    dataset = Dataset.from_tables(*ring_tables(users, 40, mean, seed=0))
    name = preset_for("fast", dataset)
    assert name == f"fast/{variant}"
    preset = load_preset(name)
    assert preset.model.kind == "causal" and preset.reads_text
    assert preset.vector is not None and preset.vector.strategy == "positions"
    assert preset_for("paper/ml-1m", dataset) == "paper/ml-1m"


def test_a_family_without_a_variant_for_small_data_goes_by_the_histories():
    assert {"fast", "sasrec"} <= set(families()) and "paper" not in families()
    few = Dataset.from_tables(*ring_tables(40, 40, 31, seed=0))
    assert preset_for("sasrec", few) == "sasrec/long"


def test_a_model_is_of_a_known_kind_and_the_papers_without_one():
    assert preset_from_dict({"vector": {}}).model == LiteConfig()
    with pytest.raises(ConfigError, match="of the kind 'sasrek'"):
        preset_from_dict({"model": {"kind": "sasrek"}, "vector": {}})
    with pytest.raises(ConfigError, match="no setting 'backbone'"):
        preset_from_dict({"model": {"kind": "sasrec", "backbone": "t5"}, "vector": {}})


def test_stages_that_a_model_does_not_have_are_refused():
    with pytest.raises(ConfigError, match="would miss most"):
        Preset(model=LiteConfig(), vector=StageConfig(strategy="positions"))
    with pytest.raises(ConfigError, match="not causal's"):
        Preset(model=CausalConfig(), joint=StageConfig(), vector=StageConfig())
    with pytest.raises(ConfigError, match=r"nothing to pre-train[\s\S]*s3rec"):
        Preset(model=CausalConfig(), pretrain=StageConfig(), vector=StageConfig())
    assert Preset(model=S3RecConfig(), pretrain=StageConfig(), vector=StageConfig()).pretrain
    with pytest.raises(ConfigError, match=r"vector\.train_head is for the paper's model"):
        Preset(model=CausalConfig(), vector=StageConfig(strategy="positions", train_head=False))
    with pytest.raises(ConfigError, match=r"needs a \[joint\] or a \[vector\]"):
        Preset(model=S3RecConfig(), pretrain=StageConfig())


def test_the_split_is_the_presets():
    dataset = Dataset.from_tables(*ring_tables(40, 20, 6, seed=0))
    assert preset_split(tiny_preset(), dataset).name == "leave_one_out"
    cold = preset_split(tiny_preset(cold_share=0.2), dataset)
    assert "20 % of items cold" in cold.name and (cold.train_counts() == 0).sum() == 4


def test_assignments_and_the_seed_win_over_the_file():
    preset = load_preset(
        "cpu/small",
        ["vector.epochs=7", "model.dropout=0.5", "text.template=title/1", "joint.lr=1e-4"],
        seed=9,
    )
    assert preset.vector is not None and preset.vector.epochs == 7
    assert preset.model.dropout == 0.5
    assert preset.text.template == "title/1"
    assert preset.joint == StageConfig(lr=1e-4)
    assert preset.seed == 9
    plain = load_preset("cpu/small")
    assert preset.vector == replace(plain.vector, epochs=7)  # type: ignore[type-var]
    assert plain.seed == 0


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("model.dropuot=0.5", r"preset\.model has no setting 'dropuot'[\s\S]*'dropout'"),
        ("vectr.epochs=5", r"preset has no setting 'vectr'[\s\S]*'vector'"),
        ("vector.epochs=many", r"preset\.vector\.epochs should be int, not 'many'"),
        ("vector.epochs=0", r"epochs must be positive, not 0\.[\s\S]*For example: epochs = 200"),
        ("vector.lr=-0.1", r"lr must be positive, not -0\.1"),
        ("vector.warmup=1.5", r"warmup must be at least 0 and below 1, not 1\.5"),
        ("model.history_length=0", "history_length must be at least 1, not 0"),
        ("model.vector_dropout=1.5", "vector_dropout must be at least 0 and below 1"),
        ("vector.strategy=al", r"preset\.vector\.strategy should be 'sampling' or 'all'"),
        ("text.template=titel/1", r"No template 'titel/1'[\s\S]*'title/1'"),
        ("vector.epochs", "not of the form"),
        ("vector.weight_decay=-1", "weight_decay must be at least 0, not -1"),
        ("vector.adam_eps=-1", "adam_eps must be at least 0, not -1"),
        ("seed=-1", "seed is -1"),
        ("seed=18446744073709551616", "seed is 18446744073709551616"),
        ("model=causal", "model is 'causal'"),
        ("model.kind=[1]", r"no model of the kind \[1\]"),
    ],
)
def test_what_cannot_work_is_said(assignment: str, words: str):
    with pytest.raises(ConfigError, match=words):
        load_preset("cpu/small", [assignment])


def test_an_unknown_preset_suggests_the_nearest():
    with pytest.raises(ConfigError, match=r"No preset 'cpu/smal'\.[\s\S]*did you mean 'cpu/small'"):
        load_preset("cpu/smal")
    with pytest.raises(ConfigError, match=r"did you mean 'paper/toys'"):
        preset_text("paper/toy")


def test_a_file_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('seed = 3\n[text]\nmodel = "minilm"\n[vector]\nepochs = 2\n')
    preset = load_preset(str(path), ["vector.batch=8"])
    assert preset == Preset(
        "mine.toml", 3, text=TextConfig("minilm"), vector=StageConfig(epochs=2, batch=8)
    )
    with pytest.raises(ConfigError, match="No such config file"):
        load_preset(str(tmp_path / "none.toml"))


def test_a_preset_needs_a_stage_that_can_train():
    with pytest.raises(ConfigError, match=r"needs a \[joint\] or a \[vector\] stage"):
        Preset()
    with pytest.raises(ConfigError, match="joint stage trains the Item LLM"):
        Preset(model=LiteConfig(items="id"), joint=StageConfig())


@pytest.mark.parametrize(
    "setting",
    [
        "model.dropout=1.0",
        "model.id_dropout=-0.1",
        "model.history_length=0",
        "model.text_dim=-1",
        "model.temperature=-1",
        "model.loss.negatives=0",
        "vector.average=1.0",
    ],
)
def test_numbers_out_of_range_are_named(setting: str):
    with pytest.raises(ConfigError, match=setting.split("=")[0].split(".")[-1] + " must be"):
        load_preset("fast/small", [setting])


def test_a_family_names_its_presets():
    with pytest.raises(ConfigError, match="'p5' is a family") as raised:
        load_preset("p5")
    assert "p5/small, p5/t5-small" in str(raised.value)
