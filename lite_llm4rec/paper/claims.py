"""What the paper claims, each judged by the records, so that a verdict changes with them."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log2
from pathlib import Path
from statistics import mean
from typing import Any

from lite_llm4rec.paper.cell import is_cut
from lite_llm4rec.paper.pairs import PAIRS, Pair
from lite_llm4rec.paper.published import FIGURE_2, METRICS, TABLE_1, TABLE_2, TABLE_4, TABLE_5
from lite_llm4rec.paper.rows import is_gpu, place
from lite_llm4rec.paper.timing import ratio
from lite_llm4rec.records import read_folder

YES, NO, PART, LESS = "reproduced", "not reproduced", "in part", "not to this extent"
WAITING, ARITHMETIC = "not measured here yet", "contradicted by the paper's own tables"
ON_CPU = f"{LESS} on a CPU"  # the paper's times are a GPU's
WITHIN = ", within the budget"
UNTAUGHT = "not to be told: what it is held against is not above popularity"
SEEDS = 3  # that a verdict rests on, or it says on how many
SMALL = "small, from scratch"
POPULARITY = "Popularity"  # as its records name it
Finding = tuple[str, str]  # verdict, evidence


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
    judge: Callable[["Evidence"], Finding]


class Evidence:
    """The records of the paper's cells.

    Parameters
    ----------
    records : Path
        A folder with one subfolder per table or figure.
    """

    def __init__(self, records: Path) -> None:
        folders = sorted(path for path in records.glob("*") if path.is_dir())
        self._cells = [
            cell for folder in folders if folder.is_dir() for cell in read_folder(folder)
        ]

    def measured(self, exhibit: str, data: str, row: str) -> list[dict[str, Any]]:
        """Return the records of what was counted or timed in a cell, that of a GPU first."""
        wanted = (exhibit, data, row)
        found = [
            cell
            for cell in self._cells
            if (cell["experiment"], cell["dataset"], cell.get("row")) == wanted
            and cell.get("values")
        ]
        return sorted(found, key=lambda cell: not is_gpu(cell))

    def was_cut(self, exhibit: str, row: str) -> bool:
        """Whether a training of a system ended by its budget."""
        return any(
            is_cut(cell)
            for cell in self._cells
            if (cell["experiment"], cell.get("row")) == (exhibit, row)
        )

    def above_popularity(self, exhibit: str, data: str, row: str) -> bool:
        """Whether a system's mean Recall@10 is above popularity's, or the latter is not known."""
        here = [
            cell
            for cell in self._cells
            if (cell["experiment"], cell["dataset"]) == (exhibit, data) and cell.get("metrics")
        ]
        popular = [one["metrics"]["recall@10"] for one in here if one["model"] == POPULARITY]
        own = [one["metrics"]["recall@10"] for one in here if one.get("row") == row]
        return not popular or not own or mean(own) > mean(popular)

    def tests(self, exhibit: str, row: str, other: str) -> list[dict[str, Any]]:
        """Return the paired tests of two systems."""
        wanted = (PAIRS, exhibit, row, other)
        return [
            cell
            for cell in self._cells
            if (cell["experiment"], cell.get("exhibit"), cell.get("row"), cell.get("other"))
            == wanted
        ]


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

    Where there is a GPU's measurement it decides, as the paper's are a GPU's.
    """

    def judge(evidence: Evidence) -> Finding:
        found = [
            (ratio(cell["turns"][slow], cell["turns"][fast]).median, cell)
            for cell in evidence.measured(exhibit, "ml-1m", "time")
            if {slow, fast} <= cell["turns"].keys()
        ]
        if not found:
            return WAITING, f"paper: {_times(paper)}"
        told = "; ".join(f"{_times(ours)} on {place(cell)}" for ours, cell in found)
        ours, decides = found[0]
        less = LESS if is_gpu(decides) else ON_CPU
        return (YES if ours >= enough else less), f"{told} (paper: {_times(paper)})"

    return judge


def _times(ratio: float) -> str:
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


