import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.interactions import Interactions
from lite_llm4rec.data.split import leave_one_out
from lite_llm4rec.errors import ConfigError, DataError, UnknownItemError
from lite_llm4rec.lists import EMPTY_HISTORY
from lite_llm4rec.recommender import Recommender
from tests.conftest import (
    ring_tables,
    untrained,
)

HISTORIES = [["i03", "i04", "i05"], ["i59"], ["i10", "i11", "i12", "i13", "i14", "i15", "i16"]]


def numbered(n_items: int = 12) -> Dataset:
    """Integer ids 100, 101…; item 100 + i occurs i + 1 times."""
    users = [user for user in range(n_items) for _ in range(n_items - user)]
    items = [100 + item for user in range(n_items) for item in range(user, n_items)]
    log = pa.table({"user_id": users, "item_id": items, "timestamp": items})
    return Dataset.from_tables(log, name="numbered")


@pytest.fixture(scope="module")
def by_number() -> Recommender:
    return untrained(numbered())


def test_it_recommends_what_comes_next_to_users_that_training_never_saw(trained: Recommender):
    found = trained.recommend(HISTORIES, k=3)
    following = ["i06", "i00", "i17"]
    assert all(target in ids for target, ids in zip(following, found.ids, strict=True)), found.ids
    assert found.users is None
    assert found.notes == ["", "", ""]
    assert [title for title in found.titles[0]] == [f"Thing {name}" for name in found.ids[0]]


def test_a_batch_gives_what_single_histories_give(trained: Recommender):
    together = trained.recommend(HISTORIES)
    for place, history in enumerate(HISTORIES):
        alone = trained.recommend([history])
        assert alone.ids[0] == together.ids[place]
        assert alone.scores[0] == pytest.approx(together.scores[place], abs=1e-4)


def test_only_the_last_items_are_read_but_all_are_seen(trained: Recommender):
    assert trained.model.history_length == 5
    long = [f"i{number:02}" for number in range(20, 40)]
    whole, tail = trained.recommend([long], k=60), trained.recommend([long[-5:]], k=60)
    assert set(whole.ids[0]) == {f"i{number:02}" for number in range(60)} - set(long)
    kept = [name for name in tail.ids[0] if name not in long]
    assert whole.ids[0] == kept


def test_scores_are_the_models_and_fall(trained: Recommender):
    found = trained.recommend(HISTORIES, k=60, include_seen=True)
    from lite_llm4rec.data.batching import from_lists

    numbers = [trained.catalogue.numbers(history) for history in HISTORIES]
    expected = trained.model.scores(*from_lists(numbers, 5)).detach().numpy()
    for row, (ids, scores) in enumerate(zip(found.ids, found.scores, strict=True)):
        assert scores == sorted(scores, reverse=True)
        assert scores == pytest.approx(expected[row][trained.catalogue.numbers(ids)], abs=1e-4)
        assert sorted(ids) == trained.ids


def test_a_stream_reads_no_further_than_its_batch(trained: Recommender):
    rng = np.random.default_rng(0)
    histories = [
        [f"i{number:02}" for number in rng.integers(0, 60, rng.integers(1, 9))] for _ in range(3000)
    ]
    read = 0

    def generator() -> Any:
        nonlocal read
        for history in histories:
            read += 1
            yield history

    ids, scores, sizes = [], [], []
    for part in trained.recommend_stream(generator(), k=5, batch=256):
        assert read == min(len(ids) + 256, 3000)
        sizes.append(len(part))
        ids += part.ids
        scores += part.scores
    assert sizes == [256] * 11 + [184]
    whole = trained.recommend(histories, k=5)
    assert ids == whole.ids
    np.testing.assert_allclose(scores, whole.scores, atol=1e-4)


def test_excluded_items_never_come(trained: Recommender):
    first = trained.recommend(HISTORIES, k=10)
    found = trained.recommend(HISTORIES, k=10, exclude=first.ids[0][:3])
    assert not set(first.ids[0][:3]) & {name for ids in found.ids for name in ids}
    assert found.ids[0][:7] == first.ids[0][3:]
    assert all(len(ids) == 10 for ids in found.ids)


