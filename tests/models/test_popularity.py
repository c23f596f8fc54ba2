import torch

from lite_llm4rec.models.base import SequenceModel
from lite_llm4rec.models.popularity import Popularity
from tests.models.contract import N_ITEMS, SequenceModelContract


class TestPopularity(SequenceModelContract):
    learns = False

    def make_model(self) -> SequenceModel:
        return Popularity(torch.arange(N_ITEMS))


def test_scores_are_the_counts():
    model = Popularity(torch.tensor([3, 0, 5]))
    scores = model.scores(torch.tensor([[0], [2]]), torch.ones(2, 1, dtype=torch.bool))
    assert scores.tolist() == [[3, 0, 5], [3, 0, 5]]
