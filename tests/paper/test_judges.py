"""A verdict follows the records."""

import json
from pathlib import Path
from shutil import rmtree

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.claims import CLAIMS, TOP_N_OTHERS, TOP_N_OURS, claimed_pairs
from lite_llm4rec.paper.evidence import Evidence
from lite_llm4rec.paper.judges import (
    LESS,
    NO,
    ON_CPU,
    PART,
    UNCLEAR,
    UNTAUGHT,
    WAITING,
    WITHIN,
    YES,
)
from lite_llm4rec.paper.pairs import METRIC, PAIRS, Pair, write_pairs
from lite_llm4rec.paper.redundancy import EXAMPLE
from lite_llm4rec.records import add_to_record, write_values

PAIR = Pair("table4", "Lite-LLM4Rec small, sampling", "SASRec")


def judged(records: Path, says: str) -> tuple[str, str]:
    (claim,) = [claim for claim in CLAIMS if claim.says.startswith(says)]
    return claim.judge(Evidence(records))


def verdict(records: Path, says: str) -> str:
    return judged(records, says)[0]


@pytest.mark.parametrize(("lite", "found"), [(1.0, YES), (10.0, ON_CPU)])
def test_a_ratio_is_judged(tmp_path: Path, lite: float, found: str):
    values = {"POD": 300.0, "Lite-LLM4Rec": lite}
    turns = {"POD": [260.0, 300.0, 900.0], "Lite-LLM4Rec": [lite] * 3}
    path = tmp_path / "table5" / "ml-1m.time.json"
    write_values(path, values, {"dataset": "ml-1m", "row": "time", "turns": turns})
    assert verdict(tmp_path, "A batch is ranked") == found


def timed_on(folder: Path, device: str, pod: float, lite: float) -> None:
    """Write Table 5's times as a machine with or without a GPU would."""
    values = {"POD": pod, "Lite-LLM4Rec": lite}
    turns = {name: [value] * 3 for name, value in values.items()}
    name = "ml-1m.time.json" if device == "cpu" else "ml-1m.time.cuda.json"
    path = folder / "table5" / name
    write_values(path, values, {"dataset": "ml-1m", "row": "time", "turns": turns})
    machine = {"processor": "CPU", "threads": 1} | ({} if device == "cpu" else {"gpu": "GPU"})
    add_to_record(path, {"machine": machine})


@pytest.mark.parametrize(("pod", "found"), [(100.0, LESS), (900.0, YES)])
def test_a_gpu_s_times_decide(tmp_path: Path, pod: float, found: str):
    timed_on(tmp_path, "cpu", 500.0, 1.0)
    assert judged(tmp_path, "A batch is ranked") == (YES, "500× on CPU, 1 thread (paper: 354×)")
    timed_on(tmp_path, "cuda", pod, 1.0)
    told = f"{pod:.0f}× on GPU; 500× on CPU, 1 thread (paper: 354×)"
    assert judged(tmp_path, "A batch is ranked") == (found, told)


def test_nothing_is_said_of_what_was_not_measured(tmp_path: Path):
    assert verdict(tmp_path, "A batch is ranked") == WAITING
    assert verdict(tmp_path, "Beam search") == WAITING
    assert verdict(tmp_path, "Lite-LLM4Rec is better than every") == WAITING


def run(bench: Bench, row: str, ranks: list[int], exhibit: str = "table4") -> Cell:
    """Make a run folder's table of cases with these ranks, 100 users for each."""
    cell = Cell(exhibit, "ml-1m", row, lambda cell, bench: None, 0)
    folder = bench.runs / cell.exhibit / cell.name
    folder.mkdir(parents=True)
    users = np.arange(100 * len(ranks))
    table = pa.table({"user_id": users, "target_id": users, "rank": np.repeat(ranks, 100)})
    pa.parquet.write_table(table, folder / "test_cases.parquet")
    return cell


def test_better_is_a_paired_test(tmp_path: Path):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    cells = [
        run(bench, "Lite-LLM4Rec small, sampling", [1, 1, 50]),
        run(bench, "SASRec", [1, 50, 50]),
        run(bench, "FDSA", [1, 1, 1]),
    ]
    write_pairs(claimed_pairs(), cells, bench)
    (test,) = Evidence(bench.records).tests(PAIR)
    assert test["values"]["difference"] == pytest.approx(1 / 3)
    assert 0 < test["values"]["low"] < 1 / 3 < test["values"]["high"]
    assert verdict(bench.records, "Lite-LLM4Rec is better than every") == NO + ", 1 seed"  # FDSA
    assert verdict(bench.records, "Lite-LLM4Rec is better than Light") == WAITING
    cut = {"dataset": "ml-1m", "row": "SASRec", "stages": [{"stage": "vector", "cut": True}]}
    write_values(cells[1].record(bench), {}, cut)
    assert verdict(bench.records, "Lite-LLM4Rec is better than every") == NO + ", 1 seed" + WITHIN


