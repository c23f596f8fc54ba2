"""Named data sets, from made-up files in the publishers' formats, and the real ones if at hand."""

import gzip
import io
import json
import os
import threading
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from lite_llm4rec.data import download, sources
from lite_llm4rec.data.dataset import Dataset
from lite_llm4rec.data.sources import SOURCES, Counts, check_counts, load
from lite_llm4rec.errors import DataError, DownloadError

REAL = os.environ.get("LITE_LLM4REC_DATA")
needs_real_data = pytest.mark.skipif(
    not REAL, reason="LITE_LLM4REC_DATA names no data root with the real data sets"
)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LITE_LLM4REC_DATA", raising=False)
    monkeypatch.setenv("LITE_LLM4REC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PAUSE", 0.0)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Serve a folder: (folder, URL)."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def publish(
    monkeypatch: pytest.MonkeyPatch,
    site: tuple[Path, str],
    name: str,
    contents: dict[str, bytes],
    counts: tuple[int, int, int],
) -> None:
    """Serve `contents` as the files of a data set, in the order of its source."""
    folder, url = site
    source = SOURCES[name]
    by_name = {Path(path).name: path for _, path in source.files}
    assert set(contents) == set(by_name)
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    files = tuple((f"{url}/{Path(path).name}", path) for _, path in source.files)
    monkeypatch.setitem(SOURCES, name, replace(source, files=files, published=Counts(*counts)))


def zipped(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text.encode("latin-1"))
    return buffer.getvalue()


def gzipped(lines: list[str]) -> bytes:
    return gzip.compress("".join(f"{line}\n" for line in lines).encode())


def histories(dataset: Dataset) -> dict[str, list[str]]:
    """Everything by its own id: {user: [item, …]}."""
    log = dataset.interactions
    ids = dataset.catalogue.ids.to_pylist()
    return {
        user: [ids[item] for item in log.history(number)]
        for number, user in enumerate(log.user_ids.to_pylist())
    }


ML_1M = zipped(
    {
        "ml-1m/ratings.dat": "1::20::5::978300760\n1::10::3::978300760\n2::10::4::978300100\n"
        "2::30::4::978300050\n2::20::1::978300200\n",
        "ml-1m/movies.dat": "10::Misérables, Les (1995)::Drama|Musical\n"
        "20::Jumanji (1995)::Adventure|Children's|Fantasy\n30::Heat (1995)::Action\n"
        "40::Unseen (2000)::Drama\n",
    }
)


def test_ml_1m(monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]) -> None:
    publish(monkeypatch, site, "ml-1m", {"ml-1m.zip": ML_1M}, (2, 3, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = load("ml-1m")
        everything = load("ml-1m", candidates="catalogue")
    assert dataset.name == "ml-1m" and dataset.interactions.time == "unix"
    assert histories(dataset) == {"1": ["20", "10"], "2": ["30", "10", "20"]}
    assert dataset.catalogue.titles() == ["Misérables, Les (1995)", "Jumanji (1995)", "Heat (1995)"]
    assert dataset.catalogue.fields.column_names == ["title", "genres"]
    assert len(everything.catalogue) == 4


def test_fetched_once(monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]) -> None:
    publish(monkeypatch, site, "ml-1m", {"ml-1m.zip": ML_1M}, (2, 3, 5))
    first = load("ml-1m")
    (site[0] / "ml-1m.zip").unlink()
    second = load("ml-1m")
    assert second.interactions.sequences_sha256 == first.interactions.sequences_sha256


def test_cache_argument(
    monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str], tmp_path: Path
) -> None:
    publish(monkeypatch, site, "ml-1m", {"ml-1m.zip": ML_1M}, (2, 3, 5))
    load("ml-1m", cache=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "ml-1m" / "ml-1m.zip").is_file()
    assert not (tmp_path / "cache").exists()


SASREC = {
    "ml-1m.zip": ML_1M,
    "ml-1m.txt": b"1 2\n1 3\n1 1\n2 2\n2 1\n",
    "sas_to_original_users.txt": b"1 2\n2 1\n",
    "sas_to_original_items.txt": b"1 20\n2 30\n3 10\n",
}


def test_ml_1m_sasrec(monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]) -> None:
    publish(monkeypatch, site, "ml-1m-sasrec", SASREC, (2, 3, 5))
    dataset = load("ml-1m-sasrec")
    assert histories(dataset) == {"2": ["30", "10", "20"], "1": ["30", "20"]}
    assert dataset.interactions.time == "order"
    assert "Heat (1995)" in dataset.catalogue.titles()


def test_sasrec_number_without_an_id(
    monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]
) -> None:
    contents = SASREC | {"sas_to_original_items.txt": b"1 20\n2 30\n"}
    publish(monkeypatch, site, "ml-1m-sasrec", contents, (2, 3, 5))
    with pytest.raises(DataError, match=r"sas_to_original_items\.txt has no line for number 3"):
        load("ml-1m-sasrec")


def u_item(number: int, title: str, released: str, *genres: int) -> str:
    flags = "|".join(str(int(place in genres)) for place in range(19))
    return f"{number}|{title}|{released}||http://us.imdb.com/x|{flags}\n"


