"""What the paper claims, each judged by the records, so that a verdict changes with them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from lite_llm4rec.paper.arithmetic import (
    Finding,
    better_throughout,
    gains,
    impossible_growth,
    saved_time,
)
from lite_llm4rec.paper.evidence import Evidence
from lite_llm4rec.paper.pairs import Pair
from lite_llm4rec.paper.published import (
    FIGURE_2,
    TABLE_1,
    TABLE_2,
    TABLE_5,
    TABLE_7,
    TITLE_TOKENS,
)
from lite_llm4rec.paper.rows import is_gpu, place
from lite_llm4rec.paper.timing import ratio

YES, NO, PART, LESS = "reproduced", "not reproduced", "in part", "not to this extent"
WAITING = "not measured here yet"
ON_CPU = f"{LESS} on a CPU"  # the paper's times are a GPU's
UNCLEAR = "not clearly: the turns of the measurement lie on both sides"
WITHIN = ", within the budget"
UNTAUGHT = "not to be told: what it is held against is not above popularity"
SEEDS = 3  # that a verdict rests on, or it says on how many
SMALL = "small, from scratch"
TOP_N_OURS = "Lite-LLM4Rec small, history in front"
TOP_N_OTHERS = tuple(
    f"{name} small, history in front, held to the candidates" for name in ("P5", "POD")
)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes
    ----------
    where : str
        Its section, table or figure.
    says : str
        The claim, in our words.
    judge : callable
        Gives a verdict and the evidence for it from the records.
    """

    where: str
    says: str
    judge: Callable[[Evidence], Finding]


def write_claims(records: Path) -> str:
    """Put all claims with verdict and evidence into a Markdown table."""
    evidence = Evidence(records)
    lines = ["| where | the paper says | verdict | evidence |", "|---|---|---|---|"]
    for claim in CLAIMS:
        verdict, found = claim.judge(evidence)
        lines.append(f"| {claim.where} | {claim.says} | **{verdict}** | {found} |")
    return "\n".join(lines)


def _ratio(
    exhibit: str, slow: str, fast: str, enough: float, paper: float
) -> Callable[[Evidence], Finding]:
    """Judge that one system takes at least `enough` times as long as another, on ML-1M.

    Where there is a GPU's measurement it decides, as the paper's are a GPU's. It does so in every
    turn, or not clearly.
    """

    def judge(evidence: Evidence) -> Finding:
        found = [
            (ratio(cell["turns"][slow], cell["turns"][fast]), cell)
            for cell in evidence.measured(exhibit, "ml-1m", "time")
            if {slow, fast} <= cell["turns"].keys()
        ]
        if not found:
            return WAITING, f"paper: {_times(paper)}"
        told = "; ".join(f"{_times(ours.median)} on {place(cell)}" for ours, cell in found)
        ours, decides = found[0]
        told += f" (paper: {_times(paper)})"
        if ours.median < enough:
            return (LESS if is_gpu(decides) else ON_CPU), told
        if ours.low < enough:
            return UNCLEAR, f"{told}; {_times(ours.low)} to {_times(ours.high)}, turn by turn"
        return YES, told

    return judge


def _times(ratio: float) -> str:
    digits = 0 if ratio >= 10 else 1 if ratio >= 2 else 2
    return f"{ratio:.{digits}f}×"