def test_a_pair_that_says_the_same_stays_as_it_is(tmp_path: Path):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    better, other = "Lite-LLM4Rec small, sampling", "SASRec"
    cells = [run(bench, better, [1, 1, 50]), run(bench, other, [1, 50, 50])]
    write_pairs(claimed_pairs(), cells, bench)
    (path,) = (bench.records / PAIRS).iterdir()
    add_to_record(path, {"commit": "an older one"})
    write_pairs(claimed_pairs(), cells, bench)
    assert json.loads(path.read_text())["commit"] == "an older one"
    rmtree(bench.runs / "table4" / cells[1].name)
    cells[1] = run(bench, other, [1, 1, 50])
    write_pairs(claimed_pairs(), cells, bench)
    record = json.loads(path.read_text())
    assert record["commit"] != "an older one" and record["values"]["difference"] == 0


def test_what_is_said_of_one_data_set_is_judged_on_that(tmp_path: Path):
    every = "On ML-1M every prefix"
    for data, low in (("ml-100k", 0.1), ("ml-1m", -0.1)):
        pair = {
            "exhibit": "table4", "dataset": data, "row": "Lite-LLM4Rec small, all",
            "other": "Lite-LLM4Rec small, sampling", "seed": 0, "metric": METRIC,
        }  # fmt: skip
        values = {"difference": low + 0.05, "low": low, "high": low + 0.1}
        write_values(tmp_path / PAIRS / f"{data}.json", values, pair)
        cut = {"dataset": data, "row": pair["row"], "stages": [{"stage": "vector", "cut": True}]}
        if data == "ml-100k":
            assert verdict(tmp_path, every) == WAITING
            write_values(tmp_path / "table4" / f"{data}.json", {}, cut)
    found, told = judged(tmp_path, every)
    assert found == NO + ", 1 seed" and "ml-100k" not in told


def trained(folder: Path, row: str, metrics: dict[str, float]) -> None:
    """Write a record of a training with these metrics, on ML-1M."""
    path = folder / f"ml-1m.{row}.json"
    about = {"dataset": "ml-1m", "row": row, "model": row, "seed": 0}
    intervals = {name: [value, value] for name, value in metrics.items()}
    write_values(path, {}, {**about, "metrics": metrics, "intervals": intervals})


def test_top_n_is_judged_by_paired_tests_of_each_metric(tmp_path: Path):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    run(bench, TOP_N_OTHERS[0], [2, 2, 50], "figure5")
    run(bench, TOP_N_OTHERS[1], [1, 2, 50], "figure5")
    write_pairs(claimed_pairs(), [run(bench, TOP_N_OURS, [2, 1, 50], "figure5")], bench)
    by_place, by_first = (
        judged(bench.records, says) for says in ("Top-N", "… and a better Recall")
    )
    assert by_place[0] == by_first[0] == PART + ", 1 seed"  # as good as POD's, in another order
    assert by_place[1].startswith(f"NDCG@10 of {TOP_N_OURS}, by seed; ml-1m: +0.1230 [")
    assert by_first[1].startswith(f"Recall@1 of {TOP_N_OURS}, by seed; ml-1m: +0.3333 [")
    assert "; ml-1m: +0.0000 [" in by_first[1]


def test_item_llms_are_held_against_the_paper_s_spread(tmp_path: Path):
    says = "Which Item LLM"
    for name, recall, found in (
        ("Sbert", 0.25, WAITING),
        ("BERT", 0.26, YES),
        ("T5-base", 0.3, NO),
    ):
        trained(tmp_path / "table7", name, {"recall@10": recall})
        assert verdict(tmp_path, says) == found


@pytest.mark.parametrize(("tokens", "found"), [(290.0, YES), (150.0, NO)])
def test_titles_are_counted(tmp_path: Path, tokens: float, found: str):
    path = tmp_path / "table6" / "ml-1m.length.json"
    said = {"dataset": "ml-1m", "row": "length"}
    write_values(path, {"P5 padded": 94.0}, said)
    assert verdict(tmp_path, "Titles make") == WAITING  # counted before titles were
    write_values(path, {"P5 padded": 94.0, "POD w/o_d_TID padded": tokens}, said)
    assert verdict(tmp_path, "Titles make") == found


