"""Configs are frozen dataclasses; this module reads them from and writes them to plain dicts."""

import copy
import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from lite_llm4rec.errors import ConfigError, nearest

T = TypeVar("T")


def from_dict(cls: type[T], values: dict[str, Any], where: str = "") -> T:
    """Build a config dataclass from a dict, nested dataclasses included.

    Raises
    ------
    ConfigError
        On a key that the dataclass lacks (the nearest name is suggested) or a value of a wrong
        type.
    """
    where = where or cls.__name__
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in hints:
            raise ConfigError(f"{where} has no setting '{key}'", nearest(key, hints))
    arguments = {key: _value(hints[key], value, f"{where}.{key}") for key, value in values.items()}
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}", "Give what is missing.") from error


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a config dataclass into a dict that JSON can hold; `from_dict` reverses it."""
    values: dict[str, Any] = dataclasses.asdict(config)
    return values


def check_shares(config: Any, *names: str) -> None:
    """See that these settings are at least 0 and below 1.

    Raises
    ------
    ConfigError
        Naming the first that is not.
    """
    for name in names:
        value = getattr(config, name)
        if not 0 <= value < 1:
            raise ConfigError(
                f"{name} must be at least 0 and below 1, not {value}.", f"For example: {name} = 0.2"
            )


def check_at_least(config: Any, low: int, *names: str) -> None:
    """See that these settings are not below `low`.

    Raises
    ------
    ConfigError
        Naming the first that is.
    """
    for name in names:
        value = getattr(config, name)
        if value < low:
            raise ConfigError(
                f"{name} must be at least {low}, not {value}.",
                "Change it in the preset or in --set.",
            )


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    ConfigError
        When there is no such file or it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"No such config file: {path}", "Check the path.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", "Mend that place.") from error


def override(values: dict[str, Any], assignments: list[str]) -> dict[str, Any]:
    """Apply `section.key=value` assignments to a nested dict and return a new one.

    The value is read as TOML where that works (numbers, booleans, lists), else as a string.

    Raises
    ------
    ConfigError
        On an assignment of another form, or into something that is no section.

    >>> override({"model": {"dropout": 0.7}}, ["model.dropout=0.5", "data.name=ml-1m"])
    {'model': {'dropout': 0.5}, 'data': {'name': 'ml-1m'}}
    """
    result = copy.deepcopy(values)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise ConfigError(
                f"'{assignment}' is not of the form section.key=value.",
                "For example: vector.lr=5e-4",
            )
        *sections, key = path.strip().split(".")
        target = result
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise ConfigError(
                    f"'{assignment}': '{section}' is a setting, not a section.",
                    f"Set it as a whole: {section}=…",
                )
        target[key] = _parse(text.strip())
    return result


def _parse(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _value(hint: Any, value: Any, where: str) -> Any:
    options = (
        typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType)
        else (hint,)
    )
    classes = [kind for option in options for kind in _dataclasses(option)]
    if isinstance(value, tuple(classes)):
        return value
    if classes and isinstance(value, dict):
        return from_dict(_of_kind(classes, value, where), value, where)
    for option in options:
        matched, converted = _convert(option, value)
        if matched:
            return converted
    expected = " or ".join(_name(option) for option in options)
    raise ConfigError(
        f"{where} should be {expected}, not {value!r}.",
        "Change it where it was set: in the preset's file, or in --set.",
    )


def _dataclasses(option: Any) -> list[Any]:
    """List what an option allows: itself, or what is registered under a base class."""
    kinds: dict[str, Any] = getattr(option, "kinds", {})
    if kinds and not dataclasses.is_dataclass(option):
        return list(kinds.values())
    return [option] if dataclasses.is_dataclass(option) else []


def _of_kind(classes: list[Any], value: dict[str, Any], where: str) -> Any:
    """Choose among several dataclasses by the value of `kind`; the first is the default."""
    if "kind" not in value or len(classes) == 1:
        return classes[0]
    kinds = {option.kind: option for option in classes}
    if value["kind"] not in kinds:
        raise ConfigError(f"{where} has no kind '{value['kind']}'", nearest(value["kind"], kinds))
    return kinds[value["kind"]]


def _convert(option: Any, value: Any) -> tuple[bool, Any]:
    origin = typing.get_origin(option)
    if origin is typing.Literal:
        return value in typing.get_args(option), value
    if origin is tuple and isinstance(value, list | tuple):
        return True, tuple(value)
    if origin is dict or option is dict:
        return isinstance(value, dict), value
    if option is float and isinstance(value, int) and not isinstance(value, bool):
        return True, float(value)
    if option is int and isinstance(value, bool):
        return False, value
    return isinstance(option, type) and isinstance(value, option), value


def _name(option: Any) -> str:
    if typing.get_origin(option) is typing.Literal:
        return " or ".join(repr(choice) for choice in typing.get_args(option))
    return "nothing" if option is type(None) else getattr(option, "__name__", str(option))


def difference(found: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> str:
    """Name the first setting that differs; empty where none does.

    >>> difference({"model": {"width": 64}}, {"model": {"width": 128}})
    'model.width was 64 and is 128 now'
    """
    for key in {**wanted, **found}:
        old, new = found.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            if inner := difference(old, new, f"{prefix}{key}."):
                return inner
        elif old != new:
            return f"{prefix}{key} was {old!r} and is {new!r} now"
    return ""
