"""A new run folder is taken up while requests come; what was added at run time is accounted for."""

import asyncio
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from lite_llm4rec.recommender import Recommender
from lite_llm4rec.serve import changes
from lite_llm4rec.serve import service as service_file
from lite_llm4rec.serve.app import _reload_at
from lite_llm4rec.serve.changes import Change
from lite_llm4rec.serve.metrics import Metrics
from lite_llm4rec.serve.served import Served
from lite_llm4rec.serve.service import Service
from tests.conftest import untrained
from tests.serve.conftest import Serving, served_run


def add(client: TestClient, *names: str) -> None:
    items = [{"id": name, "fields": {"title": f"Thing {name}"}} for name in names]
    assert client.post("/items", json={"items": items}).status_code == 201


def first_ids(client: TestClient) -> list[Any]:
    found = client.post("/recommend", json={"history": ["i05", "i06"], "k": 8}).json()
    return [item["id"] for item in found["items"]]


def test_no_request_fails_while_the_run_is_changed_again_and_again(
    serving: Serving, run_folder: Path, text_model: Path
):
    other = served_run(text_model, seed=1)
    wanted = {
        tuple(run.recommend([["i05", "i06"]], k=8).ids[0])
        for run in (Recommender.load(run_folder), other)
    }
    assert len(wanted) == 2
    seen: set[tuple[Any, ...]] = set()
    failures: list[Any] = []
    stop = threading.Event()

    def ask(client: TestClient) -> None:
        while not stop.is_set():
            answer = client.post("/recommend", json={"history": ["i05", "i06"], "k": 8})
            if answer.status_code != 200:
                failures.append(answer.text)
                return
            seen.add(tuple(item["id"] for item in answer.json()["items"]))

    with serving() as client:
        threads = [threading.Thread(target=ask, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for seed in (1, 0, 1):
            served_run(text_model, seed=seed).save(run_folder)
            assert client.post("/admin/reload").status_code == 200
        assert tuple(first_ids(client)) == tuple(other.recommend([["i05", "i06"]], k=8).ids[0])
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert seen == wanted


def test_added_items_survive_or_are_told_of(
    serving: Serving, run_folder: Path, text_model: Path, small_ring
):
    with serving() as client:
        add(client, "i20", "i21", "new")
        client.post("/items/retire", json={"items": ["new", "i03"]})
        told = client.post("/admin/reload").json()
        assert told == {"run": "run", "items": 23, "added": 3, "in_run": 0, "refused": {}}
        served_run(text_model, items=22).save(run_folder)
        told = client.post("/admin/reload").json()
        assert told == {"run": "run", "items": 23, "added": 1, "in_run": 2, "refused": {}}
        assert client.get("/items/new").json()["retired"]
        assert client.get("/items/i03").json()["retired"]
        untrained(small_ring).save(run_folder)  # the paper's model, which takes no items
        told = client.post("/admin/reload").json()
        assert told["items"] == 20 and told["added"] == 0
        assert set(told["refused"]) == {"i20", "i21", "new"}
        served_run(text_model).save(run_folder)
        assert client.post("/admin/reload").json()["added"] == 3


def test_an_item_whose_id_the_new_run_cannot_have_is_told_of(
    serving: Serving, run_folder: Path, text_model: Path
):
    with serving() as client:
        add(client, "my-film")
        numbered = served_run(text_model)
        numbered.catalogue = replace(numbered.catalogue, ids=pa.array(range(20), pa.int64()))
        numbered.save(run_folder)
        told = client.post("/admin/reload")
        assert told.status_code == 200
        assert "int64" in told.json()["refused"]["my-film"]
    with serving() as client:  # and the next start goes well
        assert client.get("/info").json()["items"] == 20


def test_texts_under_way_are_encoded_by_the_run_that_they_came_to(
    serving: Serving, run_folder: Path, text_model: Path
):
    with serving() as client:
        service = client.app.state.service  # type: ignore[attr-defined]
        old, encode = service.served, service.served.encoder.encode

        def reloaded_meanwhile(texts: list[str]) -> Any:
            service.served = replace(old, encoder=None)
            return encode(texts)

        old.encoder.encode = reloaded_meanwhile
        asked = {"history": [{"text": "Thing i03"}], "k": 3}
        assert client.post("/recommend", json=asked).status_code == 200
        assert service.served.encoder is None


def test_a_broken_folder_is_refused_and_the_old_run_goes_on(serving: Serving, run_folder: Path):
    with serving() as client:
        before = first_ids(client)
        (run_folder / "model.safetensors").write_bytes(b"broken")
        refused = client.post("/admin/reload")
        assert refused.status_code == 409 and "model.safetensors" in refused.json()["detail"]
        shutil.rmtree(run_folder)
        assert client.post("/admin/reload").status_code == 409
        assert first_ids(client) == before
        page = client.get("/metrics").text
        assert 'lite_llm4rec_reloads_total{result="failed"} 2.0' in page


def test_an_unforeseen_fault_of_a_folder_is_told_and_counted(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
):
    with serving() as client:
        before = first_ids(client)
        monkeypatch.setattr(Served, "load", lambda *_: {}["backbone"])
        refused = client.post("/admin/reload")
        assert refused.status_code == 409
        assert "cannot be used: KeyError: 'backbone'" in refused.json()["detail"]
        assert 'reloads_total{result="failed"} 1.0' in client.get("/metrics").text
        assert first_ids(client) == before


@pytest.mark.parametrize("when", [1, 2], ids=["while it loads", "while it catches up"])
def test_a_database_that_is_away_is_not_the_folders_fault(
    serving: Serving, monkeypatch: pytest.MonkeyPatch, when: int
):
    read_after, calls = changes.read_after, []

    def away(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == when:
            raise OperationalError("SELECT", None, Exception("the server is gone"))
        return read_after(*given)

    monkeypatch.setattr(service_file, "FOLLOW_SECONDS", 3600.0)
    with serving() as client:
        time.sleep(0.2)  # the first look at the log is over
        before = client.app.state.service.served  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setattr(changes, "read_after", away)
            refused = client.post("/admin/reload")
        assert refused.status_code == 503 and "retry-after" in refused.headers
        assert "database" in refused.json()["detail"]
        assert 'reloads_total{result="failed"} 1.0' in client.get("/metrics").text
        assert client.app.state.service.served is before  # type: ignore[attr-defined]
        assert client.post("/admin/reload").status_code == 200


def test_what_was_refused_first_may_be_taken_later_in_any_order(run_folder: Path):
    unusable = Change("add", "new", {"title": "A thing"}, None, number=1)
    usable = replace(unusable, vector=np.ones(16, np.float32), number=2)
    own = replace(usable, item="i03", number=3)
    together, apart = (Served.load(run_folder, None, Metrics()) for _ in range(2))
    width = together.runtime.vectors.shape[1]
    log = [unusable, replace(usable, vector=np.ones(width, np.float32)), own, own]
    together.apply(log)
    for one in log:
        apart.apply([one])
    for served in (together, apart):
        assert "new" in served.lookup and served.refused == {}
        assert (served.added, served.in_run, served.applied) == (1, 1, 3)


def test_a_link_is_followed_anew(serving: Serving, run_folder: Path, text_model: Path, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(run_folder, target_is_directory=True)
    other = served_run(text_model, seed=1).save(tmp_path / "other")
    with serving(folder=link) as client:
        assert client.get("/info").json()["run"] == "run"
        link.unlink()
        link.symlink_to(other, target_is_directory=True)
        assert client.post("/admin/reload").json()["run"] == "other"
        wanted = Recommender.load(other).recommend([["i05", "i06"]], k=8).ids[0]
        assert first_ids(client) == wanted


def test_a_hangup_during_a_reload_loads_once_more(serving: Serving):
    with serving() as client:
        service: Service = client.app.state.service  # type: ignore[attr-defined]
        first = service.served

        async def hang_up_during_a_reload() -> None:
            hung_up = asyncio.Event()
            watching = asyncio.create_task(_reload_at(hung_up, service))
            under_way = asyncio.create_task(service.reload())
            await asyncio.sleep(0)
            assert service._reloading.locked()
            hung_up.set()
            second = await under_way
            while service.served in (first, second):
                await asyncio.sleep(0.01)
            watching.cancel()

        assert client.portal is not None
        client.portal.call(hang_up_during_a_reload)
        assert client.get("/health/ready").status_code == 200


def test_a_field_that_was_asked_for_is_known_when_the_new_run_comes(client: TestClient):
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    asked = {"history": ["i05"], "where": {"kind": "kind 2"}}
    wanted = client.post("/recommend", json=asked).json()
    first = service.served
    assert client.post("/admin/reload").status_code == 200
    assert service.served is not first
    assert service.served.lookup.knows("kind") and not service.served.lookup.knows("title")
    assert client.post("/recommend", json=asked).json() == wanted