def test_a_rival_that_was_not_run_is_not_beaten(tmp_path: Path):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    cells = [run(bench, "Lite-LLM4Rec small, sampling", [1, 1]), run(bench, "SASRec", [50, 50])]
    write_pairs(claimed_pairs(), cells, bench)
    found = judged(bench.records, "Lite-LLM4Rec is better than every")
    assert found[0] == PART + ", 1 seed"
    assert "no test against BERT4Rec, S3-Rec, FDSA yet" in found[1]


@pytest.mark.parametrize(
    ("cut", "processor", "found"),
    [
        (True, "slow", WAITING),
        (True, "fast", PART + ", 1 seed"),
        (False, "slow", PART + ", 1 seed"),
    ],
)
def test_what_the_same_minutes_on_another_processor_taught_does_not_count(
    tmp_path: Path, cut: bool, processor: str, found: str
):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    row, other = "Lite-LLM4Rec small, sampling", "SASRec"
    write_pairs(claimed_pairs(), [run(bench, row, [1, 1]), run(bench, other, [1, 50])], bench)
    for name, recall, kind in ((row, 1.0, "fast"), (other, 0.5, processor)):
        trained(bench.records / "table4", name, {"recall@10": recall})
        machine = {"processor": kind, "threads": 1}
        stages = [{"stage": "vector", "cut": cut}]
        path = bench.records / "table4" / f"ml-1m.{name}.json"
        add_to_record(path, {"machine": machine, "stages": stages})
    verdict, told = judged(bench.records, "Lite-LLM4Rec is better than every")
    assert verdict.removesuffix(WITHIN) == found
    assert ("on another processor: SASRec" in told) == (found == WAITING)


def test_a_test_of_records_that_are_no_more_does_not_count(tmp_path: Path):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    row, other = "Lite-LLM4Rec small, sampling", "SASRec"
    write_pairs(claimed_pairs(), [run(bench, row, [1, 1]), run(bench, other, [1, 50])], bench)
    for name, recall in ((row, 1.0), (other, 0.5)):
        trained(bench.records / "table4", name, {"recall@10": recall})
    evidence = Evidence(bench.records)
    assert len(evidence.tests(PAIR)) == 1
    assert evidence.untested(PAIR) == []
    trained(bench.records / "table4", other, {"recall@10": 0.7})  # measured anew
    evidence = Evidence(bench.records)
    assert evidence.tests(PAIR) == []
    assert evidence.untested(PAIR) == ["ml-1m"]
    assert verdict(bench.records, "Lite-LLM4Rec is better than every") == WAITING


def test_a_data_set_without_a_test_is_told(tmp_path: Path):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    row, others = "POD small w/o_d_TID", "POD small w/o_d"
    values = {"difference": 0.1, "low": 0.05, "high": 0.15}
    about = {"dataset": "ml-100k", "exhibit": "table2", "row": row, "other": others, "seed": 0}
    write_values(bench.records / PAIRS / "a.json", values, {**about, "metric": METRIC})
    for name in (row, others):
        trained(bench.records / "table2", name.replace("/", ""), {"recall@10": 0.5})
        add_to_record(
            bench.records / "table2" / f"ml-1m.{name.replace('/', '')}.json", {"row": name}
        )
    found, told = judged(bench.records, "Titles in place")
    assert found == PART + ", 1 seed"
    assert f"no test against {others} on ml-1m yet" in told


@pytest.mark.parametrize(
    ("slow", "found"), [([30.0, 20.0, 25.0], YES), ([25.0, 9.0, 30.0], UNCLEAR), ([5.0] * 3, LESS)]
)
def test_a_ratio_holds_in_every_turn(tmp_path: Path, slow: list[float], found: str):
    turns = {"POD": slow, "POD w/o_d": [1.0, 1.0, 1.0]}
    about = {"dataset": "ml-1m", "row": "time", "turns": turns}
    path = tmp_path / "table2" / "ml-1m.time.json"
    write_values(path, {"POD": 1.0}, about)
    add_to_record(path, {"machine": {"processor": "CPU", "threads": 1, "gpu": "a card"}})
    assert verdict(tmp_path, "Without the decoder a batch") == found


def test_nothing_is_said_of_systems_that_popularity_beats(tmp_path: Path):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    cells = [run(bench, "Lite-LLM4Rec small, sampling", [1, 50]), run(bench, "SASRec", [50, 50])]
    write_pairs(claimed_pairs(), cells, bench)
    for cell, recall in zip(cells, (0.5, 0.0), strict=True):
        trained(bench.records / "table4", cell.row, {"recall@10": recall})
    popular = {"dataset": "ml-1m", "model": "Popularity", "metrics": {"recall@10": 0.6}}
    write_values(bench.records / "table4" / "a.popularity.json", {}, popular)
    assert verdict(bench.records, "Lite-LLM4Rec is better than every") == UNTAUGHT