def test_ml_100k(monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]) -> None:
    members = {
        "ml-100k/u.data": "7\t1\t3\t881250949\n7\t2\t4\t881250940\n8\t267\t1\t881250000\n",
        "ml-100k/u.item": u_item(1, "Toy Story (1995)", "01-Jan-1995", 3, 4, 5)
        + u_item(2, "Misérables, Les (1995)", "01-Jan-1995", 8)
        + u_item(267, "unknown", "", 0),
    }
    publish(monkeypatch, site, "ml-100k", {"ml-100k.zip": zipped(members)}, (2, 3, 3))
    dataset = load("ml-100k")
    assert histories(dataset) == {"7": ["2", "1"], "8": ["267"]}
    assert dataset.catalogue.records() == [
        {
            "title": "Toy Story (1995)",
            "genres": "Animation|Children's|Comedy",
            "release_year": "1995",
        },
        {"title": "Misérables, Les (1995)", "genres": "Drama", "release_year": "1995"},
        {"title": "unknown", "genres": "unknown", "release_year": None},
    ]


def reviews(pairs: list[tuple[str, str]]) -> bytes:
    return gzipped(
        [
            json.dumps(
                {"reviewerID": user, "asin": item, "overall": 5.0, "unixReviewTime": 1000 + row}
            )
            for row, (user, item) in enumerate(pairs)
        ]
    )


def complete(users: int, items: int) -> list[tuple[str, str]]:
    return [(f"U{user}", f"B{item}") for user in range(users) for item in range(items)]


def test_amazon_2014(monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]) -> None:
    meta = [{"asin": "B0", "title": "Tom's Blocks", "categories": [["Toys", "Blocks"], ["Gifts"]]}]
    meta += [{"asin": f"B{item}", "categories": [["Toys & Games"]]} for item in range(1, 5)]
    meta += [{"asin": "B9", "title": "Never bought", "brand": "Acme"}]
    contents = {
        "reviews_Toys_and_Games_5.json.gz": reviews(complete(5, 5)),
        "meta_Toys_and_Games.json.gz": gzipped([repr(record) for record in meta]),
    }
    publish(monkeypatch, site, "amazon-toys-2014", contents, (5, 5, 25))
    dataset = load("amazon-toys-2014")
    assert len(dataset.interactions) == 25
    assert dataset.catalogue.records()[:2] == [
        {"title": "Tom's Blocks", "categories": "Toys > Blocks ; Gifts"},
        {"title": None, "categories": "Toys & Games"},
    ]


def test_amazon_2018_takes_the_core_of_distinct_pairs(
    monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]
) -> None:
    # U10 has ten reviews but of nine items; without U10 every item still has ten users. U11 and
    # B11 hold each other up until the first round has gone.
    pairs = complete(10, 10)
    pairs += [("U10", f"B{item}") for item in (0, *range(9))]
    pairs += [("U11", "B11")] * 10
    pairs += [("U0", "B0")]
    meta = [{"category": ["Toys &amp; Games", "Dolls"], "title": "A &amp; B", "asin": "B0"}]
    meta += [{"category": [], "title": "var aPageStart = (new Date()).getTime();", "asin": "B1"}]
    contents = {
        "Toys_and_Games.json.gz": reviews(pairs),
        "meta_Toys_and_Games.json.gz": gzipped([json.dumps(record) for record in meta]),
    }
    publish(monkeypatch, site, "amazon-toys-2018", contents, (10, 10, 100))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "8 of the 10 items .* no text")
        dataset = load("amazon-toys-2018")
    expected = [f"B{item}" for item in range(10)]
    assert histories(dataset) == {f"U{user}": expected for user in range(10)}
    assert dataset.catalogue.records()[:3] == [
        {"title": "A & B", "categories": "Toys & Games > Dolls"},
        {"title": None, "categories": None},
        {"title": None, "categories": None},
    ]


def test_other_counts_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]
) -> None:
    publish(monkeypatch, site, "ml-1m", {"ml-1m.zip": ML_1M}, (2, 4, 7))
    with pytest.warns(UserWarning) as caught:
        dataset = load("ml-1m", candidates="catalogue")
    assert len(caught) == 1 and caught[0].filename == __file__
    text = str(caught[0].message)
    assert "ml-1m has 3 items here, not the 4 published." in text
    assert "ml-1m has 5 interactions here, not the 7 published." in text
    assert "users here" not in text
    assert "994,169 interactions: the published 1,000,209 less one per user" in text
    assert " ".join(check_counts("ml-1m", dataset.interactions)) == text


def write_root(root: Path, name: str) -> None:
    for file, table in zip(
        SOURCES[name].root_files,
        (
            pa.table({"user_id": ["u", "u"], "item_id": ["b", "a"], "timestamp": [0, 1]}),
            pa.table({"item_id": ["a", "b"], "title": ["A", "B"]}),
        ),
        strict=True,
    ):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        pa.parquet.write_table(table, root / file)


