"""The parts that models share."""

import torch

from lite_llm4rec.models.layers import rotate


def test_turned_vectors_keep_their_length_and_know_distances_alone():
    query, key = torch.randn(2, 8)
    turned_query, turned_key = rotate(query.expand(20, 8)), rotate(key.expand(20, 8))
    torch.testing.assert_close(turned_query.norm(dim=1), query.norm().expand(20))
    products = turned_query @ turned_key.T
    for distance in range(-19, 20):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-4)
    assert products[0].std() > 0.01