def test_candidates_are_all_that_comes(trained: Recommender):
    chosen = ["i20", "i40", "i05", "i06"]
    found = trained.recommend(HISTORIES[:2], k=3, candidates=chosen)
    assert set(found.ids[0]) == {"i20", "i40", "i06"}  # i05 is in the history
    assert len(found.ids[1]) == 3 and set(found.ids[1]) < set(chosen)
    fewer = trained.recommend(HISTORIES[:2], k=10, candidates=chosen)
    assert [len(ids) for ids in fewer.ids] == [3, 4]
    assert [len(scores) for scores in fewer.scores] == [3, 4]
    assert np.isfinite(np.concatenate(fewer.scores)).all()
    assert trained.recommend(HISTORIES[:1], candidates=[]).ids == [[]]
    marks = np.isin(trained.ids, chosen)
    assert trained.recommend(HISTORIES[:2], k=3, candidates=marks).ids == found.ids
    with pytest.raises(ConfigError, match="one each"):
        trained.recommend(HISTORIES[:2], candidates=marks[1:])


def test_seen_items_come_when_asked_for(trained: Recommender):
    history = [["i00", "i01", "i02"]]
    assert set(trained.recommend(history, k=60).ids[0]) == set(trained.ids) - set(history[0])
    assert set(trained.recommend(history, k=60, include_seen=True).ids[0]) == set(trained.ids)


def test_unknown_ids_are_named_or_dropped(trained: Recommender):
    with pytest.raises(UnknownItemError, match=r"does not hold 'nope', 'neither'\."):
        trained.recommend([["i03", "nope"], ["neither"]])
    dropped = trained.recommend([["nope", "i03", "nope", "i04", "i05"]], unknown="drop")
    assert dropped.ids == trained.recommend([["i03", "i04", "i05"]]).ids
    for option in ({"exclude": "i03"}, {"candidates": "i03"}):
        with pytest.raises(DataError, match="a list"):
            trained.recommend(HISTORIES, **option)
    with pytest.raises(UnknownItemError, match="'nope'"):
        trained.recommend(HISTORIES, candidates=["nope"])
    found = trained.recommend(HISTORIES, exclude=["i03", "nope"])
    assert found.ids == trained.recommend(HISTORIES, exclude=["i03"]).ids


def test_an_empty_history_gets_the_most_popular(by_number: Recommender):
    popular = [111, 110, 109]
    found = by_number.recommend([[], [105, 106], [999]], k=3, unknown="drop")
    assert found.ids[0] == found.ids[2] == popular
    assert found.scores[0] == [12.0, 11.0, 10.0]
    assert found.notes == [EMPTY_HISTORY, "", EMPTY_HISTORY]
    assert found.ids[1] == by_number.recommend([[105, 106]], k=3).ids[0]
    narrowed = by_number.recommend([[]], k=3, exclude=[110], candidates=[101, 103, 110])
    assert narrowed.ids == [[103, 101]]
    assert by_number.recommend([], k=3).ids == []


def test_ids_keep_their_type(by_number: Recommender, trained: Recommender):
    as_numbers = by_number.recommend([[101, 105]])
    assert all(type(name) is int for name in as_numbers.ids[0])
    assert by_number.recommend([["101", "105"]]) == as_numbers
    assert by_number.recommend([np.array([101, 105])]) == as_numbers
    assert by_number.recommend([[101, "105"]]) == as_numbers
    assert by_number.similar_items(["101"]).ids == by_number.similar_items([101]).ids
    assert all(type(name) is str for name in trained.recommend(HISTORIES).ids[0])


