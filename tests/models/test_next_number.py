import numpy as np
import torch

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.evaluate import evaluate, rank_cases
from lite_llm4rec.models.item_numbers import number_items
from lite_llm4rec.models.next_number import NextNumber
from tests.conftest import ring_tables


def model_of(dataset: Dataset, numbering: str) -> NextNumber:
    split = leave_one_out(dataset.interactions)
    numbers = number_items(split, numbering, 0)  # type: ignore[arg-type]
    return NextNumber(torch.from_numpy(numbers))


def test_it_counts_on():
    model = NextNumber(torch.tensor([3, 1, 5, 2, 4]))
    items, mask = torch.tensor([[2, 0], [4, 1]]), torch.tensor([[True, True], [True, False]])
    found = model.ranked_lists(None, items, mask, 3)
    assert found.items.tolist() == [[4, 2, -1], [2, -1, -1]]
    assert found.scores.tolist() == [[-1, -2, -torch.inf], [-1, -torch.inf, -torch.inf]]


def test_the_original_numbering_tells_all_of_a_single_walk():
    dataset = Dataset.from_tables(*ring_tables(1, 20, 6, seed=0))
    split = leave_one_out(dataset.interactions)
    ranks, _ = rank_cases(model_of(dataset, "original"), dataset.interactions.items, split.test)
    assert ranks.tolist() == [1]


def test_a_random_numbering_tells_nothing(ring: Dataset):
    split = leave_one_out(ring.interactions)
    told, honest = (
        evaluate(model_of(ring, numbering), ring, split).metrics["recall@10"]
        for numbering in ("original", "random")
    )
    assert told > 0.8
    assert honest < 0.4
    assert np.isfinite(honest)
