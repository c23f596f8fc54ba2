from pathlib import Path
from typing import Any

import pytest

from lite_llm4rec.cli.options import prepared_folder, read_dataset, read_optional_dataset
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.prepared import write_prepared
from lite_llm4rec.errors import ConfigError

DEFAULTS: dict[str, Any] = {
    "user": None,
    "item": None,
    "time": None,
    "text": None,
    "duplicates": "keep",
    "core": 0,
}
OTHERS = [
    ("user", "u"),
    ("item", "i"),
    ("time", "t"),
    ("text", "title"),
    ("duplicates", "first"),
    ("core", 5),
]


def read(data: Path | str, candidates: str = "interacted", **given: Any) -> Dataset:
    items = given.pop("items", None)
    return read_dataset(str(data), None, items, None, candidates, **{**DEFAULTS, **given})


@pytest.fixture
def prepared(small_ring: Dataset, tmp_path: Path) -> Path:
    write_prepared(small_ring, tmp_path / "prepared", "ring")
    return tmp_path / "prepared"


def test_the_defaults_go_with_a_prepared_folder(prepared: Path, small_ring: Dataset):
    assert read(prepared).interactions.sequences_sha256 == small_ring.interactions.sequences_sha256


@pytest.mark.parametrize(("name", "value"), [*OTHERS, ("items", Path("items.csv"))])
def test_what_data_has_settled_cannot_be_set_again(prepared: Path, name: str, value: object):
    with pytest.raises(ConfigError, match=rf"--{name} does not go with --data.*\n.*prepare` takes"):
        read(prepared, **{name: value})
    with pytest.raises(ConfigError, match=rf"--{name} does not go with --data.*\n.*--interactions"):
        read("ml-100k", **{name: value})


@pytest.mark.parametrize(("name", "value"), [*OTHERS, ("root", Path("data"))])
def test_what_says_how_to_read_data_needs_some(name: str, value: object):
    settings = {**DEFAULTS, "root": None, "candidates": "interacted"}
    assert read_optional_dataset(None, None, None, **settings) is None
    with pytest.raises(ConfigError, match=f"--{name} says how to read data"):
        read_optional_dataset(None, None, None, **{**settings, name: value})


def test_a_folder_of_a_named_data_sets_name_must_be_prepared(
    small_ring: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ml-1m").mkdir()  # as ml-1m.zip leaves it
    assert prepared_folder("ml-1m") is None and prepared_folder("nothing") is None
    write_prepared(small_ring, tmp_path / "ml-100k", "ring")
    assert prepared_folder("ml-100k") == Path("ml-100k")
    (tmp_path / "other").mkdir()
    assert prepared_folder("other") == Path("other")  # whose mark is looked for


def test_a_prepared_folder_has_its_candidates(prepared: Path):
    with pytest.raises(ConfigError, match="--candidates does not go with --data"):
        read(prepared, "catalogue")


def test_a_named_data_set_takes_candidates(monkeypatch: pytest.MonkeyPatch, small_ring: Dataset):
    asked: dict[str, Any] = {}

    def load(name: str, **options: Any) -> Dataset:
        asked.update(name=name, **options)
        return small_ring

    monkeypatch.setattr("lite_llm4rec.cli.options.load", load)
    assert read("ml-100k", "catalogue") is small_ring
    assert asked == {"name": "ml-100k", "root": None, "candidates": "catalogue"}
