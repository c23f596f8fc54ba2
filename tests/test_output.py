import io

from rich.console import Console

from lite_llm4rec.card import METRIC_ORDER
from lite_llm4rec.evaluate import Protocol
from lite_llm4rec.output import show_results


def test_results_fit_a_narrow_terminal():
    protocol = Protocol(
        "ml-1m-sasrec", "0" * 64, "order", None, "leave_one_out", "test", "interacted", 3416,
        True, 20,
    )  # fmt: skip
    names = ["popularity", "after the joint stage", "Lite-LLM4Rec"]
    metrics = dict.fromkeys(METRIC_ORDER, 0.1234)
    out = io.StringIO()
    show_results(Console(file=out, width=80), protocol, [(name, metrics) for name in names])
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for name in names:
        (row,) = [line for line in lines if name in line]
        assert row.count("0.1234") == len(METRIC_ORDER)
    shown = " ".join(out.getvalue().split())
    assert "R@10" in shown and "R recall, N NDCG, C coverage" in shown
    assert "3,416 candidates (interacted)" in shown
