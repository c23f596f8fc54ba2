"""How a claim of the paper is judged by the records."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import mean
from typing import Any

from lite_llm4rec.paper.arithmetic import Finding
from lite_llm4rec.paper.evidence import Evidence
from lite_llm4rec.paper.pairs import METRIC, Pair
from lite_llm4rec.paper.published import FIGURE_2, TABLE_7, TITLE_TOKENS
from lite_llm4rec.paper.redundancy import EXAMPLE, EXAMPLE_TIMES
from lite_llm4rec.paper.rows import is_gpu, place
from lite_llm4rec.paper.timing import ratio

YES, NO, PART, LESS = "reproduced", "not reproduced", "in part", "not to this extent"
WAITING = "not measured here yet"
ON_CPU = f"{LESS} on a CPU"  # the paper's times are a GPU's
UNCLEAR = "not clearly: the turns of the measurement lie on both sides"
WITHIN = ", within the budget"
UNTAUGHT = "not to be told: what it is held against is not above popularity"
NOT_NEW = {("malformed", "unknown"): "are no item", ("repeated",): "an item once more"}  # shares
SEEDS = 3  # that a verdict rests on, or it says on how many


def slower(
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
    """Judge that a system is better than each of some others, by paired tests.

    Attributes
    ----------
    exhibit, row : str
    others : tuple of str
    told : str
        What limits the evidence.
    data : str
        The data set that the claim is of; by default all.
    metric : str
        By which.
    """

    exhibit: str
    row: str
    others: tuple[str, ...]
    told: str = ""
    data: str = ""
    metric: str = METRIC

    def __call__(self, evidence: Evidence) -> Finding:
        """Hold where every seed's interval lies above zero on every data set, to every other.

        It does not where one lies below. A verdict on few seeds, or on trainings that their budget
        ended, says so. To be above a system that has learnt less than what is popular says nothing,
        and does not count; neither does a test of what was trained on processors of two kinds.
        """
        tests = {pair.other: self._tests(pair, evidence) for pair in self.pairs()}
        known = [test for found in tests.values() for test in found]
        if not known:
            return WAITING, self.told
        waiting = [other for other, found in tests.items() if not found]
        untested = [
            f"{pair.other} on {data}"
            for pair in self.pairs()
            if pair.other not in waiting
            for data in evidence.untested(pair)
            if self.data in ("", data)
        ]
        told = [f"{_title(self.metric)} of {self.row}, by seed", *map(_difference, known)]
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

    def _tests(self, pair: Pair, evidence: Evidence) -> list[dict[str, Any]]:
        found = evidence.tests(pair)
        return [test for test in found if self.data in ("", test["dataset"])]

    def _counts(self, test: dict[str, Any], evidence: Evidence) -> bool:
        return evidence.above_popularity(self.exhibit, test["dataset"], test["other"])

    def pairs(self) -> list[Pair]:
        """List what is to be tested."""
        return [Pair(self.exhibit, self.row, other, self.metric) for other in self.others]


def _title(metric: str) -> str:
    name, _, k = metric.partition("@")
    return f"{'NDCG' if name == 'ndcg' else name.capitalize()}@{k}"


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


def beam_search(evidence: Evidence) -> Finding:
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


def outputs(evidence: Evidence) -> Finding:
    """Judge by what models that search freely for ids have written that is no new item's."""
    found = evidence.writers()
    if not found:
        return WAITING, ""
    told, most = [f"of the outputs of {len(found)} models, small and hardly trained"], []
    for shares, words in NOT_NEW.items():
        each = {_where(one): sum(one["metrics"][share] for share in shares) for one in found}
        where = max(each, key=lambda name: each[name])
        most.append(each[where])
        of = f" (most: {where})" if each[where] else ""
        told.append(f"{min(each.values()):.1%} to {each[where]:.1%} {words}{of}")
    return (YES if all(most) else PART if any(most) else NO), "; ".join(told)


def _where(record: dict[str, Any]) -> str:
    return f"{record['row']}, {record['experiment']}, {record['dataset']}"


def repeated_title(evidence: Evidence) -> Finding:
    """Judge by how often the paper's example goes in, in one pass over all test users."""
    records = evidence.measured("redundancy", "ml-1m", "encodings")
    counted = records[0]["values"].get(EXAMPLE, {}) if records else {}
    if not counted:
        return WAITING, f"paper: {EXAMPLE_TIMES}"
    near = any(abs(times / EXAMPLE_TIMES - 1) < 0.1 for times in counted.values())
    told = ", ".join(f"{times:,} with {cap}" for cap, times in counted.items())
    return (YES if near else NO), f"{EXAMPLE}: {told} (paper: {EXAMPLE_TIMES})"


def item_llms(evidence: Evidence) -> Finding:
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


def title_tokens(evidence: Evidence) -> Finding:
    """Judge by the prompts that we made of titles, padded as a batch is."""
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


def lengths(evidence: Evidence) -> Finding:
    """Judge by the average input lengths of P5, POD and Lite-LLM4Rec."""
    records = evidence.measured("table6", "ml-1m", "length")
    if not records:
        return WAITING, ""
    found = records[0]["values"]
    told = ", ".join(f"{name} {found[f'{name} padded']:.1f}" for name in ("P5", "POD"))
    held = found["P5 padded"] > found["POD padded"] > 4 * found["Lite-LLM4Rec padded"]
    return (YES if held else NO), f"{told}, Lite-LLM4Rec {found['Lite-LLM4Rec padded']:.1f}"
