import copy
from pathlib import Path

from lite_llm4rec.config import to_dict
from lite_llm4rec.paper import rows
from lite_llm4rec.paper.render import render, render_summary
from lite_llm4rec.preset import load_preset
from lite_llm4rec.records import write_benchmark
from tests.test_records import evaluation, same_machine, write  # noqa: F401

SETTINGS = {
    "seed": 0,
    "joint": None,
    "vector": {"strategy": "positions"},
    "model": {
        "kind": "causal",
        "loss": {"name": "full", "negatives": 256, "shared": False, "t": 0.75, "max_bytes": 1},
    },
}


def settings(seed: int = 0, **loss) -> dict:
    found = copy.deepcopy(SETTINGS)
    found["seed"] = seed
    found["model"]["loss"].update(loss)
    return found


def test_seeds_of_one_system_are_one_line_with_mean_and_range(evaluation, tmp_path: Path):  # noqa: F811
    for seed, recall in enumerate((0.1, 0.2, 0.4)):
        evaluation.metrics["recall@10"] = recall
        write(
            tmp_path / "causal" / f"a-{seed}.json", evaluation, model="Ours", seed=seed,
            # what an older record lacks is the default
            details={"settings": settings(seed) | ({"pretrain": None} if seed else {})},
        )  # fmt: skip
    write(
        tmp_path / "causal" / "b.json", evaluation, model="Ours",
        details={"settings": settings(name="gbce")},
    )  # fmt: skip
    lines = [line for line in render(tmp_path).splitlines() if line.startswith("| Ours")]
    assert len(lines) == 2
    assert lines[0].startswith("| Ours, full cross-entropy | `cpu/small`, kind causal, ")
    assert " | ≤ 1 | 0.2333 (0.1000 – 0.4000) | " in lines[0]
    assert "| 0, 1, 2 | 1.5 min |" in lines[0]
    assert lines[1].startswith("| Ours, gBCE (256 negatives) | ")
    assert "0.2333 (0.1000 – 0.4000)" in render_summary(tmp_path)


def test_losses_by_name():
    def named(**loss) -> str:
        return rows.model({"model": "SASRec", "settings": settings(**loss)})

    assert named(name="sampled", negatives=64, shared=True) == (
        "SASRec, sampled softmax (64 shared negatives)"
    )
    assert named(name="bce", negatives=1) == "SASRec, BCE (1 negatives)"
    pretrained = {**settings(name="bce", negatives=1), "pretrain": {"strategy": "all"}}
    assert rows.model({"model": "S3-Rec", "settings": pretrained}) == (
        "S3-Rec, pre-trained, BCE (1 negatives)"
    )


def test_an_ablation_is_a_table_of_questions_in_the_plans_order(evaluation, tmp_path: Path):  # noqa: F811
    for order, (name, changed) in enumerate([("z", []), ("a", ["model.items='id'"])]):
        details = {"order": order, "question": f"Q{order}", "changed": changed, "epochs": 12}
        write(tmp_path / "ablation" / f"{name}.json", evaluation, details=details)
    lines = [line for line in render(tmp_path).splitlines() if line.startswith("| Q")]
    assert [line.split(" | ")[1] for line in lines] == ["z", "a"]
    assert lines[1].endswith("| 12 | 1.5 min | `model.items='id'` |")


def test_cold_and_warm_stand_apart(evaluation, tmp_path: Path):  # noqa: F811
    import dataclasses

    slices = {
        "warm": {"cases": 30, "recall@10": 0.5, "ndcg@10": 0.25},
        "cold": {"cases": 10, "recall@10": 0.1, "ndcg@10": 0.05},
    }
    protocol = dataclasses.replace(
        evaluation.protocol, split="leave_one_out, 10 % of items cold (seed 0)"
    )
    metrics = {**evaluation.metrics, "recall@10": 0.4, "cold@10": 0.125, "cold_targets": 0.25}
    cold = dataclasses.replace(evaluation, protocol=protocol, slices=slices, metrics=metrics)
    write(tmp_path / "cold" / "a.json", cold, model="Ours", details={"note": "(offset 0)"})
    write(tmp_path / "cold" / "b.json", cold, model="Ours", details={"note": "(offset 1)"})
    lines = [line for line in render(tmp_path).splitlines() if line.startswith("| Ours")]
    assert len(lines) == 2 and lines[1].startswith("| Ours (offset 1) | 3 | ")
    assert lines[0] == (
        "| Ours (offset 0) | 3 | 0.5000 | 0.2500 | 0.1000 | 0.0500 | 0.4000 | 12.5 % | 25.0 % |"
    )


