"""The parts that models share."""

import pytest
import torch

from lite_llm4rec.errors import ConfigError
from lite_llm4rec.models.layers import build_transformer, rotate


def test_turned_vectors_keep_their_length_and_know_distances_alone():
    query, key = torch.randn(2, 8)
    turned_query, turned_key = rotate(query.expand(20, 8)), rotate(key.expand(20, 8))
    torch.testing.assert_close(turned_query.norm(dim=1), query.norm().expand(20))
    products = turned_query @ turned_key.T
    for distance in range(-19, 20):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=1e-4)
    assert products[0].std() > 0.01


@pytest.mark.parametrize("size", ["abc", 64.0, 0, True])
def test_a_size_that_is_no_whole_number_is_refused(size: object):
    with pytest.raises(ConfigError, match=r"model\.shape\.width is [^;]*whole number"):
        build_transformer({"width": size}, 5, 0.0)
