import pytest
import torch

from lite_llm4rec.data.attributes import Attributes
from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.attribute_table import AttributeTable
from tests.models.attributes import made_up


@pytest.fixture
def table() -> AttributeTable:
    return AttributeTable.of(made_up([[0, 2], [], [1]]).attributes, 4, "FDSA")


def test_entries_follow_the_items_asked_for(table: AttributeTable):
    rows, numbers = table.entries(torch.tensor([2, 1, 0, 0]))
    assert rows.tolist() == [0, 2, 2, 3, 3]
    assert numbers.tolist() == [1, 0, 2, 0, 2]
    assert table.entries(torch.tensor([1]))[0].tolist() == []


def test_multi_hot(table: AttributeTable):
    marks = table.multi_hot(torch.tensor([1, 0, 2]))
    assert marks.tolist() == [[0, 0, 0], [1, 0, 1], [0, 1, 0]]


def test_what_items_have_is_saved_with_the_weights(table: AttributeTable):
    again = AttributeTable(3, *table.describe(), 4)
    again.load_state_dict(table.state_dict())
    assert torch.equal(again.multi_hot(torch.arange(3)), table.multi_hot(torch.arange(3)))


@pytest.mark.parametrize("attributes", [None, Attributes(torch.zeros(4).numpy(), [], [])])
def test_without_attributes_the_remedy_is_said(attributes: Attributes | None):
    with pytest.raises(ConfigError, match=r"FDSA learns from[\s\S]*genres[\s\S]*sasrec"):
        AttributeTable.of(attributes, 4, "FDSA")