def test_a_load_is_a_table_of_percentiles(tmp_path: Path):
    row = {"p50_ms": 1.26, "p95_ms": 2.0, "p99_ms": 3.0, "errors": 0}
    details = {
        "seconds_each": 5.0,
        "model alone": {"p50_ms": 0.5, "cpu_ms": 0.4},
        "service, 8 clients": {**row, "throughput": 7},
        "service, 20 a second": row,
        "resident_mb": {"service": [100.4, 101.6]},
    }
    write_benchmark(tmp_path / "benchmarks" / "serve_load.json", "what ÷ what", 2.0, details)
    page = render(tmp_path)
    assert "| service, 8 clients | 1.3 | 2.0 | 3.0 | 7 |  | 0 |" in page
    assert "| service, 20 a second | 1.3 | 2.0 | 3.0 |  |  | 0 |" in page
    assert "| model alone | 0.5 |  |  |  | 0.4 |  |" in page
    assert "Resident memory in MB, before and after: service 100 → 102." in page


def test_a_soak_is_a_table_of_its_parts(tmp_path: Path):
    part = {"p50_ms": 1.26, "p95_ms": 2.0, "p99_ms": 3.0, "errors": 0, "resident_mb": 100.4}
    details = {
        "minutes": 10.0,
        "rate": 8.0,
        "answered": {"history": 4700, "event": 100},
        "events_stored": 100,
        "parts": [part, {**part, "errors": 2}],
    }
    write_benchmark(tmp_path / "benchmarks" / "serve_soak.json", "what ÷ what", 1.0, details)
    page = render(tmp_path)
    assert (
        "10 minutes at 8 requests a second (answered: 4,700 history, 100 event); 100 events" in page
    )
    assert "| 2 | 1.3 | 2.0 | 3.0 | 2 | 100 |" in page


def test_what_was_set_otherwise_stands_beside_the_preset():
    settings = to_dict(load_preset("sasrec/long", ["model.width=64", "vector.epochs=3"], 5))
    row = {"preset": "sasrec/long", "settings": settings}
    assert rows.preset(row) == "`sasrec/long`, width 64, epochs 3"
    assert rows.preset({"preset": "sasrec/long"}) == "`sasrec/long`"
    loss = {**settings["model"]["loss"], "name": "bce", "t": 0.5}
    other = {**settings, "model": {**settings["model"], "loss": loss}}
    assert rows.preset({**row, "settings": other}) == (
        "`sasrec/long`, width 64, t 0.5, epochs 3"  # the loss stands beside the model's name
    )
    assert rows.preset({"preset": "mine", "settings": settings}) == "`mine`"
    assert rows.preset({"preset": ""}) == ""


def test_stages_and_shapes_that_the_preset_has_not_are_told():
    own = to_dict(load_preset("paper/ml-1m", ["model.shape={num_layers=2}"]))
    row = {"preset": "paper/ml-1m", "settings": {**own, "joint": None}}
    assert rows.preset(row) == "`paper/ml-1m`, no joint stage, num_layers 2"
    first = to_dict(load_preset("cpu/small", ["joint.epochs=2", 'text.model="other"']))
    told = rows.preset({"preset": "cpu/small", "settings": first})
    assert told == "`cpu/small`, joint stage of 2 epochs, text.model other"


def test_seeds_tell_where_each_was_made():
    two = [{"machine": {"processor": name, "threads": 1}, "commit": name} for name in "ab"]
    assert rows.places([*two, two[0]]) == "a, 1 thread, b, 1 thread"
    assert rows.commits([*two, two[0]]) == "a, b"


def test_the_way_to_98_is_a_table_of_the_systems(tmp_path: Path):
    system = {
        "best_recall@10": 0.1,
        "seconds_to_98": 61.2,
        "epochs_to_98": 3,
        "targets_per_epoch": 1000,
        "seconds": [20.0] * 5,
        "stopped_rising": False,
    }
    details = {"settings": {"to_98": True, "epochs": 5}, "systems": {"ours": system}}
    write_benchmark(tmp_path / "benchmarks" / "against.json", "what ÷ what", 2.0, details)
    assert "| ours | 0.1000 | 61 s | 3 | 1,000 | 5 | yes |" in render(tmp_path)
