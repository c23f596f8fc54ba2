from dataclasses import replace

import pyarrow as pa
import torch
from torch.nn import functional

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.neighbours import NO_TEXT, nearest_rows, nearest_to
from tests.conftest import ring_tables, tiny_preset, untrained


def test_cosines_of_vectors_of_any_length() -> None:
    vectors = torch.randn(50, 8) * torch.rand(50, 1) * 10
    rows, allowed = torch.tensor([3, 7]), torch.ones(50, dtype=torch.bool)
    allowed[5] = False
    found, cosines = nearest_rows(vectors, rows, 60, allowed)
    normal = functional.normalize(vectors, dim=1)
    for row, items, values in zip(rows.tolist(), found.tolist(), cosines.tolist(), strict=True):
        expected = (normal[row] @ normal.T).tolist()
        assert items[48:] == [-1, -1]  # neither itself nor what is not allowed
        assert sorted(items[:48]) == [item for item in range(50) if item not in (row, 5)]
        assert torch.allclose(
            torch.tensor([expected[i] for i in items[:48]]), torch.tensor(values[:48]), atol=1e-5
        )
        assert values[:48] == sorted(values[:48], reverse=True)


def test_of_vectors_that_are_no_rows_too() -> None:
    vectors, asked = torch.randn(50, 8) * torch.rand(50, 1) * 10, torch.randn(3, 8)
    found, cosines = nearest_to(vectors, asked, 4)
    expected = functional.cosine_similarity(asked[:, None], vectors[None], dim=2).topk(4)
    assert found.tolist() == expected.indices.tolist()
    assert torch.allclose(cosines, expected.values, atol=1e-5)


def test_a_vector_of_nothing_is_near_to_nothing() -> None:
    vectors = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    found, cosines = nearest_rows(vectors, torch.tensor([1, 0]), 2, torch.ones(3, dtype=torch.bool))
    assert found[0].tolist() == [2, 0] and cosines[0, 1] == 0
    assert cosines[1].tolist() == [0, 0]


def test_an_item_without_text_is_near_to_nothing_by_text() -> None:
    log, items = ring_tables(40, 20, 6, seed=0)
    titles = items["title"].to_pylist()
    titles[3] = " "
    dataset = Dataset.from_tables(log, items.set_column(1, "title", pa.array(titles)), name="ring")
    run = untrained(dataset, tiny_preset())
    by_text = run.similar_items(["i05", "i03"], k=30)
    assert sorted(by_text.ids[0]) == [f"i{item:02}" for item in range(20) if item not in (3, 5)]
    assert (by_text.ids[1], by_text.notes) == ([], ["", NO_TEXT])
    by_behaviour = run.similar_items(["i05", "i03"], k=30, by="behaviour")
    assert "i03" in by_behaviour.ids[0] and len(by_behaviour.ids[1]) == 19
    brought = replace(run, brought=True)  # its vectors need no text
    assert "i03" in brought.similar_items(["i05"], k=30).ids[0]
