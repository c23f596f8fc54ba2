"""The catalogue as HTTP sees it."""

import threading

import numpy as np
import pyarrow as pa
import pytest

from lite_llm4rec.data.catalogue import CHUNKS, Catalogue
from lite_llm4rec.serve import lookup as lookup_file
from lite_llm4rec.serve.lookup import Lookup


def test_titles_are_found_among_the_items_that_have_counts():
    """A search may come between the arrival of an item and that of its count."""
    titles = ["Moon", "Moonbase", "The Moon"]
    lookup = Lookup(Catalogue(pa.array(["a", "b", "c"]), pa.table({"title": titles})))
    assert lookup.titled("moon", np.array([1, 5, 9]), 10) == [1, 0, 2]
    assert lookup.titled("moon", np.array([1, 5]), 10) == [1, 0]


def catalogue(*kinds: str) -> Catalogue:
    ids = [f"{kind}{place}" for place, kind in enumerate(kinds)]
    return Catalogue(pa.array(ids), pa.table({"title": ids, "kind": list(kinds)}))


def test_what_is_known_and_what_comes_does_not_wait_for_a_field_being_learnt(
    monkeypatch: pytest.MonkeyPatch,
):
    lookup = Lookup(catalogue("A", "B", "A"))
    assert lookup.with_value("kind", "a") == [0, 2]
    reached, go_on, index = threading.Event(), threading.Event(), lookup_file._index

    def held(*given: object) -> None:
        index(*given)  # type: ignore[arg-type]
        reached.set()
        assert go_on.wait(20)

    with monkeypatch.context() as patch:
        patch.setattr(lookup_file, "_index", held)
        learning = threading.Thread(target=lookup.learn, args=("title",))
        learning.start()
        assert reached.wait(20)
    others = [
        threading.Thread(target=lookup.extend, args=(catalogue("X", "A"),), daemon=True),
        threading.Thread(target=lookup.with_value, args=("kind", "a"), daemon=True),
    ]
    for other in others:
        other.start()
        other.join(10)
    waited = [other.is_alive() for other in others]
    go_on.set()
    learning.join()
    assert waited == [False, False]
    assert lookup.with_value("kind", "a") == [0, 2, 4]
    assert lookup.with_value("title", "A1") == [4]  # which came while titles were learnt


def test_many_that_come_one_by_one_are_kept_together():
    lookup = Lookup(catalogue("A"))
    for place in range(CHUNKS + 5):
        lookup.extend(
            Catalogue(
                pa.array([f"n{place}"]), pa.table({"title": [f"Moon {place}"], "kind": ["B"]})
            )
        )
    assert lookup._plain.num_chunks < 10
    assert len(lookup.titled("moon", np.zeros(len(lookup)), 1000)) == CHUNKS + 5
    assert lookup.fields(3)["title"] == "Moon 2"
