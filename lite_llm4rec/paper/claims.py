"""What the paper claims, each judged by the records, so that a verdict changes with them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lite_llm4rec.paper.arithmetic import (
    Finding,
    better_throughout,
    gains,
    impossible_growth,
    saved_time,
)
from lite_llm4rec.paper.choices import BASE, JOINT_FIRST
from lite_llm4rec.paper.evidence import Evidence
from lite_llm4rec.paper.figure5 import HELD
from lite_llm4rec.paper.judges import (
    Better,
    beam_search,
    item_llms,
    lengths,
    outputs,
    repeated_title,
    slower,
    title_tokens,
)
from lite_llm4rec.paper.pairs import Pair
from lite_llm4rec.paper.published import TABLE_1, TABLE_2, TABLE_5

SMALL = "small, from scratch"
SEARCHED = ("BERT4Rec, tuned", "SASRec", "S3-Rec, tuned", "FDSA, tuned")  # peers at their best
TOP_N_OURS = "Lite-LLM4Rec small, history in front"
TOP_N_OTHERS = tuple(  # P5 and POD at their best
    f"{name} small, history in front, {HELD}" for name in ("P5", "POD")
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


CLAIMS = (
    Claim(
        "§3.2, Table 1",
        "P5 and POD take nearly a thousand times as long as BERT4Rec.",
        slower("table1", "P5", "BERT4Rec", 500, TABLE_1["P5"][1] / TABLE_1["BERT4Rec"][1]),
    ),
    Claim(
        "§3.2, Table 1",
        "POD is faster than P5, by its shorter input.",
        slower("table1", "P5", "POD", 1, TABLE_1["P5"][1] / TABLE_1["POD"][1]),
    ),
    Claim("§3.2, Figure 2", "Beam search takes nearly all of it.", beam_search),
    Claim(
        "§3.3, Table 2",
        "Without the decoder a batch is tens of times as fast.",
        slower(
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
        slower(
            "table2", "POD w/o_d_TID", "POD w/o_d", 1.5,
            TABLE_2["ml-1m"]["POD w/o_d_TID"][2] / TABLE_2["ml-1m"]["POD w/o_d"][2],
        ),
    ),
    Claim("§3.3", "Titles make the input 297.4 tokens long on ML-1M.", title_tokens),
    Claim("§4.2", "The same title goes in 539 times in one pass of inference.", repeated_title),
    Claim("§4.2, Table 6", "Item vectors make the input several times shorter.", lengths),
    Claim("§4.3", "What writes ids writes some that do not exist, and some twice.", outputs),
    Claim(
        "§5.1.4",
        "The item vectors and the Recommendation LLM fine-tuned after training are better.",
        Better("choices", JOINT_FIRST, (BASE,), f"{SMALL}, the joint stage first"),
    ),
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
        Better("table4", "Lite-LLM4Rec small, tuned", SEARCHED, SMALL),
    ),
    Claim(
        "§5.2, Table 4",
        "… with a target at every position, the causal form (ours).",
        Better("table4", "Lite-LLM4Rec causal", SEARCHED, SMALL),
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
        slower(
            "table5", "POD", "Lite-LLM4Rec", 250,
            TABLE_5["ml-1m"]["POD"] / TABLE_5["ml-1m"]["Lite-LLM4Rec"],
        ),
    ),
    Claim(
        "§5.4, Figure 5",
        "Top-N: a much better NDCG than P5's and POD's.",
        Better("figure5", TOP_N_OURS, TOP_N_OTHERS, SMALL, metric="ndcg@10"),
    ),
    Claim(
        "§5.4, Figure 5",
        "… and a better Recall where k is small.",
        Better("figure5", TOP_N_OURS, TOP_N_OTHERS, SMALL, metric="recall@1"),
    ),
    Claim("§5.5.2, Table 7", "Which Item LLM it is matters little.", item_llms),
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
