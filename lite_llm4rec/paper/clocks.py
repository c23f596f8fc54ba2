"""The paper's two clocks, and time against the length of the input and the size of the batch.

§3.2 counts all components; §5.3 from "inputting the data to the model" to "the final
recommendations". Table 5 here is from histories to lists, with the writing of prompts and the
reading of ids; here the parts are told apart, down to the model alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.split import Split, Targets, leave_one_out
from lite_llm4rec.item_vectors import catalogue_texts
from lite_llm4rec.models import GenerativeRec
from lite_llm4rec.models.generative import WORDS
from lite_llm4rec.models.id_text import Prompts
from lite_llm4rec.paper.cell import Bench, Cell
from lite_llm4rec.paper.cost import fresh_item_llm
from lite_llm4rec.paper.efficiency import (
    BATCH,
    BERT4REC,
    ENCODERS,
    GENERATIVE,
    LIST,
    LITE,
    NO_ATTRIBUTES,
    SHORT,
    WRITERS,
    Timed,
    batch_of,
    build,
    first_cases,
    lacks_attributes,
    read,
    recommend,
    turns,
)
from lite_llm4rec.paper.grid import Grid
from lite_llm4rec.paper.timing import clock, ratio, side_by_side, spread
from lite_llm4rec.text.encoder import encode_texts, load_tokenizer

Works = dict[tuple[str, str], Callable[[], object]]
(OURS,) = LITE
SYSTEMS = {
    **BERT4REC,
    "SASRec": Timed("sasrec/long", SHORT, t5=False),
    "S3-Rec": Timed("s3rec/long", SHORT, t5=False),
    "FDSA": Timed("fdsa/long", SHORT, t5=False),
    "LightLM": Timed("lightlm/t5-small"),
    **WRITERS,
    **ENCODERS,
    **LITE,
}
LENGTHS = (5, 10, 20, 40, 80)
SIZES = (1, 8, 32, 128, 512)
BEARABLE = 60.0  # seconds for one batch
SAMPLE = 256  # items
PREPARE, ITEMS, RANK, READ, ALL = (
    "writing prompts or padding",
    "encoding items",
    "model alone",
    "reading ids",
    "all components",
)


def time_clocks(cell: Cell, bench: Bench) -> None:
    """Time every component of every system side by side, and sum them to the two clocks."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    grid, works = Grid(), Works()
    for name, timed in SYSTEMS.items():
        if lacks_attributes(timed, dataset, bench.t5):
            grid.leave_out(name, None, NO_ATTRIBUTES)
            continue
        model = build(timed, dataset, split, bench.t5).to(bench.device)
        parts = _components(model, dataset, split, bench.device)
        works |= {(name, part): work for part, work in parts.items()}
    sample = min(SAMPLE, len(dataset.catalogue))
    works[OURS, ITEMS] = _encoding(dataset, sample, bench)
    seconds = side_by_side(works, turns(bench.device), bench.device)
    share = len(dataset.catalogue) / sample * BATCH / len(split.test)
    seconds[OURS, ITEMS] = [share * value for value in seconds[OURS, ITEMS]]
    _put_clocks(grid, seconds)
    remark = (
        f"{OURS} encodes each item once, off-line: its share here is that of a batch in one pass"
        f" over all test users, from {sample} items drawn. Beam searches are held to ids of the"
        " catalogue; words that were tokenised before are remembered."
    )
    unit = f"ms per batch of {BATCH} users, and ratios to {OURS}"
    grid.write(cell, bench, corner="system", unit=unit, remark=remark)


