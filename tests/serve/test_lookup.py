"""The catalogue as HTTP sees it."""

import numpy as np
import pyarrow as pa

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.serve.lookup import Lookup


def test_titles_are_found_among_the_items_that_have_counts():
    """A search may come between the arrival of an item and that of its count."""
    titles = ["Moon", "Moonbase", "The Moon"]
    lookup = Lookup(Catalogue(pa.array(["a", "b", "c"]), pa.table({"title": titles})))
    assert lookup.titled("moon", np.array([1, 5, 9]), 10) == [1, 0, 2]
    assert lookup.titled("moon", np.array([1, 5]), 10) == [1, 0]
