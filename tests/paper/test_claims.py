"""The claims are of rows that exist, and the paper's own numbers are held against each other."""

from pathlib import Path

from lite_llm4rec.paper.arithmetic import AGAINST, SO
from lite_llm4rec.paper.claims import CLAIMS, claimed_pairs, write_claims
from lite_llm4rec.paper.evidence import Evidence
from lite_llm4rec.paper.exhibits import cells
from lite_llm4rec.paper.figure5 import HELD


def test_what_is_claimed_better_or_worse_has_a_row():
    rows = {(cell.exhibit, cell.row) for cell in cells(["all"], "ml-1m", [0])}
    for pair in claimed_pairs():
        assert {
            (pair.exhibit, pair.better),
            (pair.exhibit, pair.other.removesuffix(f", {HELD}")),
        } < rows


def test_every_claim_has_a_line(tmp_path: Path):
    lines = write_claims(tmp_path).splitlines()
    assert len(lines) == 2 + len(CLAIMS)
    assert all(line.count(" | ") == 3 for line in lines[2:])


def test_the_paper_s_arithmetic(tmp_path: Path):
    found = {claim.says: claim.judge(Evidence(tmp_path)) for claim in CLAIMS}
    told = {says: evidence for says, (_, evidence) in found.items()}
    assert "P5 on amazon-toys-2018: 0.51" in told["P5's row on Toys."]
    assert told["P5's row on Toys."].count(":") == 1  # the one row that cannot be
    assert "99.72%" in told["97.28 % less time."]
    verdict, alone = found["Better than the best of all others throughout."]
    assert verdict == SO  # by the better of the two strategies, not by each
    assert "recall@20 0.1447 < FDSA 0.1500" in alone
    assert "`all` on amazon-toys-2018: ndcg@20 0.0449 < POD 0.0452" in alone
    # (0.2129 / 0.1442 − 1) of Table 4; the other five follow from it.
    wrong = "ndcg@20 on ml-1m: 51.4 % is said, Table 4 gives 47.6 %"
    assert next(one for says, one in found.items() if says.startswith("Recall@10 46.8 %")) == (
        AGAINST,
        wrong,
    )
