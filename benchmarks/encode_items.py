"""Texts per second of `encode_texts` against a plain loop in table order, both in one run."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lite_llm4rec.records import write_benchmark
from lite_llm4rec.text.encoder import ItemLLM, encode_texts, load_tokenizer, tokenize
from lite_llm4rec.text.resolve import MINILM

RESULT = Path(__file__).parents[1] / "results" / "benchmarks" / "encode_items.json"
MAX_TOKENS = 64
BATCH_TOKENS = 2048
WORDS = ["red", "wooden", "toy", "story", "card", "game", "children", "drama", "space", "night"]


def made_up_texts(n: int, seed: int) -> list[str]:
    """Distinct titles of 1 to 60 words, most of them short, as in a real catalogue."""
    drawn = np.random.default_rng(seed)
    lengths = np.clip(drawn.lognormal(2.2, 0.8, n), 1, 60).astype(int)
    return [
        f"{number} {' '.join(drawn.choice(WORDS, length))}" for number, length in enumerate(lengths)
    ]


@torch.no_grad()
def plain_loop(llm: ItemLLM, tokenizer: Any, texts: Sequence[str], batch: int) -> Any:
    """Encode in table order, each batch padded to its own longest text."""
    parts = [
        llm(*tokenize(tokenizer, texts[start : start + batch], MAX_TOKENS)).numpy()
        for start in range(0, len(texts), batch)
    ]
    return np.concatenate(parts)


def alternate(rivals: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Time the rivals in turn, after one warm-up each, so that a busy machine slows both."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(repeats + 1):
        for name, run in rivals.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def count_batches(llm: ItemLLM, run: Callable[[], Any]) -> int:
    calls: list[int] = []
    hook = llm.register_forward_pre_hook(lambda *_: calls.append(1))
    run()
    hook.remove()
    return len(calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()

    texts = made_up_texts(options.texts, options.seed)
    llm, tokenizer = ItemLLM.load(MINILM), load_tokenizer(MINILM)

    def ours() -> Any:
        return encode_texts(
            llm, tokenizer, texts, max_tokens=MAX_TOKENS, batch_tokens=BATCH_TOKENS, progress=False
        )

    # The plain loop gets as many batches as ours makes, so that only order and padding differ.
    n_batches = count_batches(llm, ours)
    batch = -(-len(texts) // n_batches)

    def plain() -> Any:
        return plain_loop(llm, tokenizer, texts, batch)

    difference = float(np.abs(ours() - plain()).max())
    seconds = alternate({"encode_texts": ours, "plain_loop": plain}, options.repeats)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(
        write_benchmark(
            options.out,
            f"encoding {len(texts)} texts of mixed length with MiniLM: seconds of a plain unsorted"
            " loop ÷ ours",
            medians["plain_loop"] / medians["encode_texts"],
            {
                "model": MINILM,
                "texts": len(texts),
                "seed": options.seed,
                "max_tokens": MAX_TOKENS,
                "batch_tokens": BATCH_TOKENS,
                "batches": n_batches,
                "largest_difference": difference,
                "seconds": seconds,
                "texts_per_second": {name: len(texts) / median for name, median in medians.items()},
            },
        )
    )


if __name__ == "__main__":
    main()
