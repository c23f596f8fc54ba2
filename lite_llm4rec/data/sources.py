"""Named data sets: how to get, read and check each.

A data set comes from a data root, a folder that holds it ready made, or else from its publisher
by way of a cache. Nothing is redistributed with this package: see each source's licence.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lite_llm4rec.data.dataset import Candidates, Dataset
from lite_llm4rec.data.download import fetch
from lite_llm4rec.data.interactions import Duplicates, Interactions
from lite_llm4rec.data.published_files import (
    Tables,
    read_amazon,
    read_ml_1m,
    read_ml_1m_sasrec,
    read_ml_100k,
)
from lite_llm4rec.errors import DataError, DownloadError, nearest
from lite_llm4rec.paths import cache_root

ROOT_VARIABLE = "LITE_LLM4REC_DATA"


class Counts(NamedTuple):
    """How large a data set is."""

    users: int
    items: int
    interactions: int


@dataclass(frozen=True)
class Source:
    """One named data set.

    Attributes
    ----------
    published : Counts
        The users, items that occur, and interactions it is known to have.
    root_files : (str, str)
        Its interactions and items in a data root, as Parquet.
    files : sequence of (URL, path in the cache)
        What is fetched when no root has it.
    read : callable
        Turns the fetched files, in their order, into the tables of interactions and of items.
    licence : str
        The terms, and whom to acknowledge.
    notes : str
        What to know before comparing numbers measured on it.
    core : int
        The k-core of users and items that is taken; 0 takes everything.
    duplicates : "keep", "first" or "last"
        What is done with repeated (user, item) pairs, before the core is taken.
    """

    published: Counts
    root_files: tuple[str, str]
    files: tuple[tuple[str, str], ...]
    read: Callable[[Sequence[Path]], Tables]
    licence: str
    notes: str
    core: int = 0
    duplicates: Duplicates = "keep"


def load(
    name: str,
    root: str | Path | None = None,
    cache: str | Path | None = None,
    *,
    candidates: Candidates = "interacted",
) -> Dataset:
    """Load a named data set, from a data root if that has it, else from its publisher.

    Warns when its counts are not the published ones, and where a root that is given lacks it.

    Parameters
    ----------
    name : str
        A key of `SOURCES`.
    root : path, optional
        A folder with `ml-1m/interactions.parquet`, `ml-1m/items.parquet` and so on; by default
        the environment variable LITE_LLM4REC_DATA.
    cache : path, optional
        Where fetched files are kept; by default the folder `data` of LITE_LLM4REC_CACHE, or
        `~/.cache/lite-llm4rec/data`.
    candidates : "interacted" or "catalogue"
        Which items can be recommended: those that occur in the log, or all of the items table.

    Raises
    ------
    DataError
        On an unknown name, a root that is no folder, or a file that cannot be read.
    DownloadError
        When a file cannot be fetched, or is not what it was when first fetched.
    """
    interactions, items = tables(name, root, cache)
    source = SOURCES[name]
    dataset = Dataset.from_tables(
        interactions,
        items,
        name=name,
        duplicates=source.duplicates,
        core=source.core,
        candidates=candidates,
    )
    differences = check_counts(name, dataset.interactions)
    if differences:
        warnings.warn(" ".join(differences), stacklevel=2)
    return dataset


def tables(
    name: str, root: str | Path | None = None, cache: str | Path | None = None
) -> tuple[Path, Path] | Tables:
    """Find or fetch the interactions and the items of a named data set, as they were published.

    What `load` goes on to do, removing repeated pairs and taking the core, is not done.

    Parameters
    ----------
    name, root, cache
        See `load`.

    Raises
    ------
    DataError, DownloadError
        See `load`.
    """
    if name not in SOURCES:
        close = nearest(name, SOURCES)
        raise DataError(
            f"There is no data set named '{name}'; there are {', '.join(SOURCES)}.",
            close
            if close.startswith("did")
            else "Choose one of these, or use your own tables: --interactions and --items; a folder"
            " that `prepare` made must be there.",
        )
    source = SOURCES[name]
    return _in_root(source, root) or source.read(_fetched(source, cache))


def check_counts(name: str, interactions: Interactions) -> list[str]:
    """Compare a log with the published counts of a data set.

    Returns
    -------
    list of str
        A sentence for each difference and then what is known about the data set; empty where
        there is no difference.
    """
    source = SOURCES[name]
    occurring = int(np.count_nonzero(interactions.item_counts()))
    found = Counts(interactions.n_users, occurring, len(interactions))
    differences = [
        f"{name} has {here:,} {what} here, not the {there:,} published."
        for what, here, there in zip(Counts._fields, found, source.published, strict=True)
        if here != there
    ]
    return [*differences, source.notes] if differences else []


def _in_root(source: Source, root: str | Path | None) -> tuple[Path, Path] | None:
    """Find a data set in the data root; None where there is no root or it lacks the data set."""
    given = root or os.environ.get(ROOT_VARIABLE)
    if not given:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise DataError(
            f"The data root {folder} is not a folder.",
            f"Correct root=… or the environment variable {ROOT_VARIABLE}, or unset it.",
        )
    interactions, items = (folder / name for name in source.root_files)
    if interactions.is_file() and items.is_file():
        return interactions, items
    if root:
        warnings.warn(
            f"{folder} has no {' and '.join(source.root_files)}; it comes from its publisher.",
            stacklevel=4,
        )
    return None


def _fetched(source: Source, cache: str | Path | None) -> list[Path]:
    """Fetch a source's files, unless the cache holds them."""
    folder = Path(cache).expanduser() if cache else cache_root() / "data"
    try:
        return [fetch(url, folder / path) for url, path in source.files]
    except DownloadError as error:
        raise DownloadError(
            error.problem,
            f"{error.remedy} Or set {ROOT_VARIABLE} to a folder that holds"
            f" {' and '.join(source.root_files)}.",
        ) from error


