import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from lite_llm4rec import store
from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import last_n
from lite_llm4rec.errors import StoreError
from lite_llm4rec.own_split import LearntTargets
from lite_llm4rec.recommender import Recommender
from tests.conftest import ring_tables, untrained

HISTORIES = [["i03", "i04", "i05"], ["i10"], []]
ALWAYS = {
    "README.md",
    "catalogue.parquet",
    "config.json",
    "curves.csv",
    "item_vectors.safetensors",
    "metrics.json",
    "model.safetensors",
}
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@pytest.fixture(scope="module")
def saved(trained: Recommender, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained.save(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def small(small_ring: Dataset, tmp_path: Path) -> Path:
    return untrained(small_ring).save(tmp_path / "run")


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / store.CONFIG
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, **changes}))


def test_a_loaded_model_scores_exactly_the_same(saved: Path, trained: Recommender):
    loaded = Recommender.load(saved)
    assert loaded.recommend(HISTORIES, k=60) == trained.recommend(HISTORIES, k=60)
    for by in ("text", "behaviour"):
        assert loaded.similar_items(["i07"], by=by) == trained.similar_items(["i07"], by=by)  # type: ignore[arg-type]
    assert loaded.preset == trained.preset
    assert loaded.stages == trained.stages
    assert loaded.curves == trained.curves
    assert (loaded.counts == trained.counts).all()
    assert not loaded.model.training


def test_nothing_is_lost_by_loading_and_saving_again(saved: Path, tmp_path: Path):
    again = Recommender.load(saved).save(tmp_path / "again")
    assert {path.name for path in again.iterdir()} == {path.name for path in saved.iterdir()}
    for path in saved.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_a_run_folder_holds(saved: Path, small: Path):
    assert {path.name for path in small.iterdir()} == ALWAYS
    assert {path.name for path in saved.iterdir()} == ALWAYS | {"test_cases.parquet"}
    config = json.loads((saved / "config.json").read_text())
    assert config["format_version"] == 1
    assert config["shape"] == [60, 16]
    header, *epochs = (saved / "curves.csv").read_text().splitlines()
    assert header == "stage,epoch,loss,recall@10,recall@20,ndcg@10,ndcg@20,mrr"
    assert [line.split(",")[:2] for line in epochs] == [
        ["vector", str(epoch)] for epoch in range(10)
    ]


def test_nothing_in_it_is_a_pickle(saved: Path):
    for path in saved.rglob("*"):
        assert path.suffix in {".md", ".json", ".parquet", ".safetensors", ".csv"}, path
        assert not path.read_bytes().startswith(PICKLES), path


def test_the_card_says_what_was_measured_and_how(saved: Path, trained: Recommender):
    card = (saved / "README.md").read_text()
    valid, test = trained.evaluations
    for evaluation in (valid, test):
        assert f"Protocol: {evaluation.protocol.line()}; 95 %" in card
        low, high = evaluation.intervals["recall@10"]
        mean = evaluation.metrics["recall@10"]
        assert f"| recall@10 | {mean:.4f} | {low:.4f} – {high:.4f} |" in card
    assert "# Lite-LLM4Rec, preset `tiny`" in card
    assert "Reads up to 5 items of a history and scores 60 items" in card
    assert '"history_length": 5' in card
    assert "Leak check:" not in card
    assert "| vector | 10 |" in card


def test_ids_of_any_type_come_back_as_they_were(tmp_path: Path):
    log, _ = ring_tables(10, 8, 5, seed=0)
    numbers = [int(name[1:]) for name in log["item_id"].to_pylist()]
    dataset = Dataset.from_tables(log.set_column(1, "item_id", [numbers]))
    recommender = untrained(dataset)
    loaded = Recommender.load(recommender.save(tmp_path / "run"))
    assert loaded.ids == list(range(8))
    assert loaded.recommend([[1, 2]]) == recommender.recommend([[1, 2]])
    assert loaded.catalogue.fields.num_columns == 0


def test_text_fields_and_their_order_come_back(tmp_path: Path):
    import pyarrow as pa

    table = pa.table(
        {"item_id": [5, 3], "text.b": ["x", None], "a": ["", "y"], "title": ["t", "u"]}
    )
    catalogue = Catalogue.from_table(table, text=["text.b", "title", "a"])
    store.write_catalogue(tmp_path, catalogue, np.array([4, 0]), np.array([True, False]))
    found, counts, retired = store.read_catalogue(tmp_path)
    assert found.ids.equals(catalogue.ids)
    assert found.fields.equals(catalogue.fields)
    assert counts.tolist() == [4, 0]
    assert retired.tolist() == [True, False]


@pytest.mark.parametrize(
    "writer",
    ["write_config", "write_weights", "write_vectors", "write_catalogue", "write_evaluations"],
)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_crash_leaves_the_old_folder(
    writer: str, error: BaseException, small: Path, small_ring: Dataset, monkeypatch: Any
):
    before = {path.name: path.read_bytes() for path in small.iterdir()}

    def crash(*_: Any) -> None:
        raise error

    monkeypatch.setattr(store, writer, crash)
    expected = StoreError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        untrained(small_ring).save(small)
    with pytest.raises(expected):
        untrained(small_ring).save(small.parent / "new")
    assert {path.name: path.read_bytes() for path in small.iterdir()} == before
    assert list(small.parent.iterdir()) == [small]


