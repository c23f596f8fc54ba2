"""The service on the device that it is told; a GPU's part is skipped where there is none."""

from typing import Any

import pyarrow as pa
import pytest
import torch

from lite_llm4rec.recommender import Recommender
from tests.serve.conftest import Serving

TITLE = "Thing i03 i07"
HISTORY = ["i03", "i05", "n1"]
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_gpu)])
def test_it_ranks_there_as_the_run_does(
    serving: Serving, expected: Recommender, monkeypatch: pytest.MonkeyPatch, device: str
):
    devices: list[str] = []
    recommend = Recommender.recommend

    def noted(self: Recommender, *given: Any, **more: Any) -> Any:
        devices.append(more["device"])
        return recommend(self, *given, **more)

    with monkeypatch.context() as patch, serving(device=device) as client:
        patch.setattr(Recommender, "recommend", noted)
        made = {"id": "n1", "fields": {"title": TITLE}}
        assert client.post("/items", json={"items": [made]}).status_code == 201
        found = client.post("/recommend", json={"history": HISTORY, "k": 18}).json()["items"]
        unlisted = client.post("/recommend", json={"history": ["i03", {"text": TITLE}]})
        why = client.post("/explain", json={"history": HISTORY, "item": "i04"})
        near = client.get("/similar", params={"item": "n1", "by": "behaviour"})
    assert set(devices) == {device}
    assert [one.status_code for one in (unlisted, why, near)] == [200, 200, 200]
    expected.add_items(pa.table({"item_id": ["n1"], "title": [TITLE]}))
    own = expected.recommend([HISTORY], k=18)
    assert [one["score"] for one in found] == pytest.approx(own.scores[0], abs=1e-3)
    assert {one["id"] for one in found} == set(own.ids[0])
