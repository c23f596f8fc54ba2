import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lite_llm4rec.config import difference, from_dict, override, read_toml, to_dict
from lite_llm4rec.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    width: int = 8
    stages: tuple[str, ...] = ("joint", "vector")


@dataclass(frozen=True)
class Outer:
    rate: float = 0.1
    steps: int | None = 100
    kind: Literal["full", "sampled"] = "full"
    shuffle: bool = True
    extra: dict[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)


@dataclass(frozen=True)
class Needy:
    name: str


OUTERS = st.builds(
    Outer,
    rate=st.floats(0, 1),
    steps=st.none() | st.integers(),
    kind=st.sampled_from(["full", "sampled"]),
    shuffle=st.booleans(),
    extra=st.dictionaries(st.text(), st.integers()),
    inner=st.builds(Inner, st.integers(), st.lists(st.text()).map(tuple)),
)


@given(OUTERS)
def test_a_config_survives_json(config: Outer) -> None:
    assert from_dict(Outer, json.loads(json.dumps(to_dict(config)))) == config


def test_defaults_fill_what_is_not_given() -> None:
    assert from_dict(Outer, {"inner": {"width": 3}}) == Outer(inner=Inner(width=3))
    assert from_dict(Outer, {"inner": Inner(3)}) == Outer(inner=Inner(3))


def test_a_whole_number_will_do_for_a_float() -> None:
    config = from_dict(Outer, {"rate": 1})
    assert config.rate == 1.0
    assert isinstance(config.rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rte": 1}, r"Outer has no setting 'rte'\n  What to do: did you mean 'rate'\?"),
        ({"inner": {"widht": 1}}, "Outer.inner has no setting 'widht'"),
        ({"rate": "fast"}, "Outer.rate should be float, not 'fast'"),
        ({"rate": True}, "Outer.rate should be float, not True"),
        ({"steps": 1.5}, "Outer.steps should be int or nothing, not 1.5"),
        ({"steps": True}, "Outer.steps should be int or nothing, not True"),
        ({"kind": "half"}, "Outer.kind should be 'full' or 'sampled', not 'half'"),
        ({"shuffle": 1}, "Outer.shuffle should be bool, not 1"),
        ({"extra": [1]}, r"Outer.extra should be dict, not \[1\]"),
        ({"inner": 4}, "Outer.inner should be Inner, not 4"),
    ],
)
def test_wrong_settings_are_named_with_their_place(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Outer, values)


def test_a_setting_without_default_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"Needy: .*'name'"):
        from_dict(Needy, {})


def test_read_toml(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('rate = 0.5\n[inner]\nstages = ["é"]\n', encoding="utf-8")
    assert from_dict(Outer, read_toml(path)) == Outer(rate=0.5, inner=Inner(stages=("é",)))


def test_read_toml_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such config file: .*none\.toml"):
        read_toml(tmp_path / "none.toml")
    for content in (b"rate = ", b'name = "\xff"'):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML"):
            read_toml(tmp_path / "bad.toml")


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("a.b.c=2", {"a": {"b": {"c": 2}}, "d": 1}),
        ("a.b.new=[1, 2]", {"a": {"b": {"c": 1, "new": [1, 2]}}, "d": 1}),
        ("e.f=true", {"a": {"b": {"c": 1}}, "d": 1, "e": {"f": True}}),
        ("d = 0.5", {"a": {"b": {"c": 1}}, "d": 0.5}),
        ("d=ml-1m", {"a": {"b": {"c": 1}}, "d": "ml-1m"}),
        ('d="5"', {"a": {"b": {"c": 1}}, "d": "5"}),
        ("d=x=y", {"a": {"b": {"c": 1}}, "d": "x=y"}),
        ("d=", {"a": {"b": {"c": 1}}, "d": ""}),
    ],
)
def test_override_makes_a_new_dict(assignment: str, expected: dict[str, Any]) -> None:
    values = {"a": {"b": {"c": 1}}, "d": 1}
    assert override(values, [assignment]) == expected
    assert values == {"a": {"b": {"c": 1}}, "d": 1}


def test_later_overrides_win() -> None:
    assert override({}, ["a.b=1", "a.b=2"]) == {"a": {"b": 2}}


@pytest.mark.parametrize("assignment", ["a.b", "=1", "d.e=1"])
def test_override_refuses_what_it_cannot_do(assignment: str) -> None:
    with pytest.raises(ConfigError, match=f"'{assignment}'"):
        override({"d": 1}, [assignment])


@given(st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_read_as_toml_reads_them(value: float) -> None:
    text = str(value).lower()
    assert override({}, [f"a={text}"]) == tomllib.loads(f"a = {text}")


def test_what_comes_after_a_section_that_says_the_same_is_compared_too() -> None:
    found = {"preset": {"seed": 0}, "split": "last_2"}
    wanted = {"preset": {"seed": 0, "joint": None}, "split": "last_3"}  # absent is as none
    assert difference(found, wanted) == "split was 'last_2' and is 'last_3' now"
    assert difference(found, {**wanted, "split": "last_2"}) == ""