def time_beams(cell: Cell, bench: Bench) -> None:
    """Time P5 and POD with the encoder run once and once per beam, held to ids and free."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    grid, works = Grid(), Works()
    for name, preset in GENERATIVE.items():
        held, free = (
            build(timed, dataset, split, bench.t5).to(bench.device)
            for timed in (WRITERS[name], Timed(preset))
        )
        batch = batch_of(split, first_cases(split), held.history_length, bench.device)
        written = held.prompts_of(*batch)
        works[name, "encoder, once"] = partial(held.encode, written)
        works[name, "encoder, per beam"] = partial(held.encode, _per_beam(written))
        with torch.no_grad():
            states = held.encode(written)
        works[name, "search, held to ids"] = partial(held.search, *states, LIST)
        works[name, "search, free"] = partial(free.search, *states, LIST)
        longest = held.catalogue().mask.shape[1]
        grid.put(name, "tokens at most, held", longest)
        grid.put(name, "tokens at most, free", max(longest, free.config.max_target_tokens))
    seconds = side_by_side(works, turns(bench.device), bench.device)
    for (name, part), values in seconds.items():
        grid.put(name, part, spread(_milliseconds(values)))
    for name in GENERATIVE:
        for part in ("held to ids", "free"):
            search = seconds[name, f"search, {part}"]
            once, again = (
                [sum(pair) for pair in zip(seconds[name, encoder], search, strict=True)]
                for encoder in ("encoder, once", "encoder, per beam")
            )
            grid.put(name, f"per beam ÷ once, {part}", ratio(again, once))
    remark = (
        "The sources repeat each prompt before the encoder, which then runs once per beam;"
        " transformers repeats what the encoder gave. Weights are drawn anew, so a free search"
        " runs to its limit, where a trained model ends its ids itself."
    )
    unit = f"ms per batch of {BATCH} users"
    grid.write(cell, bench, corner="beam search", unit=unit, remark=remark)


def time_lengths(name: str, cell: Cell, bench: Bench) -> None:
    """Time one system on histories of several lengths, the users' latest items."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    timed = {**WRITERS, **LITE}[name]
    longest = (*timed.settings, f"model.history_length={LENGTHS[-1]}")
    model = build(replace(timed, settings=longest), dataset, split, bench.t5).to(bench.device)
    cases = _longest_cases(split)
    known = int((cases.positions - cases.starts).min())
    grid = Grid()

    def prepare(length: int) -> Works:
        batch = batch_of(split, cases, length, bench.device)
        if isinstance(model, GenerativeRec):
            return _searches(name, length, model, batch, grid)
        return {(f"{name}, {RANK}", str(length)): partial(recommend, model, batch)}

    for length in LENGTHS:
        if length > known:
            grid.leave_out(name, length, f"no {BATCH} users with more than {known} items")
    lengths = [length for length in LENGTHS if length <= known]
    works = _bearable(name, lengths, prepare, grid, bench.device)
    _put_times(grid, works, bench.device)
    unit = f"ms per batch of {BATCH} users, those with the longest histories"
    grid.write(cell, bench, corner="items of the history", unit=unit)


def time_batches(cell: Cell, bench: Bench) -> None:
    """Time batches of several sizes side by side; what would take too long is left out."""
    dataset = bench.dataset(cell.data)
    split = leave_one_out(dataset.interactions)
    grid, works = Grid(), Works()
    for name, timed in {**BERT4REC, **LITE, **WRITERS}.items():
        model = build(timed, dataset, split, bench.t5).to(bench.device)

        def prepare(size: int, name: str = name, model: Any = model) -> Works:
            cases = first_cases(split, size)
            batch = batch_of(split, cases, model.history_length, bench.device)
            return {(name, str(size)): partial(recommend, model, batch)}

        works |= _bearable(name, SIZES, prepare, grid, bench.device)
    _put_times(grid, works, bench.device)
    grid.write(cell, bench, corner="users in a batch", unit="ms per batch")


def _bearable(
    name: str, sizes: Sequence[int], prepare: Callable[[int], Works], grid: Grid, device: str
) -> Works:
    """Run ever larger inputs once, up to what would take too long or finds no memory."""
    kept, taken, before, stopped = Works(), 0.0, 1, ""
    for size in sizes:
        if taken * size / before > BEARABLE:
            stopped = stopped or f"more than {BEARABLE:.0f} s a batch"
        if not stopped:
            try:
                works = prepare(size)
                taken, before = sum(clock(work, device) for work in works.values()), size
                kept |= works
            except torch.OutOfMemoryError:
                stopped = "out of memory"
        if stopped:
            grid.leave_out(name, size, stopped)
    return kept


def _put_times(grid: Grid, works: Works, device: str) -> None:
    """Time what has run before, side by side."""
    for (row, column), values in side_by_side(works, turns(device), device, warm=True).items():
        grid.put(row, column, spread(_milliseconds(values)))