@given(
    st.lists(st.lists(st.integers(95, 116), max_size=15), min_size=1, max_size=5),
    st.integers(1, 15),
    st.sets(st.integers(100, 111)),
    st.none() | st.sets(st.integers(100, 111)),
)
@settings(max_examples=60, deadline=None)
def test_nothing_comes_that_must_not(by_number, histories, k, exclude, candidates):
    found = by_number.recommend(
        histories,
        k,
        exclude=sorted(exclude),
        candidates=None if candidates is None else sorted(candidates),
        unknown="drop",
    )
    known = set(range(100, 112))
    for history, ids, titles, scores in zip(
        histories, found.ids, found.titles, found.scores, strict=True
    ):
        left = (known if candidates is None else candidates) - exclude - set(history)
        assert set(ids) <= left
        assert len(ids) == len(set(ids)) == min(k, len(left))
        assert titles == [str(name) for name in ids]
        assert len(scores) == len(ids) and scores == sorted(scores, reverse=True)
        assert np.isfinite(scores).all()


def test_a_table_gives_one_list_per_user(trained: Recommender, tmp_path: Path):
    log = pa.table(
        {
            "user_id": ["b", "a", "b", "b"],
            "item_id": ["i04", "i59", "i03", "i05"],
            "timestamp": [20, 5, 10, 30],
        }
    )
    pyarrow.parquet.write_table(log, tmp_path / "log.parquet")
    log.to_pandas().to_csv(tmp_path / "log.csv", index=False)
    expected = trained.recommend(HISTORIES[:2])
    for given_table in (
        log,
        log.to_pandas(),
        tmp_path / "log.parquet",
        str(tmp_path / "log.csv"),
    ):
        found = trained.recommend(given_table)
        assert found.users == ["b", "a"]
        assert found.ids == expected.ids
    parts = list(trained.recommend_stream(log, batch=1))
    assert [part.users for part in parts] == [["b"], ["a"]]
    nameless = list(trained.recommend_stream([["i01"], ["i02"], ["i03"]], k=1, batch=2))
    assert [part.to_table()["user"].to_pylist() for part in nameless] == [[0, 1], [2]]
    assert str(nameless[1]).startswith("history 3:")


def test_similar_items_leave_the_item_out(trained: Recommender):
    for by in ("text", "behaviour"):
        found = trained.similar_items(trained.ids, k=60, by=by)  # type: ignore[arg-type]
        assert found.users == trained.ids
        for name, ids in zip(trained.ids, found.ids, strict=True):
            assert name not in ids
            assert len(ids) == 59


def test_similar_by_text_is_the_cosine_of_the_text(trained: Recommender):
    found = trained.similar_items(["i07"], k=4)
    vectors = trained.vectors / np.linalg.norm(trained.vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors[7]
    best = [place for place in np.argsort(-cosines) if place != 7][:4]
    assert found.ids[0] == [trained.ids[place] for place in best]
    np.testing.assert_allclose(found.scores[0], cosines[best], atol=1e-5)
    assert found.notes == [""]


def test_a_title_finds_its_item(trained: Recommender):
    assert trained.find("thing I07") == "i07"
    with pytest.raises(UnknownItemError, match="No title contains 'nothing'"):
        trained.find("nothing")


@pytest.mark.parametrize("k", [0, -1])
def test_settings_that_cannot_work_are_refused(trained: Recommender, k: int):
    with pytest.raises(ConfigError, match="k must be at least 1"):
        trained.recommend(HISTORIES, k)
    with pytest.raises(ConfigError, match="k must be at least 1"):
        trained.similar_items(["i00"], k)
    with pytest.raises(ConfigError, match="did you mean 'behaviour'"):
        trained.similar_items(["i00"], by="behavior")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="did you mean 'drop'"):
        trained.recommend(HISTORIES, unknown="dropp")  # type: ignore[arg-type]


@pytest.mark.parametrize("flat", [["i03", "i04"], [3, 4]])
def test_one_flat_list_is_refused(trained: Recommender, flat: list[Any]):
    with pytest.raises(DataError, match=r"should be a list of item ids[\s\S]*write \[\[…\]\]"):
        trained.recommend(flat)


def test_evaluation_is_kept_once_per_protocol(small_ring: Dataset):
    recommender = untrained(small_ring)
    first = recommender.evaluate(small_ring)
    again = recommender.evaluate(small_ring)
    assert recommender.evaluations == [again]
    assert first.metrics == again.metrics
    valid = recommender.evaluate(small_ring, part="valid")
    unfiltered = recommender.evaluate(small_ring, seen_filter=False)
    assert recommender.evaluations == [again, valid, unfiltered]


