"""Whatever comes in, what goes out is a clear refusal."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel, ValidationError

from lite_llm4rec.serve import middleware
from lite_llm4rec.serve import service as service_file
from lite_llm4rec.serve.asking import all_asked
from lite_llm4rec.serve.schemas import (
    AddItems,
    BatchRequest,
    ExplainRequest,
    RecommendRequest,
    RecordEvents,
    RetireItems,
)
from lite_llm4rec.serve.settings import MAX_BATCH_IDS, MAX_BODY_BYTES, MAX_HISTORY, read_keys
from tests.serve.conftest import Serving

JSON = {"content-type": "application/json"}


def send(client: TestClient, body: str | bytes, path: str = "/recommend") -> Any:
    return client.post(path, content=body, headers=JSON)


@pytest.mark.parametrize(
    "body",
    [
        {"history": ["i05"], "k": -1},
        {"history": ["i05"], "k": 10**30},
        {"history": ["i05"], "k": 1.5},
        {"history": ["i05"], "k": "many"},
        {"history": [10**30]},
        {"history": [-(2**63)]},
        {"history": [1.5]},
        {"history": [True]},
        {"history": [None]},
        {"history": [""]},
        {"history": ["x" * 257]},
        {"history": ["\0"]},
        {"history": ["line\nline"]},
        {"history": [["i05"]]},
        {"history": [{"text": ""}]},
        {"history": [{"text": "x" * 4001}]},
        {"history": [{"text": "x", "more": 1}]},
        {"history": [{"text": f"t{number}"} for number in range(65)]},
        {"history": "i05"},
        {"history": ["i05"], "user": "u"},
        {},
        {"history": ["i05"], "where": {"colour": "red"}},
        {"history": ["i05"], "where": {"kind": 3}},
        {"history": ["i05"], "unknown": "guess"},
        {"history": ["i05"], "hsitory": 1},
        {"user": {"id": 1}},
        [],
        None,
        "text",
    ],
)  # fmt: skip
def test_wrong_requests_are_refused_in_words(asking: TestClient, body: Any):
    refused = send(asking, json.dumps(body))
    assert refused.status_code == 422
    assert set(refused.json()) == {"detail", "remedy", "request_id"}
    assert 0 < len(refused.json()["detail"]) < 2500


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b'{"history": [NaN]}', b'{"history": ["\\ud800"]}',
        b'{"\\ud800": 1}', b"[" * 100_000, b"1" * 5000, b'{"history": [' + b"1" * 5000 + b"]}",
        b'{"history": ["i05"], "k": 1e999}',
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused_too(asking: TestClient, body: bytes):
    assert send(asking, body).status_code in (400, 422)


def test_unicode_is_taken_as_it_is(client: TestClient):
    name = "naïve 漢字 🎬 \u202e\u0000"[:-1]
    added = {"items": [{"id": name, "fields": {"title": name}}]}
    assert client.post("/items", json=added).status_code == 201
    event = {"events": [{"user": name, "item": name}]}
    assert client.post("/events", json=event).json() == {"recorded": 1, "unknown_items": 0}
    assert client.post("/recommend", json={"user": name}).status_code == 200
    assert client.get(f"/users/{name}").json() == {"history": [name]}


def test_a_history_of_a_million_items_is_refused_before_it_is_read(asking: TestClient):
    history = ["i05"] * 1_000_000
    started = time.perf_counter()
    refused = send(asking, json.dumps({"history": history}))
    assert refused.status_code == 413
    assert f"{MAX_BODY_BYTES:,}" in refused.json()["detail"]
    assert time.perf_counter() - started < 2
    shorter = send(asking, json.dumps({"history": history[: MAX_HISTORY + 1]}))
    assert shorter.status_code == 422 and f"{MAX_HISTORY}" in shorter.json()["detail"]
    assert send(asking, json.dumps({"history": history[:MAX_HISTORY]})).status_code == 200


def test_a_body_without_a_length_is_cut_off(asking: TestClient):
    sent = 0

    def parts() -> Any:
        nonlocal sent
        for _ in range(200):
            sent += 1
            yield b" " * 65_536

    refused = asking.post("/recommend", content=parts(), headers=JSON)
    assert refused.status_code == 413
    assert int(refused.headers["content-length"]) > 0


def test_a_body_of_who_has_no_key_is_not_read(serving: Serving):
    key = "a-key-of-enough-length"
    with serving(keys=read_keys(key)) as client:
        for path in ("/recommend", "/health/live", "/nowhere"):
            refused = client.post(path, content=b" " * (MAX_BODY_BYTES + 1), headers=JSON)
            assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
        known = {**JSON, "Authorization": f"bearer {key}"}
        large = client.post("/recommend", content=b" " * (MAX_BODY_BYTES + 1), headers=known)
        assert large.status_code == 413
        assert client.post("/recommend", json={"history": []}, headers=known).status_code == 200


def test_without_keys_other_sites_are_refused(serving: Serving):
    with serving(local_only=True) as client:
        for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
            assert client.get("/info", headers={"Host": host}).status_code == 200
        for host in ("evil.example", "localhost.evil.example:8000", ""):
            refused = client.get("/users/u", headers={"Host": host})
            assert refused.status_code == 403 and "--unprotected" in refused.json()["remedy"]
        crossing = {"Host": "localhost", "Sec-Fetch-Site": "cross-site"}
        assert client.post("/admin/reload", headers=crossing).status_code == 403
        assert client.get("/", headers=crossing).status_code == 200  # a link that is followed
        for origin in ("http://evil.example", "null", "http://localhost.evil.example:8000"):
            foreign = {"Host": "localhost", "Origin": origin}
            assert client.post("/admin/reload", headers=foreign).status_code == 403
        near = {"Host": "localhost:8000", "Origin": "http://[::1]:3000"}
        assert client.post("/admin/reload", headers=near).status_code == 200
        own = {"Host": "localhost", "Sec-Fetch-Site": "same-origin"}
        assert client.post("/admin/reload", headers=own).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch):
    import asyncio

    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.05)

    async def never() -> Any:
        await asyncio.sleep(10)

    with pytest.raises(middleware.TooSlowBody):
        asyncio.run(middleware._read_body({}, never))


def test_lists_that_are_too_long_together_are_refused(asking: TestClient):
    requests = [{"history": ["i05"], "k": 1000}] * 31
    refused = asking.post("/recommend/batch", json={"requests": requests})
    assert refused.status_code == 422 and "31,000 items" in refused.json()["detail"]
    assert asking.post("/recommend/batch", json={"requests": requests[:30]}).status_code == 200


def test_histories_that_are_too_long_together_are_refused(asking: TestClient):
    largest = [{"history": ["i05"] * 10_000}] * (MAX_BATCH_IDS // 10_000)
    assert asking.post("/recommend/batch", json={"requests": largest}).status_code == 200
    refused = asking.post("/recommend/batch", json={"requests": [*largest, {"history": ["i05"]}]})
    assert refused.status_code == 422 and "100,001 items" in refused.json()["detail"]
    filtered = [{"history": ["i05"], "exclude": ["i06"] * 9_999, "only": ["i07"] * 10_000}] * 6
    refused = asking.post("/recommend/batch", json={"requests": filtered})
    assert refused.status_code == 422 and "120,000 items" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (BatchRequest, {"requests": [{"history": [{}] * 10_000}] * 30}),
        (RecommendRequest, {"history": [], "exclude": [{}] * 10_000, "only": [{}] * 10_000}),
        (ExplainRequest, {"item": 1, "history": [{}] * 10_000}),
        (AddItems, {"items": [{}] * 1_000}),
        (AddItems, {"items": [{"id": 1, "fields": {}, "vector": ["x"] * 8_192}]}),
        (RetireItems, {"items": [{}] * 1_000}),
        (RecordEvents, {"events": [{}] * 1_000}),
        (RecommendRequest, {f"more{number}": 0 for number in range(300_000)}),
        (RecommendRequest, {"history": [], "where": dict.fromkeys(map(str, range(300_000)), 0)}),
        (AddItems, {"items": [{"id": 1, "fields": dict.fromkeys(map(str, range(300_000)), 0)}]}),
    ],
)
def test_of_very_many_mistakes_few_are_collected(model: type[BaseModel], body: Any):
    with pytest.raises(ValidationError) as refused:
        model.model_validate(body)
    assert refused.value.error_count() <= 6


def test_what_no_queue_could_hold_is_too_large(serving: Serving):
    with serving(queue=4) as client:
        requests = [{"history": ["i05"]}] * 5
        refused = client.post("/recommend/batch", json={"requests": requests})
        assert refused.status_code == 413 and "--queue" in refused.json()["remedy"]
        fits = client.post("/recommend/batch", json={"requests": requests[:4]})
        assert len(fits.json()["results"]) == 4


def test_too_slow_an_answer_says_when_to_come_back(serving: Serving):
    with serving(timeout=0.2) as client:
        served = client.app.state.service.served  # type: ignore[attr-defined]
        recommend = served.runtime.recommend

        def slow(*args: Any, **options: Any) -> Any:
            time.sleep(0.5)
            return recommend(*args, **options)

        served.runtime.recommend = slow
        refused = client.post("/recommend", json={"history": ["i05"]})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        served.runtime.recommend = recommend
        time.sleep(0.5)
        assert client.post("/recommend", json={"history": ["i05"]}).status_code == 200


def test_a_batch_of_long_histories_holds_up_no_others(serving: Serving, monkeypatch):
    threads = []

    def noted(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return all_asked(*given)

    monkeypatch.setattr(service_file, "all_asked", noted)
    with serving() as client:
        client.portal.call(lambda: threads.append(threading.current_thread()))
        one = {"user": "u1"}
        assert client.post("/recommend", json=one).status_code == 200
        assert client.post("/recommend/batch", json={"requests": [one, one]}).status_code == 200
    loop, alone, together = threads
    assert alone is loop and together is not loop


@pytest.mark.parametrize(("by", "call"), [("text", "near_all"), ("title", "titled_all")])
def test_searches_wait_in_a_queue_and_not_for_ever(
    by: str, call: str, serving: Serving, monkeypatch: pytest.MonkeyPatch
):
    go_on, calls, real = threading.Event(), [], getattr(service_file, call)

    def held(asked: list[Any]) -> list[Any]:
        calls.append(len(asked))
        assert go_on.wait(20)
        return real(asked)  # type: ignore[no-any-return]

    monkeypatch.setattr(service_file, call, held)
    search = {"text": "Thing", "by": by, "k": 3}
    with serving(timeout=1.0, queue=2) as client, ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(client.get, "/search", params=search) for _ in range(4)]
        refused = [one.result() for one in asking]
        assert {one.status_code for one in refused} <= {429, 503}
        assert all("retry-after" in one.headers for one in refused)
        assert len(calls) == 1  # one search at a time
        go_on.set()
        answers = (client.get("/search", params=search) for _ in range(100))
        # Who gave up keeps a place until the call under way has ended.
        answer = next(one for one in answers if one.status_code not in (429, 503))
        assert len(answer.json()["items"]) == 3
        stage = {"text": "search", "title": "titles"}[by]
        assert f'stage="{stage}"' in client.get("/metrics").text


def test_a_fault_of_ours_is_told_without_its_insides(serving: Serving):
    with serving() as client:
        served = client.app.state.service.served  # type: ignore[attr-defined]
        served.runtime.recommend = lambda *args, **options: 1 / 0
        answer = client.post("/recommend", json={"history": ["i05"]})
        assert answer.status_code == 500
        assert "Zero" not in answer.text
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
