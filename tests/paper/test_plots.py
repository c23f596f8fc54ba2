"""Pictures of the pages: written twice over, the same for the same records, and with all names."""

from pathlib import Path

import pytest

from lite_llm4rec.paper.plots import can_plot, plot_quality, plot_shares, plot_times

pytestmark = pytest.mark.skipif(not can_plot(), reason="the extra 'plots' is absent")
CPU = {"machine": {"processor": "Some CPU", "threads": 1}}
GPU = {"machine": {"processor": "Some CPU", "threads": 1, "gpu": "Some GPU"}}


def record(recall: float, paper: float | None = None) -> dict:
    known = {} if paper is None else {"recall@10": paper}
    interval = [recall - 0.01, recall + 0.01]
    return {"metrics": {"recall@10": recall}, "intervals": {"recall@10": interval}, "paper": known}


def draw(what: str, path: Path) -> None:
    parts = {"encoder": 1.0, "beam search": 9.0}
    if what == "quality":
        rows = [("Popularity", [record(0.04)]), ("SASRec", [record(0.2, 0.18), record(0.22, 0.18)])]
        plot_quality(rows, path)
    elif what == "times":
        times = {"values": {"P5": 200.0, "Lite": 2.0}, "paper": {"P5": 300.0, "Lite": 1.0}}
        more = {**times, "values": {**times["values"], "Newer": 0.5}}  # on one machine alone
        plot_times([{**times, **GPU}, {**more, **CPU}], path)
    else:
        plot_shares([{"row": row, "values": parts, **CPU} for row in ("P5", "POD")], path)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("quality", ["Popularity", "SASRec", "Recall@10", "paper", "ours"]),
        ("times", ["P5", "Lite", "multiple of Lite's", "paper", "Some GPU", "Some CPU"]),
        ("shares", ["POD, Some CPU", "encoder", "beam search", "share of a batch"]),
    ],
)
def test_a_picture_names_what_it_shows_and_comes_out_the_same(
    what: str, words: list[str], tmp_path: Path
):
    draw(what, tmp_path / "a")
    first = (tmp_path / "a.svg").read_bytes()
    text = first.decode()
    for word in words:
        assert word in text  # matplotlib notes each text beside its outlines
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    draw(what, tmp_path / "a")
    assert (tmp_path / "a.svg").read_bytes() == first