_MOVIELENS = (
    "Research use; no commercial use and no redistribution without permission. Acknowledge"
    " F. M. Harper and J. A. Konstan, The MovieLens Datasets, ACM TiiS 5(4):19, 2015."
)
_AMAZON_2014 = (
    "Research use; do not redistribute. Acknowledge R. He and J. McAuley, WWW 2016, and"
    " J. McAuley et al., SIGIR 2015."
)
_AMAZON_2018 = (
    "Research use; do not redistribute. Acknowledge J. Ni, J. Li and J. McAuley, EMNLP 2019."
)
_AMAZON_2014_NOTES = (
    "The publisher's 5-core file of 2014. Times are whole days; the order within a day is that of"
    " the file. It is not the data of the paper, which uses the files of 2018."
)
_AMAZON_2018_NOTES = (
    "The published counts are the paper's, which says only that it uses the 10-core. Here repeated"
    " (user, item) pairs are removed first, keeping the earliest, and then users and items with"
    " fewer than 10 interactions, until every user and item has enough: our choice, so that the"
    " counts may differ."
)
_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_ML_1M_ZIP = (f"{_GROUPLENS}/ml-1m.zip", "ml-1m/ml-1m.zip")
_GITHUB = "https://raw.githubusercontent.com"


def _amazon_2014(category: str, name: str, published: Counts) -> Source:
    base = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
    files = (f"reviews_{category}_5.json.gz", f"meta_{category}.json.gz")
    return Source(
        published=published,
        root_files=(f"{name}/interactions.parquet", f"{name}/items.parquet"),
        files=tuple((f"{base}/{file}", f"{name}/{file}") for file in files),
        read=read_amazon,
        licence=_AMAZON_2014,
        notes=_AMAZON_2014_NOTES,
        core=5,
    )


def _amazon_2018(category: str, name: str, published: Counts) -> Source:
    base = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"
    files = (f"categoryFiles/{category}.json.gz", f"metaFiles2/meta_{category}.json.gz")
    return Source(
        published=published,
        root_files=(f"{name}/interactions.parquet", f"{name}/items.parquet"),
        files=tuple((f"{base}/{file}", f"{name}/{Path(file).name}") for file in files),
        read=read_amazon,
        licence=_AMAZON_2018,
        notes=_AMAZON_2018_NOTES,
        core=10,
        duplicates="first",
    )


SOURCES: dict[str, Source] = {
    "ml-1m": Source(
        published=Counts(6_040, 3_706, 1_000_209),
        root_files=("ml-1m/interactions.parquet", "ml-1m/items.parquet"),
        files=(_ML_1M_ZIP,),
        read=read_ml_1m,
        licence=_MOVIELENS,
        notes=(
            "The paper's Table 3 counts 994,169 interactions: the published 1,000,209 less one per"
            " user. About a third of neighbours tie in time; fetched here they keep the file's"
            " order, a data root has an order of its own: compare sequences_sha256."
        ),
    ),
    "ml-1m-sasrec": Source(
        published=Counts(6_040, 3_416, 999_611),
        root_files=("ml-1m/interactions_sasrec5.parquet", "ml-1m/items.parquet"),
        files=(
            _ML_1M_ZIP,
            (f"{_GITHUB}/kang205/SASRec/master/data/ml-1m.txt", "ml-1m-sasrec/ml-1m.txt"),
            *(
                (f"{_GITHUB}/asash/ml1m-sas-mapping/main/{file}", f"ml-1m-sasrec/{file}")
                for file in ("sas_to_original_users.txt", "sas_to_original_items.txt")
            ),
        ),
        read=read_ml_1m_sasrec,
        licence=_MOVIELENS,
        notes=(
            "The cut (items with at least 5 interactions) and the order of ties that the SASRec"
            " repository published and most of the literature uses; the MovieLens ids are those"
            " recovered by asash/ml1m-sas-mapping. For 25.6 % of users the last item differs from"
            " a data root's ml-1m: never put the two in one column."
        ),
    ),
    "ml-100k": Source(
        published=Counts(943, 1_682, 100_000),
        root_files=("ml-100k/interactions.parquet", "ml-100k/items.parquet"),
        files=((f"{_GROUPLENS}/ml-100k.zip", "ml-100k/ml-100k.zip"),),
        read=read_ml_100k,
        licence=_MOVIELENS,
        notes=(
            "Time ties keep the file's order; the copy in a data root may have another:"
            " compare sequences_sha256."
        ),
    ),
    "amazon-toys-2014": _amazon_2014(
        "Toys_and_Games", "amazon-toys-2014", Counts(19_412, 11_924, 167_597)
    ),
    "amazon-beauty-2014": _amazon_2014(
        "Beauty", "amazon-beauty-2014", Counts(22_363, 12_101, 198_502)
    ),
    "amazon-toys-2018": _amazon_2018(
        "Toys_and_Games", "amazon-toys-2018", Counts(11_803, 8_569, 206_103)
    ),
    "amazon-movies-2018": _amazon_2018(
        "Movies_and_TV", "amazon-movies-2018", Counts(79_276, 29_946, 1_775_011)
    ),
}