@pytest.mark.parametrize("by", ["argument", "variable"])
@pytest.mark.filterwarnings("ignore:ml-1m has")
def test_root_wins_over_download(
    monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str], tmp_path: Path, by: str
) -> None:
    publish(monkeypatch, site, "ml-1m", {"ml-1m.zip": ML_1M}, (1, 2, 2))
    write_root(tmp_path / "root", "ml-1m")
    if by == "variable":
        monkeypatch.setenv("LITE_LLM4REC_DATA", str(tmp_path / "root"))
    dataset = load("ml-1m", root=tmp_path / "root" if by == "argument" else None)
    assert histories(dataset) == {"u": ["b", "a"]}
    assert not (tmp_path / "cache").exists()


def test_root_without_it_falls_through(
    monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str], tmp_path: Path
) -> None:
    publish(monkeypatch, site, "ml-1m", {"ml-1m.zip": ML_1M}, (2, 3, 5))
    write_root(tmp_path / "root", "ml-100k")
    with pytest.warns(UserWarning, match=r"has no ml-1m/interactions\.parquet.*its publisher"):
        assert len(load("ml-1m", root=tmp_path / "root").interactions) == 5
    monkeypatch.setenv("LITE_LLM4REC_DATA", str(tmp_path / "root"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load("ml-1m")


def test_root_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        load("ml-1m", root=tmp_path / "mistyped")


def test_tables_are_as_published(
    monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str], tmp_path: Path
) -> None:
    publish(monkeypatch, site, "ml-1m", {"ml-1m.zip": ML_1M}, (2, 3, 5))
    interactions, items = sources.tables("ml-1m")
    assert (interactions.num_rows, items.num_rows) == (5, 4)
    write_root(tmp_path / "root", "ml-1m")
    interactions, items = sources.tables("ml-1m", tmp_path / "root")
    assert interactions.is_file() and items.is_file()


def test_unknown_name() -> None:
    with pytest.raises(DataError) as caught:
        load("ml-1n")
    assert all(name in caught.value.problem for name in SOURCES)
    assert caught.value.remedy == "did you mean 'ml-1m'?"


def test_no_network_says_both_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refused = (("http://127.0.0.1:9/ml-1m.zip", "ml-1m/ml-1m.zip"),)
    monkeypatch.setitem(SOURCES, "ml-1m", replace(SOURCES["ml-1m"], files=refused))
    with pytest.raises(DownloadError) as caught:
        load("ml-1m")
    assert f"put it at {tmp_path / 'cache' / 'data' / 'ml-1m' / 'ml-1m.zip'}" in caught.value.remedy
    assert "LITE_LLM4REC_DATA to a folder that holds ml-1m/interactions" in caught.value.remedy


@pytest.mark.parametrize("content", [b"<html>sign in</html>", zipped({"other.txt": ""})])
def test_not_the_zip_it_should_be(
    monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str], content: bytes
) -> None:
    publish(monkeypatch, site, "ml-1m", {"ml-1m.zip": content}, (2, 3, 5))
    with pytest.raises(DataError, match=r"no zip with ml-1m/ratings\.dat in it"):
        load("ml-1m")


def test_every_source_is_complete() -> None:
    for name, source in SOURCES.items():
        assert source.licence and source.notes and min(source.published) > 0
        assert all(url.startswith("https://") for url, _ in source.files), name
        assert len({path for _, path in source.files}) == len(source.files)


@needs_real_data
@pytest.mark.parametrize("name", ["ml-1m", "ml-1m-sasrec", "ml-100k", "amazon-toys-2014"])
def test_real_counts(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = load(name, root=REAL)
    log = dataset.interactions
    assert (log.n_users, log.n_items, len(log)) == tuple(SOURCES[name].published)
    assert len(dataset.catalogue) == log.n_items


@needs_real_data
def test_one_less_per_user_is_explained() -> None:
    log = load("ml-1m", root=REAL).interactions
    mask = np.ones(len(log), bool)
    mask[log.offsets[:-1]] = False
    differences = check_counts("ml-1m", log.keep(mask))
    assert "ml-1m has 994,169 interactions here, not the 1,000,209 published." in differences
    assert "Table 3 counts 994,169" in differences[-1]


@needs_real_data
def test_real_movies_file_in_its_own_format(
    monkeypatch: pytest.MonkeyPatch, site: tuple[Path, str]
) -> None:
    """The publisher's movies.dat gives the titles that the data root has."""
    movies = Path(REAL or "") / "ml-1m" / "raw" / "movies.dat"
    if not movies.is_file():
        pytest.skip("the data root has no ml-1m/raw/movies.dat")
    held = load("ml-1m", root=REAL, candidates="catalogue").catalogue
    members = {
        "ml-1m/ratings.dat": "1::1::5::978300760\n",
        "ml-1m/movies.dat": movies.read_bytes().decode("latin-1"),
    }
    publish(monkeypatch, site, "ml-1m", {"ml-1m.zip": zipped(members)}, (1, 1, 1))
    fetched = load("ml-1m", candidates="catalogue").catalogue
    assert fetched.ids.to_pylist() == held.ids.to_pylist()
    assert fetched.records() == held.records()