@dataclass(frozen=True)
class Better:
    """Judge that a system's Recall@10 is above each of some others', by paired tests.

    Attributes
    ----------
    exhibit, row : str
    others : tuple of str
    told : str
        What limits the evidence.
    data : str
        The data set that the claim is of; by default all.
    """

    exhibit: str
    row: str
    others: tuple[str, ...]
    told: str = ""
    data: str = ""

    def __call__(self, evidence: Evidence) -> Finding:
        """Hold where every seed's interval lies above zero on every data set, to every other.

        It does not where one lies below. A verdict on few seeds, or on trainings that their budget
        ended, says so. To be above a system that has learnt less than what is popular says nothing,
        and does not count; neither does a test of what was trained on processors of two kinds.
        """
        tests = {other: self._tests(other, evidence) for other in self.others}
        known = [test for found in tests.values() for test in found]
        if not known:
            return WAITING, self.told
        waiting = [other for other, found in tests.items() if not found]
        untested = [
            f"{other} on {data}"
            for other in self.others
            if other not in waiting
            for data in evidence.untested(self.exhibit, self.row, other)
            if self.data in ("", data)
        ]
        told = [f"Recall@10 of {self.row}, by seed", *map(_difference, known)]
        if waiting or untested:
            told.append(f"no test against {', '.join([*waiting, *untested])} yet")
        if self.told:
            told.append(self.told)
        alike = [test for test in known if evidence.is_alike(test)]
        if unlike := _rivals(test for test in known if test not in alike):
            told.append(f"left out, as cut after the same time on another processor: {unlike}")
        counted = [test for test in alike if self._counts(test, evidence)]
        if not counted:
            return (WAITING if untested or unlike else UNTAUGHT), "; ".join(told)
        if left := _rivals(test for test in alike if test not in counted):
            told.append(f"left out, as not above popularity: {left}")
        held = [test["values"]["low"] > 0 for test in counted]
        whole = all(held) and not (waiting or untested or unlike or left)
        below = any(test["values"]["high"] < 0 for test in counted)
        verdict = YES if whole else (PART if any(held) and not below else NO)
        verdict += _few(_fewest_seeds(counted))
        systems = (self.row, *self.others)
        data = {test["dataset"] for test in counted}
        cut = [name for name in systems if evidence.was_cut(self.exhibit, data, name)]
        if cut:
            verdict += WITHIN
            told.append(f"cut before they had learnt all they could: {', '.join(cut)}")
        return verdict, "; ".join(told)

    def _tests(self, other: str, evidence: Evidence) -> list[dict[str, Any]]:
        found = evidence.tests(self.exhibit, self.row, other)
        return [test for test in found if self.data in ("", test["dataset"])]

    def _counts(self, test: dict[str, Any], evidence: Evidence) -> bool:
        return evidence.above_popularity(self.exhibit, test["dataset"], test["other"])

    def pairs(self) -> list[Pair]:
        """List what is to be tested."""
        return [(self.exhibit, self.row, other) for other in self.others]


def _rivals(tests: Iterable[dict[str, Any]]) -> str:
    return ", ".join(sorted({test["other"] for test in tests}))


def _fewest_seeds(tests: list[dict[str, Any]]) -> int:
    """Count the seeds of each rival on each data set, and give the lowest count."""
    seeds: dict[tuple[str, str], set[int]] = {}
    for test in tests:
        seeds.setdefault((test["other"], test["dataset"]), set()).add(test["seed"])
    return min(map(len, seeds.values()))


def _few(seeds: int) -> str:
    """Say on how few seeds a verdict rests."""
    return f", {seeds} seed{'s' * (seeds > 1)}" if seeds < SEEDS else ""


def _difference(test: dict[str, Any]) -> str:
    found = test["values"]
    interval = f"[{found['low']:+.4f}, {found['high']:+.4f}]"
    return f"{test['dataset']}: {found['difference']:+.4f} {interval} to {test['other']}"


def _beam_search(evidence: Evidence) -> Finding:
    """Judge by all but the encoder, which is what the paper's 98 % are."""
    found = [cell for name in FIGURE_2 for cell in evidence.measured("figure2", "ml-1m", name)]
    if not found:
        return WAITING, "paper: 98 %"
    shares = [1 - cell["values"]["encoder"] / sum(cell["values"].values()) for cell in found]
    told = "; ".join(
        f"{cell['row']} {share:.1%} on {place(cell)}"
        for cell, share in zip(found, shares, strict=True)
    )
    return (YES if min(shares) > 0.9 else PART), f"{told} (paper: 98.2 %, 98.3 %)"


