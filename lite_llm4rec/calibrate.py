"""How far to lift cold items, so that they neither vanish from the lists nor flood them."""

import numpy as np
import torch

from lite_llm4rec.data.split import Split, Targets
from lite_llm4rec.evaluate import encode_cases
from lite_llm4rec.models.causal import CausalLLM4Rec
from lite_llm4rec.rank import seen_items, top_k

CASES = 2000
SHARE = 0.2
LIST_LENGTH = 10
STEPS = 20
SAMPLED = 10_000  # items, whose scores tell how far the offset may go


@torch.no_grad()
def calibrate_cold(
    model: CausalLLM4Rec, split: Split, seed: int = 0, seen_filter: bool = True
) -> float:
    """Set and return the model's `cold_offset`, from warm items that play cold.

    A random fifth of the warm items lose their id part. With the offset their share of the
    validation's lists, of warm items alone, is their share of its warm targets. No item that is
    really cold, and no test target, is looked at.

    Parameters
    ----------
    seen_filter : bool
        Whether lists leave out what a user has had.

    Returns
    -------
    float
        In logits; 0 where there is nothing to measure it by.
    """
    rng = np.random.default_rng(seed)
    warm = np.flatnonzero(model.warm.cpu().numpy())
    playing = rng.permutation(warm)[: round(SHARE * len(warm))]
    valid = split.valid
    known = np.flatnonzero(np.isin(split.interactions.items[valid.positions], warm))
    cases = valid.take(rng.permutation(known)[:CASES])
    cold = np.isin(np.arange(len(model.warm)), playing)
    wanted = cold[split.interactions.items[cases.positions]].mean() if len(cases) else 0.0
    if not model.scores_text or model.items.ids is None or wanted in (0.0, 1.0):
        model.cold_offset.fill_(0.0)
        return 0.0
    model.eval()
    offset = _offset(model, split, cases, cold, float(wanted), seen_filter)
    model.cold_offset.fill_(offset)
    return offset


def _offset(
    model: CausalLLM4Rec,
    split: Split,
    cases: Targets,
    cold: np.ndarray,
    wanted: float,
    seen_filter: bool,
) -> float:
    """Find by bisection the offset that gives the playing items their share of the lists.

    In a catalogue that is hardly longer than a list no offset does; then it is 0.
    """
    numbers = torch.from_numpy(np.flatnonzero(cold)).to(model.warm.device)
    matrix = model.matrix_without_ids(numbers)
    items = split.interactions.items
    seen = seen_items(items, cases.starts, cases.positions) if seen_filter else None
    users = encode_cases(model, items, cases, str(model.warm.device))
    sample = matrix[:: max(1, len(matrix) // SAMPLED)]
    spread = float((users[:256] @ sample.T).std())
    length = max(1, min(LIST_LENGTH, int(model.warm.sum()) // LIST_LENGTH))

    def share(offset: float) -> float:
        matrix[numbers, -1] = offset
        found = top_k(users, matrix, length, seen, model.warm)[0].cpu().numpy()
        return float(cold[found[found >= 0]].mean()) if (found >= 0).any() else wanted

    low, high = -10 * spread, 10 * spread
    if not share(low) < wanted < share(high):
        return 0.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < wanted else (low, middle)
    return (low + high) / 2
