"""What every model must do; a model's test inherits it and says how the model is made."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lite_llm4rec.data.batching import Batch, pad
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.evaluate import rank_cases
from lite_llm4rec.machine import Machine
from lite_llm4rec.models.base import EveryPositionModel, SequenceModel
from lite_llm4rec.rank import seen_items, top_k
from lite_llm4rec.stage_config import StageConfig
from lite_llm4rec.train import fit

N_ITEMS = 60


class SequenceModelContract:
    """Inherit, define `make_model`, and set `learns = False` if nothing is learnt by gradient."""

    learns = True
    stage = StageConfig(strategy="all", epochs=15, batch=64, lr=1e-2, warmup=0.05)

    def make_model(self) -> SequenceModel:
        """Return an untrained model of N_ITEMS items."""
        raise NotImplementedError

    @pytest.fixture
    def model(self) -> SequenceModel:
        torch.manual_seed(0)
        return self.make_model().eval()

    @pytest.fixture
    def histories(self) -> tuple[torch.Tensor, torch.Tensor]:
        items = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3])
        return pad(items, np.array([0, 2, 5, 9]), np.array([2, 5, 9, 10]))

    def test_shapes(self, model, histories):
        items, mask = histories
        users, matrix = model.user_vectors(items, mask), model.item_matrix()
        assert users.shape == (4, matrix.shape[1])
        assert len(matrix) == N_ITEMS
        assert torch.isfinite(model.scores(items, mask)).all()

    def test_a_batch_equals_one_by_one(self, model, histories):
        items, mask = histories
        together = model.user_vectors(items, mask)
        for row in range(len(items)):
            length = int(mask[row].sum())
            alone = model.user_vectors(items[row : row + 1, :length], mask[row : row + 1, :length])
            torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-5)

    def test_what_stands_at_padding_does_not_matter(self, model, histories):
        items, mask = histories
        other = torch.where(mask, items, (items + 7) % N_ITEMS)
        torch.testing.assert_close(
            model.user_vectors(other, mask), model.user_vectors(items, mask), atol=1e-6, rtol=1e-5
        )

    def test_the_order_of_rows_does_not_matter(self, model, histories):
        items, mask = histories
        order = torch.tensor([2, 0, 3, 1])
        torch.testing.assert_close(
            model.user_vectors(items[order], mask[order]),
            model.user_vectors(items, mask)[order],
            atol=1e-6,
            rtol=1e-5,
        )

    def test_weights_are_the_whole_model(self, model, histories):
        torch.manual_seed(1)
        other = self.make_model()
        other.load_state_dict(model.state_dict())
        torch.testing.assert_close(other.eval().scores(*histories), model.scores(*histories))

    def test_seen_items_are_never_returned(self, model):
        log = np.array([3, 1, 4, 5, 9, 2])
        starts, ends = np.array([0, 3]), np.array([3, 6])
        users = model.user_vectors(*pad(log, starts, ends))
        found, _ = top_k(users, model.item_matrix(), N_ITEMS, seen_items(log, starts, ends))
        for row, history in enumerate(([3, 1, 4], [5, 9, 2])):
            returned = [item for item in found[row].tolist() if item >= 0]
            assert sorted(returned + history) == list(range(N_ITEMS))

    def test_it_learns_what_always_follows(self, ring: Dataset, tmp_path: Path):
        if not self.learns:
            pytest.skip("nothing is learnt by gradient")
        torch.manual_seed(0)
        model, split = self.make_model(), leave_one_out(ring.interactions)
        fit(model, split, self.stage, tmp_path, machine=Machine("cpu"), progress=False)
        ranks, _ = rank_cases(model, ring.interactions.items, split.test)
        # The best validation Recall@10 is kept, so the next item is near the top, not always first.
        assert (ranks <= 5).mean() > 0.9


class EveryPositionContract(SequenceModelContract):
    """What a causal model must do besides."""

    stage = StageConfig(strategy="positions", epochs=40, batch=64, lr=1e-2, warmup=0.05)

    def make_model(self) -> EveryPositionModel:
        raise NotImplementedError

    def test_one_pass_equals_each_prefix_alone(self, model):
        items = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 0, 0]])
        mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        whole = model.position_vectors(model.input_vectors(items), mask)
        for row, place in mask.nonzero().tolist():
            prefix = slice(row, row + 1), slice(0, place + 1)
            alone = model.user_vectors(items[prefix], mask[prefix])
            alone = alone[0, : whole.shape[2]]  # a constant may stand behind it
            torch.testing.assert_close(whole[row, place], alone, atol=2e-5, rtol=1e-4)

    def test_every_real_position_teaches_and_padding_does_not(self, model):
        items = torch.tensor([[3, 1, 4], [9, 2, 0]])
        mask = torch.tensor([[True, True, True], [True, True, False]])
        following = torch.tensor([[1, 4, 8], [2, 5, 0]])

        def loss(last: int, middle: int) -> torch.Tensor:
            changed = following.clone()
            changed[1, 2], changed[0, 1] = last, middle
            torch.manual_seed(0)
            return model.training_loss(Batch(items, mask, changed))

        torch.testing.assert_close(loss(0, 4), loss(7, 4))
        assert not torch.isclose(loss(0, 4), loss(0, 20))