def test_a_rival_that_popularity_beats_does_not_count(tmp_path: Path):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    recalls = {"Lite-LLM4Rec small, all": 1.0, "Lite-LLM4Rec small, sampling": 0.8}
    recalls |= {"LightLM small": 0.0, "P5 small": 0.0, "POD small": 0.2}
    ranks = {row: [1 if recall > place / 5 else 50 for place in range(5)]
             for row, recall in recalls.items()}  # fmt: skip
    cells = [run(bench, row, ranks[row]) for row in recalls]
    write_pairs(claimed_pairs(), cells, bench)
    for cell in cells:
        trained(bench.records / "table4", cell.row, {"recall@10": recalls[cell.row]})
    popular = {"dataset": "ml-1m", "model": "Popularity", "metrics": {"recall@10": 0.1}}
    write_values(bench.records / "table4" / "a.popularity.json", {}, popular)
    found, told = judged(bench.records, "Lite-LLM4Rec is better than Light")
    assert found == PART + ", 1 seed"
    assert "left out, as not above popularity: LightLM small, P5 small" in told


def test_the_seeds_are_those_of_the_rival_with_the_fewest(tmp_path: Path):
    bench = Bench(tmp_path / "records", tmp_path / "runs")
    row, others = "full, MiniLM", ("fixT5, MiniLM", "fixHead, MiniLM", "Scratch, MiniLM")
    seeds = {other: (0, 1, 2) for other in others} | {others[2]: (0,)}
    for other, mine in seeds.items():
        for seed in mine:
            values = {"difference": 0.1, "low": 0.05, "high": 0.15}
            about = {"dataset": "ml-100k", "exhibit": "figure4", "row": row, "other": other}
            path = bench.records / PAIRS / f"{other}.{seed}.json"
            write_values(path, values, {**about, "seed": seed, "metric": METRIC})
    assert verdict(bench.records, "A fixed Recommendation LLM") == YES + ", 1 seed"


def test_beam_search_is_all_but_the_encoder(tmp_path: Path):
    parts = {"data preparation": 5.0, "encoder": 5.0, "beam search and reading": 90.0}
    for name in ("P5", "POD"):
        about = {"dataset": "ml-1m", "row": name}
        write_values(tmp_path / "figure2" / f"ml-1m.{name}.json", parts, about)
    found, told = judged(tmp_path, "Beam search")
    assert found == YES and "P5 95.0% on" in told and "POD 95.0% on" in told


def wrote(folder: Path, row: str, shares: dict[str, float], *, constrained: bool = False) -> None:
    """Write a record of a model that writes ids, with shares of what is no new item's."""
    none = {"malformed": 0.0, "unknown": 0.0, "repeated": 0.0}
    about = {"dataset": "ml-1m", "row": row, "settings": {"model": {"constrained": constrained}}}
    write_values(folder / f"{row}.json", {}, {**about, "metrics": none | shares})


def test_what_free_searches_wrote_is_counted(tmp_path: Path):
    says, folder = "What writes ids", tmp_path / "table4"
    wrote(folder, "held", {"malformed": 0.9}, constrained=True)
    wrote(folder, "P5, held to the candidates", {"malformed": 0.9})
    assert verdict(tmp_path, says) == WAITING
    wrote(folder, "P5", {})
    assert verdict(tmp_path, says) == NO
    wrote(folder, "POD", {"malformed": 0.1, "unknown": 0.2})
    found, told = judged(tmp_path, says)
    assert found == PART
    assert "0.0% to 30.0% are no item (most: POD, table4, ml-1m); 0.0% to 0.0% an item once" in told
    wrote(folder, "LightLM", {"repeated": 0.01})
    assert verdict(tmp_path, says) == YES


@pytest.mark.parametrize(("times", "found"), [(323, NO), (539, YES)])
def test_a_title_that_goes_in_again_is_counted(tmp_path: Path, times: int, found: str):
    assert verdict(tmp_path, "The same title") == WAITING
    path = tmp_path / "redundancy" / "ml-1m.encodings.json"
    values = {EXAMPLE: {"≤ 20 items": times, "whole histories": 2234}}
    write_values(path, values, {"dataset": "ml-1m", "row": "encodings"})
    told = f"{EXAMPLE}: {times} with ≤ 20 items, 2,234 with whole histories (paper: 539)"
    assert judged(tmp_path, "The same title") == (found, told)