def _top_n(evidence: Evidence) -> Finding:
    """Judge by NDCG@10 of the small systems, P5 and POD at their best: held to the candidates."""
    told, held, seeds, cut = [], [], SEEDS, False
    for data in ("ml-100k", "ml-1m"):
        for other in TOP_N_OTHERS:
            ours = evidence.trained("figure5", data, TOP_N_OURS)
            theirs = evidence.trained("figure5", data, other)
            if not ours or not theirs:
                continue
            first, second = (mean(one["metrics"]["ndcg@10"] for one in of) for of in (ours, theirs))
            told.append(f"{data}: {first:.4f} for {second:.4f} of {other}")
            if evidence.above_popularity("figure5", data, other):
                held.append(first > second)
                seeds = min(seeds, len(ours), len(theirs))
                cut |= any(evidence.was_cut("figure5", {data}, row) for row in (TOP_N_OURS, other))
    if not told:
        return WAITING, ""
    found = f"NDCG@10 of {TOP_N_OURS}, means without a test; {'; '.join(told)}; {SMALL}"
    if not held:
        return UNTAUGHT, found
    verdict = YES if all(held) else PART if any(held) else NO
    return f"{verdict}{_few(seeds)}{WITHIN if cut else ''}", found


def _item_llms(evidence: Evidence) -> Finding:
    """Judge by the Recall@10 of those that were measured with the paper's backbone."""
    found = {
        name: mean(one["metrics"]["recall@10"] for one in records)
        for name in TABLE_7
        if (records := evidence.trained("table7", "ml-1m", name))
    }
    paper = [values[0] for values in TABLE_7.values()]
    spread = max(paper) - min(paper)
    told = f"paper: Recall@10 differs by {spread:.4f} at most"
    if len(found) < 2:
        return WAITING, f"{len(found)} of {len(TABLE_7)} Item LLMs with pretrained T5-small; {told}"
    own = max(found.values()) - min(found.values())
    return (YES if own <= 2 * spread else NO), f"ours by {own:.4f}; {told}"


def _title_tokens(evidence: Evidence) -> Finding:
    said = TITLE_TOKENS["ml-1m"]["POD w/o_d_TID"]
    records = evidence.measured("table6", "ml-1m", "length")
    values = records[0]["values"] if records else {}
    found = {
        name: values[f"{name} w/o_d_TID padded"]
        for name in ("P5", "POD")
        if f"{name} w/o_d_TID padded" in values
    }
    if not found:
        return WAITING, f"paper: {said}"
    near = any(abs(length / said - 1) < 0.1 for length in found.values())
    told = ", ".join(f"{name}'s prompt {length:.1f}" for name, length in found.items())
    open_ = "which prompt, and what of an item besides its title, the paper does not say"
    return (YES if near else NO), f"{told}, of titles alone (paper: {said}); {open_}"


def _lengths(evidence: Evidence) -> Finding:
    records = evidence.measured("table6", "ml-1m", "length")
    if not records:
        return WAITING, ""
    found = records[0]["values"]
    told = ", ".join(f"{name} {found[f'{name} padded']:.1f}" for name in ("P5", "POD"))
    held = found["P5 padded"] > found["POD padded"] > 4 * found["Lite-LLM4Rec padded"]
    return (YES if held else NO), f"{told}, Lite-LLM4Rec {found['Lite-LLM4Rec padded']:.1f}"