def test_a_failed_exchange_puts_the_old_folder_back(
    small: Path, small_ring: Dataset, monkeypatch: Any
):
    before = {path.name: path.read_bytes() for path in small.iterdir()}
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        if source.name == "new":
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr("lite_llm4rec.store.os.replace", fail)
    with pytest.raises(StoreError, match=r"cannot be written: .*Permission denied"):
        untrained(small_ring).save(small)
    assert {path.name: path.read_bytes() for path in small.iterdir()} == before
    assert list(small.parent.iterdir()) == [small]


def test_ctrl_c_in_the_exchange_puts_the_old_folder_back(
    small: Path, trained: Recommender, monkeypatch: pytest.MonkeyPatch
):
    before = sorted(path.name for path in small.iterdir())
    replace, calls = os.replace, []

    def interrupted(source: Path, target: Path) -> None:
        calls.append(target)
        replace(source, target)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(store.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained.save(small)
    assert sorted(path.name for path in small.iterdir()) == before
    assert Recommender.load(small).model is not None


def test_a_save_that_was_killed_is_found(small: Path, tmp_path: Path):
    aside = tmp_path / ".lost.abc" / "old"
    aside.parent.mkdir()
    small.rename(aside)
    with pytest.raises(StoreError, match="killed left the old one") as raised:
        Recommender.load(tmp_path / "lost")
    assert str(aside) in str(raised.value)


def test_a_training_that_is_not_done_is_told(tmp_path: Path):
    (tmp_path / "run.training").mkdir()
    with pytest.raises(StoreError, match="not done: run the same command again"):
        Recommender.load(tmp_path / "run")


def test_a_full_disk_is_told(small: Path, trained: Recommender, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device")

    monkeypatch.setattr(store, "save_file", full)
    with pytest.raises(StoreError, match="No space left"):
        trained.save(small)
    assert Recommender.load(small).model is not None


def test_saving_replaces_a_run_folder_whole(small: Path, trained: Recommender, saved: Path):
    (small / "item_llm").mkdir()
    trained.save(small)
    assert {path.name for path in small.iterdir()} == {path.name for path in saved.iterdir()}
    assert list(small.parent.iterdir()) == [small]


def test_through_a_link_the_run_that_it_names_is_replaced(small: Path, trained: Recommender):
    link = small.parent / "current"
    link.symlink_to(small.name)
    Recommender.load(trained.save(link)).retire_items(["i03"])
    again = Recommender.load(link)
    again.retire_items(["i04"])
    again.save(link)
    assert link.is_symlink() and Recommender.load(small).retired.sum() == 1
    assert sorted(small.parent.iterdir()) == sorted([link, small])


def test_of_changes_at_once_none_is_lost(small: Path, monkeypatch: pytest.MonkeyPatch):
    def retire(item: str) -> None:
        with store.changing(small):
            run = Recommender.load(small)
            run.retire_items([item])
            run.save(small)

    items = [f"i{number:02}" for number in range(8)]
    with ThreadPoolExecutor(len(items)) as threads:
        list(threads.map(retire, items))
    assert Recommender.load(small).retired.nonzero()[0].tolist() == list(range(8))
    monkeypatch.setattr(store, "PATIENCE", 0.0)
    another = pytest.raises(StoreError, match=r"Another process[\s\S]*again when that is done")
    with store.changing(small), another, ThreadPoolExecutor() as threads:
        threads.submit(retire, "i09").result()


def test_who_may_read_the_folder_may_read_its_files(small: Path):
    modes = {path.name: path.stat().st_mode & 0o777 for path in small.rglob("*")}
    assert set(modes.values()) == {small.stat().st_mode & 0o666}, modes


def test_the_folder_that_one_stands_in(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(small)
    run = Recommender.load(".")
    run.retire_items(["i03"])
    run.save(small)
    monkeypatch.chdir(small)
    assert Recommender.load(Path()).retired.sum() == 1
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(StoreError, match="not a run folder"):
        Recommender.load(".")


def test_what_a_run_folder_holds_besides_is_not_lost(small: Path, trained: Recommender):
    (small / "notes.txt").write_text("work of years")
    with pytest.raises(StoreError, match=r"holds notes.txt, which is not a run's[\s\S]*Move that"):
        trained.save(small)
    assert (small / "notes.txt").read_text() == "work of years"


def test_anothers_config_makes_no_run_folder(trained: Recommender, tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(StoreError, match="is not a run folder"):
        trained.save(tmp_path)


def test_each_test_keeps_its_own_cases(ring: Dataset, trained: Recommender, tmp_path: Path):
    more = Recommender.load(trained.save(tmp_path / "first"))
    with pytest.warns(LearntTargets):
        more.evaluate(ring, last_n(ring.interactions, 3))
    again = Recommender.load(more.save(tmp_path / "second"))
    found = {one.protocol.split: one.cases for one in again.evaluations}
    assert [None if cases is None else len(cases) for cases in found.values()].count(200) == 1
    assert found["last_3"] is None


def test_what_is_no_run_folder_is_not_replaced(small_ring: Dataset, tmp_path: Path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("work of years")
    (tmp_path / "file").write_text("kept")
    recommender = untrained(small_ring)
    for name in ("thesis", "file"):
        with pytest.raises(StoreError, match="exists and is not a run folder"):
            recommender.save(tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "work of years"
    assert (tmp_path / "file").read_text() == "kept"
    with pytest.raises(StoreError, match="cannot be written"):
        recommender.save(tmp_path / "file" / "below")
    (tmp_path / "empty").mkdir()
    recommender.save(tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "thesis"]


@pytest.mark.parametrize(
    "name", ["model.safetensors", "item_vectors.safetensors", "catalogue.parquet"]
)
def test_missing_and_damaged_files_are_named(name: str, small: Path):
    path = small / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(StoreError, match=rf"{name} is damaged"):
        Recommender.load(small)
    path.unlink()
    with pytest.raises(StoreError, match=rf"{name} is missing"):
        Recommender.load(small)


@pytest.mark.parametrize("name", ["config.json", "metrics.json"])
@pytest.mark.parametrize("content", ['{"half": ', "[1, 2]"])
def test_damaged_json_is_named(name: str, content: str, small: Path):
    (small / name).write_text(content)
    with pytest.raises(StoreError, match=rf"{name} is damaged"):
        Recommender.load(small)


def test_weights_of_another_shape_are_refused(small: Path):
    change_config(small, shape=[20, 24])
    with pytest.raises(StoreError, match="the weights do not fit the config"):
        Recommender.load(small)


def test_a_folder_that_is_no_run(tmp_path: Path, small: Path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(StoreError, match=r"is not a run folder: it has no config\.json"):
            Recommender.load(folder)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(StoreError, match="names no format version"):
        Recommender.load(tmp_path)
    (tmp_path / "config.json").write_text('{"format_version": 1}')
    with pytest.raises(StoreError, match="it has no 'preset'"):
        Recommender.load(tmp_path)
    with pytest.raises(StoreError, match=r"test_cases\.parquet is missing"):
        store.read_cases(small)


def test_a_newer_format_is_refused_with_the_remedy(small: Path):
    change_config(small, format_version=2)
    with pytest.raises(StoreError, match=r"format 2; this version reads up to 1\.[\s\S]*--upgrade"):
        Recommender.load(small)
    change_config(small, format_version=0)
    with pytest.raises(StoreError, match="names no format version"):
        Recommender.load(small)


def test_an_older_format_is_migrated(small: Path, monkeypatch: Any):
    expected = Recommender.load(small).recommend(HISTORIES)
    values = json.loads((small / store.CONFIG).read_text())
    values["settings"] = values.pop("preset")  # what format 1 is made to have called it
    (small / store.CONFIG).write_text(json.dumps(values))

    def to_second(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "presets": config["settings"]}

    def to_third(config: dict[str, Any]) -> dict[str, Any]:
        return {**config, "preset": config["presets"]}

    monkeypatch.setattr(store, "FORMAT_VERSION", 3)
    monkeypatch.setattr(store, "MIGRATIONS", {1: to_second, 2: to_third})
    assert Recommender.load(small).recommend(HISTORIES) == expected


def test_every_older_format_has_a_migration():
    assert sorted(store.MIGRATIONS) == list(range(1, store.FORMAT_VERSION))


def test_weights_keep_every_bit(tmp_path: Path):
    state = {"a": torch.randn(3, 5).T, "b": torch.tensor([1e-45, -0.0, torch.inf])}
    store.write_weights(tmp_path, state)
    found = store.read_weights(tmp_path)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)


def test_other_processes_of_a_run_write_nothing(
    small_ring: Dataset, tmp_path: Path, monkeypatch: Any
):
    monkeypatch.setenv("LOCAL_RANK", "1")
    untrained(small_ring).save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_replaced_while_it_is_read_is_read_again(
    small_ring: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    old, new = untrained(small_ring), untrained(small_ring)
    new.catalogue = new.catalogue.take(np.arange(20)[::-1])
    folder = old.save(tmp_path / "run")
    read, replaced = store.read_catalogue, []

    def replacing_once(path: Path) -> Any:
        found = read(path)
        if not replaced:
            replaced.append(new.save(folder))
        return found

    monkeypatch.setattr(store, "read_catalogue", replacing_once)
    assert Recommender.load(folder).ids == new.ids != old.ids


def test_parts_of_unlike_sizes_are_no_run(small_ring: Dataset, tmp_path: Path):
    short = untrained(small_ring)
    short.vectors = short.vectors[:19]
    with pytest.raises(StoreError, match="its parts hold 19, 20 items"):
        Recommender.load(short.save(tmp_path / "run"))
