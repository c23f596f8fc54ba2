"""What the paper says of its own numbers, held against its own tables."""

from collections.abc import Callable, Mapping
from math import log2

from lite_llm4rec.paper.evidence import Evidence
from lite_llm4rec.paper.published import GAINS, METRICS, TABLE_4, TABLE_5

AGAINST, SO = "contradicted by the paper's own tables", "so in the paper's own tables"
Finding = tuple[str, str]  # verdict, evidence


def saved_time(_: Evidence) -> Finding:
    """Judge by the ratio of Table 5."""
    fast = TABLE_5["ml-1m"]
    saved = 1 - fast["Lite-LLM4Rec"] / fast["POD"]
    return AGAINST, f"Table 5 gives {saved:.2%} on ML-1M; no table gives 97.28 %"


def better_throughout(_: Evidence) -> Finding:
    """Judge by the better strategy on each data set, which is what the paper compares."""
    whole = all(
        _best(rows, _is_ours, place) > _best(rows, _is_theirs, place)
        for rows in TABLE_4.values()
        for place in range(len(METRICS))
    )
    alone = [
        f"`{row.rpartition(' ')[2]}` on {data}: {metric} {rows[row][place]:.4f} < {name} "
        f"{rows[name][place]:.4f}"
        for data, rows in TABLE_4.items()
        for row in rows
        if _is_ours(row)
        for place, metric in enumerate(METRICS)
        for name in rows
        if _is_theirs(name) and rows[name][place] > rows[row][place]
    ]
    told = f"with the better strategy on each data set; by itself {'; '.join(alone)}"
    return (SO if whole else AGAINST), told


def gains(_: Evidence) -> Finding:
    """Hold the gains of §5.2, in per cent, against Table 4."""
    rivals = {"recall@10": _writes_ids, "ndcg@20": _is_theirs}
    broken = []
    for metric, of in rivals.items():
        place = METRICS.index(metric)
        for data, said in GAINS[metric].items():
            rows = TABLE_4[data]
            found = 100 * (_best(rows, _is_ours, place) / _best(rows, of, place) - 1)
            if abs(found - said) > 0.1:
                broken.append(f"{metric} on {data}: {said} % is said, Table 4 gives {found:.1f} %")
    return (AGAINST if broken else SO), "; ".join(broken)


def _best(rows: Mapping[str, tuple[float, ...]], of: Callable[[str], bool], place: int) -> float:
    return max(values[place] for name, values in rows.items() if of(name))


def _is_ours(name: str) -> bool:
    return name.startswith("Lite")


def _is_theirs(name: str) -> bool:
    return not _is_ours(name)


def _writes_ids(name: str) -> bool:
    return name in ("P5", "POD", "LightLM")


def impossible_growth(_: Evidence) -> Finding:
    """Judge by what a target between ranks 11 and 20 can add to NDCG: at most 1/log2(12)."""
    most = 1 / log2(12)
    broken = [
        f"{name} on {data}: {(ndcg20 - ndcg10) / (recall20 - recall10):.2f}"
        for data, rows in TABLE_4.items()
        for name, (recall10, recall20, ndcg10, ndcg20) in rows.items()
        if ndcg20 - ndcg10 > most * (recall20 - recall10) + 2e-4  # four digits are rounded
    ]
    told = f"from k = 10 to 20, NDCG can grow by {most:.3f} of Recall's growth at most"
    return AGAINST, f"{told}; {'; '.join(broken)}"
