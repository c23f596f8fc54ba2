"""Samples show what was asked and written, and where the answer stands."""

import json
from functools import partial

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.report import write_report
from lite_llm4rec.paper.reproduce import reproduce
from lite_llm4rec.paper.samples import SHOWN, USERS, samples
from lite_llm4rec.paper.systems import System, train_system
from lite_llm4rec.recommender import Recommender

SETTINGS = ("model.constrained=true", "model.shape={d_model=32, d_kv=8, num_heads=4, num_layers=1}")


def test_a_trained_writer_s_record_and_page_have_samples(cut: Bench, small_ring: Dataset):
    system = System("POD small", "pod/small", SETTINGS)
    cell = Cell("table4", "ml-1m", system.row, partial(train_system, system), 0)
    assert reproduce([cell], cut, print) == []
    found = json.loads(cell.record(cut).read_text())["samples"]
    assert len(found) == USERS
    model = Recommender.load(cut.runs / "table4" / cell.name).model
    numbers = {str(number) for number in model.numbers.tolist()}
    for sample in found:
        assert sample["prompt"].startswith("user_") and "item_" in sample["prompt"]
        assert sample["answer"] in numbers
        assert len(sample["written"]) == SHOWN and set(sample["written"]) <= numbers
        if sample["place"] is not None and sample["place"] <= SHOWN:
            assert sample["written"][sample["place"] - 1] == sample["answer"]
    assert samples(model, small_ring) == found
    page = write_report(cut.records, cut.records / "pages")[0].read_text()
    assert "was asked, and wrote" in page and f"`{found[0]['answer']}`" in page
