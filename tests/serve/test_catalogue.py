"""Items that come and go while the service runs, and stay so when it starts again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from lite_llm4rec.data.catalogue import Catalogue
from lite_llm4rec.models import CausalConfig
from lite_llm4rec.preset import Preset
from lite_llm4rec.recommender import Recommender
from lite_llm4rec.serve.served import _table
from lite_llm4rec.serve.service import Service
from lite_llm4rec.stage_config import StageConfig
from tests.conftest import untrained
from tests.serve.conftest import Serving

NEW = {"id": "new", "fields": {"title": "Thing i07", "kind": "kind 9"}}


def add(client: TestClient, *items: dict) -> Any:
    return client.post("/items", json={"items": list(items)})


def brought_preset() -> Preset:
    model = CausalConfig(shape={"width": 16, "heads": 2})
    return Preset("brought", model=model, vector=StageConfig(strategy="positions"))


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_a_new_item_ranks_at_once_and_after_a_restart(serving: Serving, expected: Recommender):
    expected.add_items(pa.table({"item_id": ["new"], "title": ["Thing i07"]}))
    history = ["i05", "new"]
    wanted = expected.recommend([history, ["i01"]], k=21)
    with serving() as client:
        assert client.post("/recommend", json={"history": history}).status_code == 422
        answer = add(client, NEW)
        assert (answer.status_code, answer.json()) == (201, {"added": 1, "known": 0, "items": 21})
        assert ids(client.post("/recommend", json={"history": history, "k": 21})) == wanted.ids[0]
    with serving() as client:
        assert ids(client.post("/recommend", json={"history": history, "k": 21})) == wanted.ids[0]
        assert ids(client.post("/recommend", json={"history": ["i01"], "k": 21})) == wanted.ids[1]
        assert client.get("/items/new").json() == {
            "id": "new", "title": "Thing i07", "fields": NEW["fields"], "retired": False,
            "training_interactions": 0,
        }  # fmt: skip
        assert client.get("/info").json()["added"] == 1
        assert client.get("/info").json()["ids"] == "text"
        (first, *_) = client.get("/search", params={"text": "Thing i07"}).json()["items"]
        assert first["id"] == "i07"
        where = {"history": ["i01"], "where": {"kind": "Kind 9"}}
        assert ids(client.post("/recommend", json=where)) == ["new"]
        assert ids(client.get("/similar", params={"item": "new", "k": 1})) == ["i07"]


def test_the_same_again_changes_nothing_and_another_text_is_refused(client: TestClient):
    other = {"id": "other", "fields": {"title": "Thing i08"}}
    assert add(client, NEW).json()["added"] == 1
    assert add(client, NEW, other).json() == {"added": 1, "known": 1, "items": 22}
    refused = add(client, {"id": "new", "fields": {"title": "Thing i09"}})
    assert refused.status_code == 409 and "another text" in refused.json()["detail"]
    assert client.get("/items").json()["total"] == 22


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([NEW, NEW], "occurs twice"),
        ([{"id": "x", "fields": {"titel": "Thing"}}], "did you mean 'title'"),
        ([{"id": "x", "fields": {}}], "no text"),
        ([{"id": "x", "fields": {"title": "   "}}], "no text"),
        ([{**NEW, "vector": [0.5]}], "vectors out"),
        ([NEW, {"id": "x", "fields": {}}], "no text"),
    ],
)
def test_items_that_cannot_be_added_leave_all_as_it_was(client: TestClient, items, words):
    refused = add(client, *items)
    assert refused.status_code == 422
    assert words in refused.json()["detail"] + refused.json()["remedy"]
    assert client.get("/items").json()["total"] == 20
    assert client.get("/items/new").status_code == 404


def test_retired_items_are_gone_until_restored_also_after_a_restart(serving: Serving):
    asked = {"history": ["i05"], "k": 30}
    with serving() as client:
        assert client.post("/items/retire", json={"items": ["i07", "i08"]}).json() == {"retired": 2}
        assert client.post("/items/retire", json={"items": ["i07"]}).json() == {"retired": 2}
        missing = client.post("/items/retire", json={"items": ["i09", "nothing"]})
        assert missing.status_code == 404
        back = client.post("/items/retire", json={"items": ["i08"], "restore": True})
        assert back.json() == {"retired": 1}
    with serving() as client:
        found = ids(client.post("/recommend", json=asked))
        assert "i07" not in found and {"i08", "i09"} <= set(found)
        assert client.get("/items/i07").json()["retired"] is True
        assert client.post("/recommend", json={"history": ["i07"]}).status_code == 200


def test_pages_of_the_catalogue_are_the_catalogue(client: TestClient, expected: Recommender):
    add(client, NEW)
    parts = [
        client.get("/items", params={"limit": 8, "offset": start}).json()
        for start in (0, 8, 16, 24)
    ]
    assert [item["id"] for part in parts for item in part["items"]] == [*expected.ids, "new"]
    assert {part["total"] for part in parts} == {21}


def test_ids_of_numbers_stay_numbers(serving: Serving, text_model: Path, tmp_path: Path):
    from tests.test_recommender import numbered

    run = untrained(numbered(), brought_preset())
    run.brought = True
    with serving(folder=run.save(tmp_path / "numbered")) as client:
        found = client.post("/recommend", json={"history": [103, "104"], "k": 2}).json()
        assert all(isinstance(item["id"], int) for item in found["items"])
        item = {"id": "7", "fields": {}, "vector": [0.0] * 16}
        assert add(client, item).status_code == 422  # nothing is known of items but their ids
        assert "int64" in add(client, {**item, "id": "seven"}).json()["detail"]
        assert add(client, {**item, "id": 2**63 - 1, "vector": None}).status_code == 422


def test_numbers_that_javascript_would_round_go_out_as_text(serving: Serving, tmp_path: Path):
    from tests.test_recommender import numbered

    run = untrained(numbered(), brought_preset())
    ids = run.catalogue.ids.to_pylist()
    run.catalogue = replace(run.catalogue, ids=pa.array([2**53 + 1, *ids[1:]]))
    with serving(folder=run.save(tmp_path / "large")) as client:
        first = client.get("/items", params={"limit": 1}).json()["items"][0]["id"]
        assert first == "9007199254740993"
        assert client.get("/info").json()["ids"] == "number"
        found = client.post("/recommend", json={"history": [first], "k": 2})
        assert found.status_code == 200 and found.json()["note"] == ""


def test_retiring_what_is_retired_is_not_logged_again(client: TestClient):
    service = client.app.state.service  # type: ignore[attr-defined]
    for _ in range(2):
        client.post("/items/retire", json={"items": ["i05", "i05"]})
    assert service.served.applied == 1


def test_runs_on_brought_vectors_take_items_with_theirs(serving: Serving, small_ring, tmp_path):
    run = untrained(small_ring, brought_preset())
    run.brought = True
    folder = run.save(tmp_path / "brought")
    vector = run.vectors[7].tolist()
    new = {"id": "new", "fields": {"title": "Anything"}}
    with serving(folder=folder) as client:
        assert "needs 16" in add(client, new).json()["detail"]
        assert "needs 16" in add(client, {**new, "vector": [1.0]}).json()["detail"]
        for large in (1e39, 3e38):  # beyond a 32-bit number; whose square is
            refused = add(client, {**new, "vector": [large] * 16})
            assert refused.status_code == 422 and "larger numbers" in refused.json()["detail"]
        assert add(client, {**new, "vector": vector}).json()["added"] == 1
    with serving(folder=folder) as client:
        assert ids(client.get("/similar", params={"item": "new", "k": 1})) == ["i07"]
        run.add_items(
            pa.table({"item_id": ["new"], "title": ["Anything"]}),
            vectors=np.array([vector], np.float32),
        )
        found = ids(client.post("/recommend", json={"history": ["new"], "k": 20}))
        assert found == run.recommend([["new"]], k=20).ids[0]


def test_two_processes_on_one_database_see_each_others_changes(serving: Serving, monkeypatch):
    import time

    from lite_llm4rec.serve import service

    monkeypatch.setattr(service, "FOLLOW_SECONDS", 0.05)
    with serving() as one, serving() as other:
        add(one, NEW)
        assert add(other, NEW).json() == {"added": 0, "known": 1, "items": 21}
        one.post("/items/retire", json={"items": ["new"]})
        deadline = time.monotonic() + 5
        while not other.get("/items/new").json()["retired"] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert other.get("/items/new").json()["retired"]


def test_a_change_does_not_wait_for_ever_for_others(serving: Serving):
    with serving(timeout=0.2) as client:
        service: Service = client.app.state.service  # type: ignore[attr-defined]
        assert client.portal is not None
        client.portal.call(service._changing.acquire)
        late = add(client, NEW)
        assert late.status_code == 503 and "has not begun" in late.json()["detail"]
        assert "retry-after" in late.headers
        client.portal.call(service._changing.release)
        assert add(client, NEW).status_code == 201


def test_a_text_field_may_be_called_as_an_id_is():
    texts = {"title": ["Moon"], "item_id": ["A-99"]}
    table, name = _table(Catalogue(pa.array(["n1"]), pa.table(texts)))
    again = Catalogue.from_arrow(table, name, None, "the table")
    assert again.ids.to_pylist() == ["n1"] and again.fields.to_pydict() == texts
