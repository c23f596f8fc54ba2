"""The item matrix is made once, and again after any change of a weight."""

import pytest
import torch

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.kept_matrix import KeptMatrix
from lite_llm4rec.models import CausalConfig, CausalLLM4Rec
from lite_llm4rec.models.base import SequenceModel
from tests.conftest import drawn_vectors, tiny_preset, untrained

SHAPE = {"width": 16, "blocks": 1, "heads": 2}


@pytest.fixture
def model(ring: Dataset) -> SequenceModel:
    found = untrained(ring, tiny_preset(model=CausalConfig(shape=SHAPE)))
    assert isinstance(found.model, SequenceModel)
    return found.model


def test_it_is_made_once(model: SequenceModel):
    kept = KeptMatrix()
    assert kept.of(model) is kept.of(model)
    assert torch.equal(kept.of(model), model.item_matrix())
    assert not kept.of(model).requires_grad


@pytest.mark.parametrize("change", ["a step", "added items", "an offset", "another dtype"])
def test_it_follows_a_change(model: SequenceModel, change: str):
    kept = KeptMatrix()
    before = kept.of(model)
    if change == "a step":
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        model.item_matrix().square().sum().backward()
        optimizer.step()
    elif change == "added items":
        model.add_items(torch.from_numpy(drawn_vectors(2)))
    elif change == "an offset":
        model.add_items(torch.from_numpy(drawn_vectors(2)))
        before = kept.of(model)
        model.set_cold_offset(1.0)
    else:
        model.double()
    after = kept.of(model)
    assert after.shape != before.shape or after.dtype != before.dtype or (after != before).any()
    assert torch.equal(after, model.item_matrix())


def test_added_items_are_kept_with_it(model: SequenceModel, monkeypatch: pytest.MonkeyPatch):
    assert isinstance(model, CausalLLM4Rec)
    kept = KeptMatrix()
    kept.of(model)
    kept.add_items(model, torch.from_numpy(drawn_vectors(2)))
    kept.add_items(model, torch.from_numpy(drawn_vectors(1)))
    whole = model.item_matrix()
    monkeypatch.setattr(model, "item_matrix", lambda: pytest.fail("it was made anew"))
    torch.testing.assert_close(kept.of(model), whole, check_dtype=True)


def test_items_that_come_before_it_is_kept(model: SequenceModel):
    assert isinstance(model, CausalLLM4Rec)
    kept = KeptMatrix()
    kept.of(model)
    model.set_cold_offset(1.0)
    kept.add_items(model, torch.from_numpy(drawn_vectors(2)))
    assert torch.equal(kept.of(model), model.item_matrix())


def test_a_model_made_in_inference_mode(ring: Dataset):
    with torch.inference_mode():
        found = untrained(ring, tiny_preset(model=CausalConfig(shape=SHAPE)))
        assert KeptMatrix().of(found.model).shape[0] == len(ring.catalogue)