@dataclass(frozen=True)
class Better:
    """Judge that a system's Recall@10 is above each of some others', by paired tests.

    Attributes
    ----------
    exhibit, row : str
    others : tuple of str
    told : str
        What limits the evidence.
    """

    exhibit: str
    row: str
    others: tuple[str, ...]
    told: str = ""

    def __call__(self, evidence: Evidence) -> Finding:
        """Hold where every seed's interval lies above zero on every data set, to every other.

        A verdict on few seeds, or on trainings that their budget ended, says so. To be above a
        system that has learnt less than what is popular says nothing, and does not count.
        """
        tests = {other: evidence.tests(self.exhibit, self.row, other) for other in self.others}
        known = [test for found in tests.values() for test in found]
        if not known:
            return WAITING, self.told
        waiting = [other for other, found in tests.items() if not found]
        told = [f"Recall@10 of {self.row}, by seed", *map(_difference, known)]
        if waiting:
            told.append(f"no test against {', '.join(waiting)} yet")
        if self.told:
            told.append(self.told)
        counted = [test for test in known if self._counts(test, evidence)]
        if not counted:
            return UNTAUGHT, "; ".join(told)
        if left := sorted({test["other"] for test in known if test not in counted}):
            told.append(f"left out, as not above popularity: {', '.join(left)}")
        held = [test["values"]["low"] > 0 for test in counted]
        whole = all(held) and not waiting and not left
        verdict = YES if whole else (PART if any(held) else NO)
        seeds = _fewest_seeds(counted)
        if seeds < SEEDS:
            verdict += f", {seeds} seed{'s' * (seeds > 1)}"
        systems = (self.row, *self.others)
        cut = [name for name in systems if evidence.was_cut(self.exhibit, name)]
        if cut:
            verdict += WITHIN
            told.append(f"cut before they had learnt all they could: {', '.join(cut)}")
        return verdict, "; ".join(told)

    def _counts(self, test: dict[str, Any], evidence: Evidence) -> bool:
        return evidence.above_popularity(self.exhibit, test["dataset"], test["other"])

    def pairs(self) -> list[Pair]:
        """List what is to be tested."""
        return [(self.exhibit, self.row, other) for other in self.others]


def _fewest_seeds(tests: list[dict[str, Any]]) -> int:
    """Count the seeds of each rival on each data set, and give the lowest count."""
    seeds: dict[tuple[str, str], set[int]] = {}
    for test in tests:
        seeds.setdefault((test["other"], test["dataset"]), set()).add(test["seed"])
    return min(map(len, seeds.values()))


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


def _lengths(evidence: Evidence) -> Finding:
    records = evidence.measured("table6", "ml-1m", "length")
    if not records:
        return WAITING, ""
    found = records[0]["values"]
    told = ", ".join(f"{name} {found[f'{name} padded']:.1f}" for name in ("P5", "POD"))
    held = found["P5 padded"] > found["POD padded"] > 4 * found["Lite-LLM4Rec padded"]
    return (YES if held else NO), f"{told}, Lite-LLM4Rec {found['Lite-LLM4Rec padded']:.1f}"


def _abstract(evidence: Evidence) -> Finding:
    fast = TABLE_5["ml-1m"]
    saved = 1 - fast["Lite-LLM4Rec"] / fast["POD"]
    return ARITHMETIC, f"Table 5 gives {saved:.2%} on ML-1M; no table gives 97.28 %"


def _consistent(evidence: Evidence) -> Finding:
    broken = [
        f"`{row.rpartition(' ')[2]}` on {data}: {metric} {rows[row][place]:.4f} < {name} "
        f"{rows[name][place]:.4f}"
        for data, rows in TABLE_4.items()
        for row in rows
        if row.startswith("Lite")
        for place, metric in enumerate(METRICS)
        for name in rows
        if not name.startswith("Lite") and rows[name][place] > rows[row][place]
    ]
    return ARITHMETIC, "; ".join(broken)


def _impossible(evidence: Evidence) -> Finding:
    """Judge by what a target between ranks 11 and 20 can add to NDCG: at most 1/log2(12)."""
    most = 1 / log2(12)
    broken = [
        f"{name} on {data}: {(ndcg20 - ndcg10) / (recall20 - recall10):.2f}"
        for data, rows in TABLE_4.items()
        for name, (recall10, recall20, ndcg10, ndcg20) in rows.items()
        if ndcg20 - ndcg10 > most * (recall20 - recall10) + 2e-4  # four digits are rounded
    ]
    told = f"from k = 10 to 20, NDCG can grow by {most:.3f} of Recall's growth at most"
    return ARITHMETIC, f"{told}; {'; '.join(broken)}"


CLAIMS = (
    Claim(
        "§3.2, Table 1",
        "P5 and POD take nearly a thousand times as long as BERT4Rec.",
        _ratio("table1", "P5", "BERT4Rec", 100, TABLE_1["P5"][1] / TABLE_1["BERT4Rec"][1]),
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
    Claim("§4.2, Table 6", "Item vectors make the input several times shorter.", _lengths),
    Claim(
        "§5.2, Table 4",
        "Lite-LLM4Rec is better than every baseline that is no language model.",
        Better(
            "table4", "Lite-LLM4Rec small, sampling", ("BERT4Rec", "SASRec", "S3-Rec", "FDSA"),
            SMALL,
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
            "table4", "Lite-LLM4Rec small, all", ("Lite-LLM4Rec small, sampling",), SMALL
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
    Claim("Abstract", "97.28 % less time.", _abstract),
    Claim("Abstract, §5.2", "Better throughout.", _consistent),
    Claim("Table 4", "P5's row on Toys.", _impossible),
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