def test_evaluation_of_data_in_another_numbering(small_ring: Dataset):
    """The same log without the items table, its items' names in another order or type."""
    recommender = untrained(small_ring)
    expected = recommender.evaluate(small_ring)
    log, items = ring_tables(40, 20, 6, seed=0)
    backwards = Dataset.from_tables(log, items.take(pa.array(range(19, -1, -1))), name="small-ring")
    found = recommender.evaluate(backwards)
    assert found.metrics == expected.metrics
    assert found.protocol == expected.protocol
    numbers = untrained(numbered())
    as_text = numbered().interactions
    table = pa.table(
        {
            "user_id": as_text.user_ids.take(pa.array(as_text.users)),
            "item_id": as_text.item_ids.take(pa.array(as_text.items)).cast(pa.string()),
            "timestamp": as_text.times,
        }
    )
    again = numbers.evaluate(Dataset.from_tables(table, name="numbered"))
    assert again.metrics == numbers.evaluate(numbered()).metrics


def test_evaluation_among_more_than_the_datas_items_says_so(small_ring: Dataset):
    log, items = ring_tables(40, 20, 6, seed=0)
    wider = pa.concat_tables([items, pa.table({"item_id": ["new"], "title": ["A new thing"]})])
    recommender = untrained(Dataset.from_tables(log, wider, candidates="catalogue"))
    protocol = recommender.evaluate(small_ring).protocol
    assert (protocol.candidates, protocol.n_candidates) == ("catalogue", 21)


def test_evaluation_of_other_items_is_refused(small_ring: Dataset, ring: Dataset):
    with pytest.raises(DataError, match="40 of the data set's 60 items are not in this model's"):
        untrained(small_ring).evaluate(ring)


def test_popularity_counts_training_alone(trained: Recommender, ring: Dataset):
    assert (trained.counts == leave_one_out(ring.interactions).train_counts()).all()
    assert trained.counts.sum() == 200 * 6


def test_pandas_frames_are_tables_not_histories(trained: Recommender):
    frame = pd.DataFrame({"user_id": [1], "item_id": ["i00"], "timestamp": [0]})
    assert trained.recommend(frame, k=1).users == [1]


def test_what_only_training_needs_is_not_imported_to_recommend():
    script = "import lite_llm4rec.recommender, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    imported = set(done.stdout.split())
    assert "torch" in imported
    assert not imported & {"lightning", "transformers.modeling_utils"}


def test_a_split_of_the_data_is_measured_whatever_their_numbering(
    ring: Dataset, trained: Recommender
):
    rows = np.arange(len(ring.catalogue))[::-1].copy()
    backwards = Dataset.align("ring", ring.interactions, ring.catalogue.take(rows), "interacted")
    assert backwards.catalogue.ids != ring.catalogue.ids
    split = leave_one_out(backwards.interactions)
    found = trained.evaluate(backwards, split).metrics["recall@10"]
    assert found == trained.evaluate(ring).metrics["recall@10"] > 0.5


@pytest.mark.parametrize("what", ["retire_items", "similar_items"])
def test_one_id_is_no_list_of_ids(trained: Recommender, what: str):
    with pytest.raises(DataError, match=r"Ids should be a list[\s\S]*\['i01'\]"):
        getattr(trained, what)("i01")


def test_a_device_that_is_not_there_is_told(trained: Recommender):
    assert trained.recommend(HISTORIES, 3, device="auto").ids
    with pytest.raises(ConfigError, match="No device 'gpu'"):
        trained.recommend(HISTORIES, 3, device="gpu")


def test_histories_may_be_interactions_read_before(trained: Recommender):
    log = pa.table({"who": [1, 1], "what": ["i03", "i04"], "when": [1, 2]})
    read = Interactions.from_table(log, user="who", item="what", time="when")
    assert trained.recommend(read, 3).ids == trained.recommend([["i03", "i04"]], 3).ids
