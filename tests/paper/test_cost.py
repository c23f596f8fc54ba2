"""What a system costs, where it can be counted by hand."""

import json
from dataclasses import replace

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.paper import cost
from lite_llm4rec.paper.cell import Bench
from lite_llm4rec.paper.clocks import SYSTEMS
from lite_llm4rec.paper.efficiency import LITE, WRITERS, build
from lite_llm4rec.paper.exhibits import cells
from lite_llm4rec.paper.reproduce import reproduce
from tests.conftest import ring_with_kinds

WIDTH, ITEMS = 32, 20


def test_tables_are_what_the_catalogue_and_the_words_take(bench: Bench, small_ring: Dataset):
    split = leave_one_out(small_ring.interactions)
    lite = build(LITE["Lite-LLM4Rec"], small_ring, split, bench.t5)
    assert cost.count_tables(lite, ITEMS) == 2 * ITEMS * WIDTH  # vectors and head
    pod = build(WRITERS["POD"], small_ring, split, bench.t5)
    assert cost.count_tables(pod, ITEMS) == pod.t5.config.vocab_size * WIDTH
    bert = build(SYSTEMS["BERT4Rec"], small_ring, split, bench.t5)
    assert cost.count_tables(bert, ITEMS) == ITEMS * 64 + ITEMS  # vectors and biases
    weights = [value for name, value in bert.state_dict().items() if name != "counts"]
    assert cost.count(bert) == sum(value.numel() for value in weights)


def test_a_training_step_teaches(bench: Bench, small_ring: Dataset):
    split = leave_one_out(small_ring.interactions)
    timed = LITE["Lite-LLM4Rec"]
    model = build(timed, small_ring, split, bench.t5)
    stage = timed.load(bench.t5).vector
    assert stage is not None
    before = model.head.weight.clone()
    found = cost.time_training(model, split, replace(stage, batch=8, precision="fp32"), "cpu")
    assert 0 < found.low <= found.median <= found.high
    assert not model.training and (model.head.weight != before).any(1).all()


def test_every_system_has_its_cost(bench: Bench):
    listed = cells(["cost"], "ml-1m", [0])
    assert [cell.row for cell in listed] == list(SYSTEMS)
    wanted = [cell for cell in listed if cell.row in ("P5", "Lite-LLM4Rec", "BERT4Rec")]
    assert reproduce(wanted, bench, print) == []
    rows: dict[str, dict[str, float]] = {}
    for cell in wanted:
        rows |= json.loads(cell.record(bench).read_text())["values"]
    assert list(rows) == ["BERT4Rec", "P5", "Lite-LLM4Rec", "Lite-LLM4Rec, joint stage"]
    assert all(row[cost.TRAINING] > 0 for row in rows.values())
    assert [name for name, row in rows.items() if cost.ENCODING in row] == ["Lite-LLM4Rec"]
    joint, alone = (rows[name][cost.PARAMETERS] for name in list(rows)[:1:-1])
    assert joint > alone  # by the Item LLM


def test_systems_that_read_attributes_want_some(bench: Bench):
    cell = next(cell for cell in cells(["cost"], "ml-1m", [0]) if cell.row == "FDSA")
    assert reproduce([cell], bench, print) == []
    assert json.loads(cell.record(bench).read_text())["missing"] == "the items have no attributes"
    dataset = ring_with_kinds()
    split = leave_one_out(dataset.interactions)
    assert build(SYSTEMS["FDSA"], dataset, split, bench.t5).history_length == 20
    assert build(SYSTEMS["S3-Rec"], dataset, split, bench.t5).history_length == 20


def test_deeper_models_have_more_parameters(bench: Bench):
    cell = next(cell for cell in cells(["size"], "ml-1m", [0]) if cell.row == "time")
    assert reproduce([cell], bench, [].append) == []
    values = json.loads(cell.record(bench).read_text())["values"]
    assert list(values) == ["2 layers", "4 layers", "6 layers", "12 layers"]
    sizes = [row[cost.PARAMETERS] for row in values.values()]
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] == (sizes[3] - sizes[2]) / 3 > 0