def _components(
    model: Any, dataset: Dataset, split: Split, device: str
) -> dict[str, Callable[[], object]]:
    """Cut the way from the log to the callers' ids into what is timed."""
    cases = first_cases(split)
    if isinstance(model, GenerativeRec):
        return _writing(model, dataset, split, cases)
    prepare = partial(batch_of, split, cases, model.history_length, device)
    batch = prepare()
    return {
        PREPARE: prepare,
        RANK: partial(recommend, model, batch),
        READ: partial(_callers_ids, dataset, recommend(model, batch)),
    }


def _writing(
    model: GenerativeRec, dataset: Dataset, split: Split, cases: Targets
) -> dict[str, Callable[[], object]]:
    """Do the same for a system that writes ids."""

    def prepare() -> Prompts:
        return model.prompts_of(*batch_of(split, cases, model.history_length, "cpu"))

    prompts = prepare()

    def search() -> tuple[torch.Tensor, torch.Tensor]:
        return model.search(*model.encode(prompts), LIST)

    with torch.no_grad():
        found = search()
    return {
        PREPARE: prepare,
        RANK: search,
        READ: lambda: _callers_ids(dataset, read(model, *found)),
    }


def _put_clocks(grid: Grid, seconds: dict[tuple[str, str], list[float]]) -> None:
    wholes = {}
    for name in dict.fromkeys(name for name, _ in seconds):
        parts = [part for part in (PREPARE, ITEMS, RANK, READ) if (name, part) in seconds]
        turn_by_turn = zip(*(seconds[name, part] for part in parts), strict=True)
        wholes[name] = [sum(turn) for turn in turn_by_turn]
        for part in parts:
            grid.put(name, part, spread(_milliseconds(seconds[name, part])))
        grid.put(name, ALL, spread(_milliseconds(wholes[name])))
    for name, whole in wholes.items():
        grid.put(name, f"{RANK}, ratio", ratio(seconds[name, RANK], seconds[OURS, RANK]))
        grid.put(name, f"{ALL}, ratio", ratio(whole, wholes[OURS]))


def _encoding(dataset: Dataset, sample: int, bench: Bench) -> Callable[[], object]:
    """Encode some items' texts with an Item LLM of T5-small's shape."""
    drawn = np.random.default_rng(0).permutation(len(dataset.catalogue))[:sample]
    text = LITE[OURS].load(bench.t5).text
    texts = catalogue_texts(dataset.catalogue.take(drawn), text)
    return partial(
        encode_texts,
        fresh_item_llm(bench.t5),
        load_tokenizer(bench.t5),
        texts,
        max_tokens=text.max_tokens,
        device=bench.device,
        progress=False,
    )


def _searches(name: str, length: int, model: GenerativeRec, batch: Any, grid: Grid) -> Works:
    """Encode and search one batch, unless its prompts are longer than T5 was made for."""
    prompts = model.prompts_of(*batch)
    with torch.no_grad():
        states = model.encode(prompts)
    tokens = states[0].shape[1]
    if tokens > WORDS:
        grid.leave_out(name, length, f"{tokens} tokens, T5 was made for {WORDS}")
        return {}
    grid.put(f"{name}, tokens", str(length), tokens)
    return {
        (f"{name}, encoder", str(length)): partial(model.encode, prompts),
        (f"{name}, beam search", str(length)): partial(model.search, *states, LIST),
    }


def _longest_cases(split: Split) -> Targets:
    """Take the test users with the longest histories."""
    lengths = split.test.positions - split.test.starts
    order = np.argsort(-lengths, kind="stable")
    return split.test.take(np.resize(order[:BATCH], BATCH))


def _per_beam(prompts: Prompts) -> Prompts:
    """Repeat each prompt for each beam."""
    return Prompts(
        *(part.repeat_interleave(LIST, 0) for part in (prompts.tokens, prompts.words, prompts.mask))
    )


def _callers_ids(dataset: Dataset, items: torch.Tensor) -> object:
    """Translate a list's items, of which some are none, into the callers' ids."""
    return dataset.catalogue.ids.take(pa.array(items.clamp(min=0).flatten().cpu().numpy()))


def _milliseconds(seconds: Sequence[float]) -> list[float]:
    return [1000 * value for value in seconds]