CLAIMS = (
    Claim(
        "§3.2, Table 1",
        "P5 and POD take nearly a thousand times as long as BERT4Rec.",
        _ratio("table1", "P5", "BERT4Rec", 500, TABLE_1["P5"][1] / TABLE_1["BERT4Rec"][1]),
    ),
    Claim(
        "§3.2, Table 1",
        "POD is faster than P5, by its shorter input.",
        _ratio("table1", "P5", "POD", 1, TABLE_1["P5"][1] / TABLE_1["POD"][1]),
    ),
    Claim("§3.2, Figure 2", "Beam search takes nearly all of it.", _beam_search),
    Claim(
        "§3.3, Table 2",
        "Without the decoder a batch is tens of times as fast.",
        _ratio(
            "table2", "POD", "POD w/o_d", 10,
            TABLE_2["ml-1m"]["POD"][2] / TABLE_2["ml-1m"]["POD w/o_d"][2],
        ),
    ),
    Claim(
        "§3.3, Table 2",
        "… and better.",
        Better("table2", "POD small w/o_d", ("POD small",), SMALL),
    ),
    Claim(
        "§3.3, Table 2",
        "Titles in place of ids are better still.",
        Better("table2", "POD small w/o_d_TID", ("POD small w/o_d",), SMALL),
    ),
    Claim(
        "§3.3, Table 2",
        "… and slower.",
        _ratio(
            "table2", "POD w/o_d_TID", "POD w/o_d", 1.5,
            TABLE_2["ml-1m"]["POD w/o_d_TID"][2] / TABLE_2["ml-1m"]["POD w/o_d"][2],
        ),
    ),
    Claim("§3.3", "Titles make the input 297.4 tokens long on ML-1M.", _title_tokens),
    Claim("§4.2, Table 6", "Item vectors make the input several times shorter.", _lengths),
    Claim(
        "§5.2, Table 4",
        "Lite-LLM4Rec is better than every baseline that is no language model.",
        Better(
            "table4", "Lite-LLM4Rec small, sampling", ("BERT4Rec", "SASRec", "S3-Rec", "FDSA"),
            f"{SMALL}; of its peers only SASRec has settings of a search of its own",
        ),
    ),
    Claim(
        "§5.2, Table 4",
        "… each system at the best of its own search (ours).",
        Better(
            "table4", "Lite-LLM4Rec small, tuned",
            ("BERT4Rec, tuned", "SASRec", "S3-Rec, tuned", "FDSA, tuned"), SMALL,
        ),
    ),
    Claim(
        "§5.2, Table 4",
        "Lite-LLM4Rec is better than LightLM, P5 and POD.",
        Better(
            "table4", "Lite-LLM4Rec small, sampling", ("LightLM small", "P5 small", "POD small"),
            f"all {SMALL}: without pretrained weights this says nothing of the originals' quality",
        ),
    ),
    Claim(
        "§5.2, Table 4",
        "On ML-1M every prefix (`all`) teaches more than one random segment (`sampling`).",
        Better(
            "table4", "Lite-LLM4Rec small, all", ("Lite-LLM4Rec small, sampling",), SMALL,
            "ml-1m",
        ),
    ),
    Claim(
        "§5.3, Table 5",
        "A batch is ranked some 300 times as fast as with P5 or POD.",
        _ratio(
            "table5", "POD", "Lite-LLM4Rec", 250,
            TABLE_5["ml-1m"]["POD"] / TABLE_5["ml-1m"]["Lite-LLM4Rec"],
        ),
    ),
    Claim("§5.4, Figure 5", "Top-N: a much better NDCG than P5's and POD's.", _top_n),
    Claim("§5.5.2, Table 7", "Which Item LLM it is matters little.", _item_llms),
    Claim("Abstract", "97.28 % less time.", saved_time),
    Claim("§5.2", "Better than the best of all others throughout.", better_throughout),
    Claim(
        "Abstract, §5.2",
        "Recall@10 46.8 %, 38.4 % and 20.7 % above the best language model's; NDCG@20 51.4 %,"
        " 11.3 % and 7.9 % above the best of all.",
        gains,
    ),
    Claim("Table 4", "P5's row on Toys.", impossible_growth),
    Claim(
        "§5.5.1, Figure 4",
        "A fixed Recommendation LLM, a fixed head and one made from scratch are each worse.",
        Better(
            "figure4", "full, MiniLM",
            ("fixT5, MiniLM", "fixHead, MiniLM", "Scratch, MiniLM"), "with MiniLM's encoder",
        ),
    ),
)  # fmt: skip


def claimed_pairs() -> list[Pair]:
    """List the pairs of systems that a claim says one of is better."""
    judges = [claim.judge for claim in CLAIMS if isinstance(claim.judge, Better)]
    return [pair for judge in judges for pair in judge.pairs()]
