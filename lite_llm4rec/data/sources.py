"""Named data sets: how to get, read and check each.

A data set comes from a data root, a folder that holds it ready made, or else from its publisher
by way of a cache. Nothing is redistributed with this package: see each source's licence.
"""

import html
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from lite_llm4rec.data.dataset import Candidates, Dataset
from lite_llm4rec.data.download import fetch
from lite_llm4rec.data.interactions import Duplicates, Interactions
from lite_llm4rec.data.readers import read_table
from lite_llm4rec.errors import DataError, DownloadError, nearest

ROOT_VARIABLE = "LITE_LLM4REC_DATA"
CACHE_VARIABLE = "LITE_LLM4REC_CACHE"

Tables = tuple[pa.Table, pa.Table]


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

    Warns when its counts are not the published ones.

    Parameters
    ----------
    name : str
        A key of `SOURCES`.
    root : path, optional
        A folder with `ml-1m/interactions.parquet`, `ml-1m/items.parquet` and so on; by default
        the environment variable LITE_LLM4REC_DATA.
    cache : path, optional
        Where fetched files are kept; by default the environment variable LITE_LLM4REC_CACHE, or
        `~/.cache/lite-llm4rec/data`.
    candidates : "interacted" or "catalogue"
        Which items can be recommended (protocol, rule 3).

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
            close if close.startswith("did") else "Choose one of these, or use your own tables.",
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
    return (interactions, items) if interactions.is_file() and items.is_file() else None


def _fetched(source: Source, cache: str | Path | None) -> list[Path]:
    """Fetch a source's files, unless the cache holds them."""
    folder = Path(cache or os.environ.get(CACHE_VARIABLE) or "~/.cache/lite-llm4rec/data")
    folder = folder.expanduser()
    try:
        return [fetch(url, folder / path) for url, path in source.files]
    except DownloadError as error:
        raise DownloadError(
            error.problem,
            f"{error.remedy} Or set {ROOT_VARIABLE} to a folder that holds"
            f" {' and '.join(source.root_files)}.",
        ) from error


def _read_ml_1m(paths: Sequence[Path]) -> Tables:
    with tempfile.TemporaryDirectory() as folder:
        ratings = read_table(_extract(paths[0], "ml-1m/ratings.dat", folder))
        return ratings, read_table(_extract(paths[0], "ml-1m/movies.dat", folder))


def _read_ml_1m_sasrec(paths: Sequence[Path]) -> Tables:
    """Give the SASRec file's users and items their MovieLens ids back."""
    archive, text, user_ids, item_ids = paths
    log = _read_plain(text, " ", ["user", "item"])
    table = pa.table(
        {
            "user_id": _original(log["user"], user_ids),
            "item_id": _original(log["item"], item_ids),
            "timestamp": _positions(log["user"]),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        return table, read_table(_extract(archive, "ml-1m/movies.dat", folder))


def _original(numbers: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    mapping = _read_plain(path, " ", ["number", "original"])
    places = pc.index_in(numbers, value_set=mapping["number"].combine_chunks())
    if places.null_count:
        number = numbers[pc.index(places.is_null(), True).as_py()].as_py()
        raise DataError(f"{path} has no line for number {number}.", _again(path))
    return mapping["original"].take(places)


def _positions(users: pa.ChunkedArray) -> pa.Array:
    """Number each user's rows 0, 1, …: the file is in time order but has no times."""
    codes = users.combine_chunks().dictionary_encode().indices.to_numpy()
    counts = np.bincount(codes)
    positions = np.empty(len(codes), np.int64)
    within = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    positions[np.argsort(codes, kind="stable")] = within
    return pa.array(positions)


# The flags that end each line of u.item. Source: the README of ML-100K, and its u.genre.
# fmt: off
ML_100K_GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
]
# fmt: on


def _read_ml_100k(paths: Sequence[Path]) -> Tables:
    columns = ["item_id", "title", "released", "video_released", "url", *ML_100K_GENRES]
    with tempfile.TemporaryDirectory() as folder:
        ratings = _read_plain(
            _extract(paths[0], "ml-100k/u.data", folder),
            "\t",
            ["user_id", "item_id", "rating", "timestamp"],
        )
        films = _read_plain(_extract(paths[0], "ml-100k/u.item", folder), "|", columns)
    flags = zip(*(films[genre].to_pylist() for genre in ML_100K_GENRES), strict=True)
    genres = [
        "|".join(genre for genre, flag in zip(ML_100K_GENRES, film, strict=True) if flag == "1")
        for film in flags
    ]
    year = pc.extract_regex(films["title"], r"\((?P<year>\d{4})\)")
    items = films.select(["item_id", "title"]).append_column("genres", pa.array(genres))
    return ratings, items.append_column("release_year", pc.struct_field(year, "year"))


def _read_amazon(paths: Sequence[Path]) -> Tables:
    """Read reviews and meta data; of the text, the columns that data roots have as well."""
    reviews, meta = read_table(paths[0]), read_table(paths[1])
    # Some titles of 2018 are pieces of a web page's script. Source: the notebook that the data's
    # page links, which recognises them by "getTime".
    script = pc.match_substring(meta["title"], "getTime").fill_null(False)
    items = {
        "asin": meta["asin"],
        "title": _unescaped(pc.if_else(script, None, meta["title"])),
        "categories": _unescaped(meta["categories"]),
    }
    return reviews, pa.table(items)


def _unescaped(column: pa.ChunkedArray) -> pa.Array:
    """Turn `&amp;` and its like into the characters they stand for."""
    return pa.array([text and html.unescape(text) for text in column.to_pylist()], pa.string())


def _extract(archive: Path, member: str, folder: str) -> Path:
    try:
        with ZipFile(archive) as file:
            return Path(file.extract(member, folder))
    except (BadZipFile, KeyError) as error:
        raise DataError(f"{archive} is no zip with {member} in it.", _again(archive)) from error


def _read_plain(path: Path, delimiter: str, names: list[str]) -> pa.Table:
    """Read a file without header or quotes, every column as strings."""
    try:
        return pa.csv.read_csv(
            path,
            read_options=pa.csv.ReadOptions(column_names=names, encoding="latin-1"),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, quote_char=False),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{path} cannot be read: {error}", _again(path)) from error


def _again(path: Path) -> str:
    return f"Delete {path} and {path.name}.sha256, and it is fetched again."


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
    " fewer than 10 interactions, again and again until none is left: our choice, so that the"
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
        read=_read_amazon,
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
        read=_read_amazon,
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
        read=_read_ml_1m,
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
        read=_read_ml_1m_sasrec,
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
        read=_read_ml_100k,
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
