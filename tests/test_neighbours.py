import torch
from torch.nn import functional

from lite_llm4rec.neighbours import nearest_rows, nearest_to


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
