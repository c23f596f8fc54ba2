"""What the service answers is what `Recommender` answers."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient

from lite_llm4rec import recommender
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.item_vectors import text_vectors
from lite_llm4rec.lists import EMPTY_HISTORY
from lite_llm4rec.models import GenerativeConfig
from lite_llm4rec.neighbours import NO_TEXT
from lite_llm4rec.recommender import Recommender
from tests.conftest import ring_with_kinds, tiny_preset, untrained
from tests.serve.conftest import Serving

HISTORY = ["i03", "i04", "i05"]


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_a_history_gets_the_models_list(asking: TestClient, expected: Recommender):
    found = asking.post("/recommend", json={"history": HISTORY, "k": 7}).json()
    wanted = expected.recommend([HISTORY], k=7)
    assert [item["id"] for item in found["items"]] == wanted.ids[0]
    assert [item["title"] for item in found["items"]] == wanted.titles[0]
    scores = [item["score"] for item in found["items"]]
    assert scores == pytest.approx(wanted.scores[0], abs=1e-4)
    assert found["note"] == ""
    assert asking.post("/recommend", json={"history": []}).json()["note"] == EMPTY_HISTORY


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({"exclude": ["i06", "i07", "nothing"]}, {"exclude": ["i06", "i07"]}),
        ({"only": ["i09", "i10", "i04"]}, {"candidates": ["i09", "i10", "i04"]}),
        ({"only": []}, {"candidates": []}),
        ({"include_seen": True}, {"include_seen": True}),
        ({"where": {"kind": "KIND 2"}}, {"candidates": ["i02", "i07", "i12", "i17"]}),
        ({"where": {"kind": "kind 2"}, "only": ["i07", "i08"]}, {"candidates": ["i07"]}),
        ({"where": {"kind": "none such"}}, {"candidates": []}),
    ],
)
def test_filters_mean_what_the_librarys_do(
    asking: TestClient, expected: Recommender, asked: dict, meant: dict
):
    found = ids(asking.post("/recommend", json={"history": HISTORY, "k": 5, **asked}))
    assert found == expected.recommend([HISTORY], k=5, **meant).ids[0]


def test_an_export_is_served_as_its_model_is(
    serving: Serving, exported_folder: Path, tmp_path: Path
):
    folder = Path(shutil.copytree(exported_folder, tmp_path / "export"))
    with serving(folder=folder) as client:
        found = ids(client.post("/recommend", json={"history": HISTORY, "k": 5}))
        assert found == Recommender.load(folder).recommend([HISTORY], k=5).ids[0]
        assert client.get("/info").json()["takes_items"]


def test_a_run_with_an_index_is_served_by_it(
    serving: Serving, run_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recommender, "EXACT_BELOW", 1)
    run = Recommender.load(run_folder)
    run.build_index(ring_with_kinds(60, 20, 6), recall=1.0)
    run.save(run_folder)
    with serving() as client:
        assert client.app.state.service.served.runtime.index is not None  # type: ignore[attr-defined]
        found = ids(client.post("/recommend", json={"history": HISTORY, "k": 5}))
        assert found == run.recommend([HISTORY], k=5).ids[0]
        item = {"id": "i20", "fields": {"title": "Thing i20"}}
        assert client.post("/items", json={"items": [item]}).status_code == 201
        whole = ids(client.post("/recommend", json={"history": HISTORY, "k": 21}))
        assert "i20" in whole


def test_of_a_batch_the_wrong_request_is_named(asking: TestClient):
    requests = [{"history": ["i03"]}, {"history": ["i03"]}, {"history": ["nobody's"]}]
    refused = asking.post("/recommend/batch", json={"requests": requests})
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("requests.2: The catalogue does not hold")
    requests = [{"history": ["i03"]}, {"history": ["i03"], "where": {"colour": "red"}}]
    detail = asking.post("/recommend/batch", json={"requests": requests}).json()["detail"]
    assert detail == "requests.1: Items have no field 'colour'."
    both = {"requests": [{"history": ["i03"]}, {"history": [], "user": "u1"}]}
    detail = asking.post("/recommend/batch", json=both).json()["detail"]
    assert detail == "body.requests.1: give a history or a user, one of the two"


def test_a_wrong_method_is_told(asking: TestClient):
    refused = asking.get("/recommend")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert asking.post("/").status_code == 405
    for path, kind in (("/", "html"), ("/page.js", "javascript"), ("/page.css", "css")):
        assert kind in asking.get(path).headers["content-type"]
    for path in ("/nothing", "/recommend/"):
        assert asking.get(path, follow_redirects=False).status_code == 404


def test_requests_in_a_batch_each_keep_their_own_wishes(asking: TestClient):
    requests = [
        {"history": HISTORY, "k": 3},
        {"history": ["i09"], "k": 12, "exclude": ["i10"]},
        {"history": HISTORY, "k": 5, "where": {"kind": "kind 1"}},
        {"history": ["i01"], "include_seen": True},
        {"history": HISTORY, "k": 4, "exclude": ["i06"]},
    ]
    together = asking.post("/recommend/batch", json={"requests": requests}).json()["results"]
    for request, found in zip(requests, together, strict=True):
        alone = asking.post("/recommend", json=request).json()
        assert [item["id"] for item in found["items"]] == [item["id"] for item in alone["items"]]
        assert found["note"] == alone["note"]


def test_many_at_once_are_answered_as_one_by_one(serving: Serving, expected: Recommender):
    histories = [[f"i{(start + step) % 20:02}" for step in range(3)] for start in range(20)]
    wanted = expected.recommend(histories, k=6).ids
    with serving(wait=0.02) as client, ThreadPoolExecutor(16) as pool:
        answers = pool.map(
            lambda history: ids(client.post("/recommend", json={"history": history, "k": 6})),
            histories * 3,
        )
        assert list(answers) == wanted * 3
        calls = _metric(client, 'batch_size_count{stage="recommend"}')
        assert _metric(client, 'batch_size_sum{stage="recommend"}') == 60
        assert calls < 40  # they did share calls


def test_a_text_is_read_as_the_item_that_it_describes(
    client: TestClient, expected: Recommender, text_model
):
    asked = {"history": ["i03", {"text": "Thing i04"}, {"text": "Thing i17"}], "k": 18}
    found = client.post("/recommend", json=asked)
    assert not {"Thing i04"} - {item["title"] for item in found.json()["items"]}
    vectors = text_vectors(["Thing i04", "Thing i17"], expected.preset.text, None, "cpu", False)
    meant = {"a": vectors[0], "b": vectors[1]}
    assert ids(found) == expected.recommend([["i03", "a", "b"]], k=18, unlisted=meant).ids[0]
    client.post("/recommend", json=asked)
    assert _metric(client, 'text_cache_total{result="hit"}') == 2
    assert _metric(client, 'text_cache_total{result="miss"}') == 2


def test_unknown_ids_are_named_or_dropped(asking: TestClient, expected: Recommender):
    asked = {"history": ["i03", "nothing", 12], "only": ["i09", "nope"], "k": 3}
    refused = asking.post("/recommend", json=asked)
    assert refused.status_code == 422
    assert "'nothing', 12" in refused.json()["detail"] and refused.json()["remedy"]
    found = ids(asking.post("/recommend", json={**asked, "unknown": "drop"}))
    assert found == expected.recommend([["i03"]], candidates=["i09"], k=3).ids[0] == ["i09"]


@pytest.mark.parametrize("by", ["text", "behaviour"])
def test_similar_items(asking: TestClient, expected: Recommender, by: Any):
    found = ids(asking.get("/similar", params={"item": "i05", "k": 4, "by": by}))
    assert found == expected.similar_items(["i05"], k=4, by=by).ids[0]
    missing = asking.get("/similar", params={"item": "nothing"})
    assert missing.status_code == 404 and "nothing" in missing.json()["detail"]


def test_search_finds_titles_first_and_then_what_is_near(asking: TestClient):
    found = asking.get("/search", params={"text": "thing I07", "k": 3}).json()["items"]
    assert [item["by"] for item in found] == ["title", "text", "text"]
    assert found[0] == {
        "id": "i07", "title": "Thing i07", "by": "title", "score": None, "retired": False,
    }  # fmt: skip
    by_text = asking.get("/search", params={"text": "Thing i07", "k": 3, "by": "text"}).json()
    assert by_text["items"][0]["id"] == "i07"
    assert by_text["items"][0]["score"] == pytest.approx(1.0, abs=1e-5)
    parts = asking.get("/search", params={"text": "i1", "by": "title", "k": 20}).json()["items"]
    assert sorted(item["id"] for item in parts) == [f"i{number}" for number in range(10, 20)]


def test_an_item_without_text_is_not_found_by_it(serving: Serving, expected: Recommender, tmp_path):
    known = expected.catalogue
    fields = {name: known.fields[name].to_pylist() for name in known.fields.column_names}
    for texts in fields.values():
        texts[7] = None
    fewer = replace(known, fields=pa.table(fields))
    folder = replace(expected, catalogue=fewer).save(tmp_path / "fewer")
    with serving(folder=folder) as client:
        found = client.get("/search", params={"text": "Thing i07", "k": 20, "by": "text"}).json()
        near = client.get("/similar", params={"item": "i07"}).json()
    assert sorted(one["id"] for one in found["items"]) == [f"i{n:02}" for n in range(20) if n != 7]
    assert near == {"items": [], "note": NO_TEXT}


def test_a_run_that_reads_no_text_says_so(serving: Serving, trained: Recommender, tmp_path):
    folder = trained.save(tmp_path / "brought")
    with serving(folder=folder) as client:
        assert client.get("/info").json()["searches_text"] is False
        refused = client.post("/recommend", json={"history": [{"text": "Thing i04"}]})
        assert refused.status_code == 422 and "texts" in refused.json()["detail"]
        assert client.get("/search", params={"text": "i07"}).json()["items"][0]["id"] == "i07"
        added = client.post("/items", json={"items": [{"id": "x", "fields": {"title": "y"}}]})
        assert added.status_code == 422 and "cannot score" in added.json()["detail"]


def _metric(client: TestClient, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(
        next(line for line in lines if line.startswith(f"lite_llm4rec_{name} ")).split()[-1]
    )


def test_an_explanation_is_the_scores_fall(client: TestClient, expected: Recommender):
    found = client.post("/explain", json={"history": HISTORY, "item": "i10"}).json()

    def score(history: list[str]) -> float:
        return expected.recommend([history], k=1, candidates=["i10"]).scores[0][0]

    whole = score(HISTORY)
    assert found["score"] == pytest.approx(whole, abs=1e-4)
    falls = [whole - score([one for one in HISTORY if one != left]) for left in HISTORY]
    assert [part["effect"] for part in found["parts"]] == pytest.approx(falls, abs=1e-4)
    places = [expected.catalogue.ids.to_pylist().index(one) for one in (*HISTORY, "i10")]
    *rows, own = expected.vectors[places]
    near = [float(row @ own / np.linalg.norm(row) / np.linalg.norm(own)) for row in rows]
    assert [part["text"] for part in found["parts"]] == pytest.approx(near, abs=1e-5)
    assert [part["title"] for part in found["parts"]] == [f"Thing {one}" for one in HISTORY]


def test_explanations_at_their_edges(client: TestClient):
    def ask(history: list, item: str = "i10") -> Any:
        return client.post("/explain", json={"history": history, "item": item})

    (alone,) = ask(["i03"]).json()["parts"]
    assert alone["effect"] is None and alone["text"] is not None
    (_, own) = ask(["i03", {"text": "Thing i99"}]).json()["parts"]
    assert own["title"] == "Thing i99" and own["effect"] is not None
    assert len(ask(["i01", "i02"] * 100).json()["parts"]) == 32
    assert [part["title"] for part in ask(["i10", "i03"]).json()["parts"]] == [
        "Thing i10",
        "Thing i03",
    ]
    assert ask([]).status_code == 422
    assert ask(["i03"], "nothing").status_code == 404
    client.post("/items/retire", json={"items": ["i10"]})
    retired = ask(["i03"])
    assert retired.status_code == 422 and "retired" in retired.json()["detail"]


def test_a_model_that_writes_ids_scores_those_of_its_list_alone(
    serving: Serving, small_ring: Dataset, tmp_path: Path
):
    shape = {"d_model": 32, "d_kv": 8, "num_heads": 4, "d_ff": 64, "num_layers": 1}
    config = GenerativeConfig(backbone="t5", from_scratch=True, shape=shape, beams=2)
    folder = untrained(small_ring, tiny_preset(model=config)).save(tmp_path / "writes")
    with serving(folder=folder) as client:
        assert client.get("/info").json()["scores_items"] is False
        asked = {"history": HISTORY, "k": 15, "exclude": [f"i{place:02}" for place in range(15)]}
        lists = client.post("/recommend", json=asked).json()
        assert len(lists["items"]) <= 2  # as many as it has beams, whatever is asked
        answers = [
            client.post("/explain", json={"history": HISTORY, "item": f"i{place:02}"})
            for place in range(10)
        ]
    refused = [answer.json()["detail"] for answer in answers if answer.status_code == 422]
    assert len(refused) >= 8 and "of its list alone" in refused[0]
