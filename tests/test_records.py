import json
import subprocess
from pathlib import Path

import pytest
import torch

from lite_llm4rec import records
from lite_llm4rec.config import to_dict
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.errors import DataError
from lite_llm4rec.evaluate import Evaluation, evaluate
from lite_llm4rec.models.popularity import Popularity
from lite_llm4rec.paper.render import put_between_marks, render, render_summary
from lite_llm4rec.preset import load_preset
from lite_llm4rec.records import read_records, write_record


@pytest.fixture(scope="module")
def evaluation(small_ring: Dataset) -> Evaluation:
    split = leave_one_out(small_ring.interactions)
    return evaluate(Popularity(torch.from_numpy(split.train_counts())), small_ring, split)


@pytest.fixture(autouse=True)
def same_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(records, "machine", lambda: {"processor": "A CPU", "threads": 2})
    monkeypatch.setattr(records, "commit", lambda: "0123456789ab+")


def write(path: Path, evaluation: Evaluation, **changes) -> None:
    values = {"model": "Lite-LLM4Rec", "preset": "cpu/small", "seed": 3, "seconds": 90.04}
    write_record(path, evaluation, **{**values, **changes})


def test_a_copy_without_git_is_told_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.undo()
    monkeypatch.setattr(records, "__file__", str(tmp_path / "records.py"))
    monkeypatch.delenv("LITE_LLM4REC_COMMIT", raising=False)
    assert records.commit() is None
    monkeypatch.setenv("LITE_LLM4REC_COMMIT", "0123456789ab")
    assert records.commit() == "0123456789ab"
    who = ["-c", "user.name=x", "-c", "user.email=x@y"]
    for words in (["init"], [*who, "commit", "--allow-empty", "-m", "another project's"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    assert records.commit() == "0123456789ab"
    monkeypatch.delenv("LITE_LLM4REC_COMMIT")
    assert records.commit() is None  # the other project's is not ours


def test_a_checkout_s_copy_may_be_told_its_commit_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    monkeypatch.setenv("LITE_LLM4REC_COMMIT", "0123456789ab")
    assert records.commit() == "0123456789ab"


def test_a_record_carries_what_the_number_means(evaluation: Evaluation, tmp_path: Path):
    path = tmp_path / "cold" / "cell.json"
    write(path, evaluation, details={"note": "half the epochs"})
    (record,) = read_records(tmp_path)
    protocol = evaluation.to_dict()["protocol"]
    assert record == json.loads(
        json.dumps(
            {
                "experiment": "cold",
                "cell": "cell",
                "dataset": "small-ring",
                "sequences_sha256": protocol.pop("sequences_sha256"),
                "protocol": {key: value for key, value in protocol.items() if key != "dataset"},
                "model": "Lite-LLM4Rec",
                "preset": "cpu/small",
                "seed": 3,
                "metrics": evaluation.metrics,
                "intervals": evaluation.intervals,
                "slices": evaluation.slices,
                "repeats": evaluation.repeats,
                "leaks": [],
                "seconds": 90.0,
                "machine": {"processor": "A CPU", "threads": 2},
                "commit": "0123456789ab+",
                "note": "half the epochs",
            }
        )
    )
    assert {"split", "candidates", "seen_filter", "history_length", "time"} <= set(
        record["protocol"]
    )
    assert [file.name for file in path.parent.iterdir()] == ["cell.json"]


def test_records_come_in_the_order_of_their_paths(evaluation: Evaluation, tmp_path: Path):
    for name in ("b/2.json", "a/9.json", "b/1.json"):
        write(tmp_path / name, evaluation)
    (tmp_path / "notes.txt").write_text("no record")
    found = [(record["experiment"], record["cell"]) for record in read_records(tmp_path)]
    assert found == [("a", "9"), ("b", "1"), ("b", "2")]
    assert read_records(tmp_path / "none") == []


@pytest.mark.parametrize("content", ['{"metrics": {}}', "[]", '{"half": '])
def test_other_files_are_named(content: str, tmp_path: Path):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(DataError, match=r"other\.json is not"):
        read_records(tmp_path)


def test_the_page(evaluation: Evaluation, tmp_path: Path):
    write(tmp_path / "one" / "lite.json", evaluation, details={"note": "one seed"})
    nothing = {"model": "Popularity", "preset": "", "seed": None, "seconds": 0.0}
    write(tmp_path / "one" / "lite.popularity.json", evaluation, **nothing)
    write(tmp_path / "one" / "more.popularity.json", evaluation, **nothing)
    page = render(tmp_path)
    assert page.startswith("# Results\n\n")
    sections = page.split("\n## ")[1:]
    assert [section.split("\n")[0] for section in sections] == ["one"]
    assert page.count(f"**small-ring, sequences {evaluation.protocol.sequences_sha256[:12]}, ") == 1
    assert "leave_one_out test, 20 interacted candidates, seen items removed**" in page
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) == 3  # header, popularity once, the model
    low, high = evaluation.intervals["recall@10"]
    recall = f"{evaluation.metrics['recall@10']:.4f} [{low:.4f}, {high:.4f}]"
    coverage = f"{evaluation.metrics['coverage@10']:.4f}"
    assert rows[1].startswith(f"| Popularity |  |  | {recall} | ")
    assert rows[1].endswith(f" | {coverage} |  |  | A CPU, 2 threads | 0123456789ab+ |")
    assert rows[2].startswith(f"| Lite-LLM4Rec | `cpu/small` | ≤ 1 | {recall} | ")
    assert rows[2].endswith(f" | {coverage} | 3 | 1.5 min | A CPU, 2 threads | 0123456789ab+ |")


def test_what_a_person_says_of_an_experiment_stands_above_it(
    evaluation: Evaluation, tmp_path: Path
):
    write(tmp_path / "one" / "a.json", evaluation)
    (tmp_path / "one" / "README.md").write_text("One seed only.\n")
    assert "## one\n\nOne seed only.\n\n**small-ring" in render(tmp_path)


def test_a_row_says_how_it_was_trained(evaluation: Evaluation, tmp_path: Path):
    settings = to_dict(load_preset("cpu/small", ['vector.strategy="all"']))
    write(tmp_path / "cpu" / "a.json", evaluation, details={"settings": settings})
    row = "| Lite-LLM4Rec `all`, from scratch | `cpu/small`, strategy all |"
    assert row in render(tmp_path) and row in render_summary(tmp_path)
    settings = {**settings, "joint": {**settings["vector"], "epochs": 2}}
    write(tmp_path / "cpu" / "a.json", evaluation, details={"settings": settings})
    told = "`cpu/small`, joint stage of 2 epochs, strategy all |"
    assert f"`all`, from scratch, joint stage first | {told}" in render(tmp_path)


def test_other_protocols_are_never_in_one_table(
    evaluation: Evaluation, small_ring: Dataset, tmp_path: Path
):
    write(tmp_path / "one" / "a.json", evaluation)
    split = leave_one_out(small_ring.interactions)
    model = Popularity(torch.from_numpy(split.train_counts()))
    for name, options in (("b", {"seen_filter": False}), ("c", {"part": "valid"})):
        write(tmp_path / "one" / f"{name}.json", evaluate(model, small_ring, split, **options))
    page = render(tmp_path)
    assert page.count("| model | preset |") == 3
    assert page.count("seen items kept**") == 1
    assert page.count("leave_one_out valid") == 1


def test_the_short_table_goes_between_the_marks(evaluation: Evaluation, tmp_path: Path):
    write(tmp_path / "cpu" / "a.json", evaluation)
    write(tmp_path / "other" / "a.json", evaluation)
    table = render_summary(tmp_path)
    assert len(table.splitlines()) == 3
    assert table.splitlines()[2].startswith("| `small-ring` (20) | Lite-LLM4Rec | `cpu/small` | ")
    page = "before\n<!-- results -->\nold\n<!-- /results -->\nafter"
    new = put_between_marks(page, table)
    assert new == f"before\n<!-- results -->\n{table}\n<!-- /results -->\nafter"
    assert put_between_marks(new, table) == new
    with pytest.raises(DataError, match="no marks"):
        put_between_marks("a page", table)


def test_the_machine_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    found = records.machine()
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["processor"] and found["cores"] >= 1


@pytest.mark.parametrize("computed", [True, False])
def test_a_gpu_is_named_where_something_was_computed_on_it(
    computed: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: computed)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    assert records.machine().get("gpu") == ("Some GPU" if computed else None)
