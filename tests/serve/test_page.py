"""The page in a real browser: typed, clicked, and used by keyboard alone."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lite_llm4rec.recommender import Recommender
from tests.serve.conftest import served_run

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]


@contextmanager
def served(run_folder: Path, tmp_path: Path, **environment: str) -> Iterator[str]:
    """Serve a run in a process of its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "lite_llm4rec", "serve", run_folder, "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--state", tmp_path / "state"], stdout=log, stderr=log,
            env={**os.environ, **environment},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/health/ready", tmp_path / "log")
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(url: str, log: Path) -> None:
    until = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(url)
            return
        except OSError:
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.2)


@contextmanager
def browsing(address: str) -> Iterator[Any]:
    """Open the page."""
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 375, "height": 800})  # a phone's
        mistakes: list[str] = []
        opened.on("pageerror", lambda error: mistakes.append(str(error)))
        opened.on("request", lambda request: mistakes.extend(
            [] if request.url.startswith((address, "data:")) else [request.url]))  # fmt: skip
        opened.goto(address)
        yield opened
        assert mistakes == []  # no error, and nothing asked of the internet
        browser.close()


@pytest.fixture
def address(run_folder: Path, tmp_path: Path) -> Iterator[str]:
    with served(run_folder, tmp_path) as url:
        yield url


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    with browsing(address) as opened:
        opened.wait_for_selector("#list li")
        yield opened


def pick(page: Any, title: str) -> None:
    """Search a title and take the first that is found, by keyboard."""
    page.focus("#search")
    page.keyboard.type(title)
    page.wait_for_selector("#found li[aria-selected=true]")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#history li:last-child span")).to_have_text(title)


def shows(page: Any, titles: list[str]) -> None:
    """See that the list becomes this one."""
    playwright.expect(page.locator("#list .title")).to_have_text(titles)


def test_a_history_is_built_and_explained(page: Any, expected: Recommender):
    pick(page, "Thing i03")
    pick(page, "Thing i04")
    wanted = expected.recommend([["i03", "i04"]], k=12)
    shows(page, wanted.titles[0])
    assert page.locator("#latency").inner_text().endswith("ms")
    page.locator("#list button").first.click()
    page.wait_for_selector("#item:not([hidden])")
    assert page.locator("#item-title").inner_text() == wanted.titles[0][0]
    assert page.locator("#why tbody tr").count() == 2
    near = expected.similar_items([wanted.ids[0][0]], k=8)
    assert page.locator("#by-text li").all_inner_texts() == near.titles[0]
    page.locator("#by-text button").first.click()  # what is near can be looked at, and taken
    playwright.expect(page.locator("#item-title")).to_have_text(near.titles[0][0])
    page.get_by_role("button", name="Add to the history").click()
    playwright.expect(page.locator("#history li:last-child span")).to_have_text(near.titles[0][0])
    page.locator("#history li:last-child button").click()
    page.get_by_role("button", name="Remove Thing i03").click()
    shows(page, expected.recommend([["i04"]], k=12).titles[0])
    assert page.evaluate("document.documentElement.scrollWidth") <= 375  # nothing sticks out


def test_an_item_of_ones_own(page: Any, address: str):
    page.get_by_text("Add an item of your own").click()
    page.get_by_label("Id").fill("mine")
    page.get_by_label("title", exact=True).fill("Thing i03 again")
    page.get_by_role("button", name="Add it").click()
    playwright.expect(page.locator("#landed")).to_contain_text("of 21")
    found = json.load(urllib.request.urlopen(f"{address}/items/mine"))
    assert found["title"] == "Thing i03 again"
    page.get_by_label("title", exact=True).fill("Thing without an id")
    page.get_by_role("button", name="Add it").click()
    playwright.expect(page.locator("#landed")).to_contain_text("of 22")
    page.get_by_label("Id").fill("mine")
    page.get_by_label("title", exact=True).fill("Something else")
    page.get_by_role("button", name="Add it").click()
    page.wait_for_selector("#problem:not([hidden])")
    assert "mine" in page.locator("#problem").inner_text()


def test_what_fails_leaves_what_is_shown(page: Any, expected: Recommender):
    pick(page, "Thing i03")
    shows(page, expected.recommend([["i03"]], k=12).titles[0])
    first = page.locator("#list button").first
    first.click()
    title = first.locator(".title").inner_text()
    playwright.expect(page.locator("#item-title")).to_have_text(title)
    away = {"status": 502, "content_type": "text/plain", "body": "Bad gateway"}
    page.route("**/explain", lambda route: route.fulfill(**away))
    page.locator("#list button").nth(1).click()
    playwright.expect(page.locator("#problem")).to_have_text("HTTP 502")
    assert page.locator("#item-title").inner_text() == title
    assert first.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Add to the history").click()
    playwright.expect(page.locator("#history li:last-child span")).to_have_text(title)


def test_removing_by_keyboard_goes_on_with_the_next(page: Any):
    for title in ("Thing i03", "Thing i04", "Thing i05"):
        pick(page, title)
    page.get_by_role("button", name="Remove Thing i04").focus()
    for label in ("Remove Thing i05", "Remove Thing i03", None):
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == label
    assert page.evaluate("document.activeElement.id") == "search"


def test_where_nothing_is_found_a_screen_reader_is_told(page: Any):
    search, said = page.locator("#search"), page.get_by_role("status")
    search.press_sequentially("Thing")
    page.wait_for_selector("#found li[aria-selected=true]")
    assert search.get_attribute("aria-activedescendant") == "found-0"
    page.route("**/search?*", lambda route: route.fulfill(json={"items": []}))
    search.press_sequentially("s")
    playwright.expect(said).to_have_text("Nothing found.")
    assert search.get_attribute("aria-activedescendant") is None
    assert search.get_attribute("aria-expanded") == "false"
    assert page.locator("#found").is_hidden()
    search.press("Escape")
    playwright.expect(said).to_have_text("")


def luminance(color: str) -> float:
    """Of "rgb(r, g, b)", as WCAG defines it."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (int(number) / 255 for number in color[4:-1].split(", "))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fields_and_buttons_stand_out(page: Any, scheme: str):
    page.emulate_media(color_scheme=scheme)
    style = "getComputedStyle(document.querySelector('{}')).{}"
    paper = luminance(page.evaluate(style.format("body", "backgroundColor")))
    for one in ("#search", "#clear"):
        edge = luminance(page.evaluate(style.format(one, "borderTopColor")))
        assert (max(edge, paper) + 0.05) / (min(edge, paper) + 0.05) >= 3, one


def test_ids_that_are_too_large_for_javascript(text_model: Path, tmp_path: Path):
    run = served_run(text_model)
    ids = pa.array(range(2**53 + 1, 2**53 + 21), pa.int64())
    run.catalogue = replace(run.catalogue, ids=ids)
    with served(run.save(tmp_path / "large"), tmp_path) as url, browsing(url) as page:
        page.wait_for_selector("#list li")
        for place, typed in enumerate(["", "007", "9007199254740999999"], 21):
            page.locator("#own").evaluate("own => { own.open = true; }")
            page.get_by_label("Id").fill(typed)
            page.get_by_label("title", exact=True).fill(f"Thing {place}")
            page.get_by_role("button", name="Add it").click()
            playwright.expect(page.locator("#landed")).to_have_text(
                re.compile(rf"at place \d+ of {place}\.$")
            )
        for whole in ("7", "9007199254740999999"):
            assert json.load(urllib.request.urlopen(f"{url}/items/{whole}"))["retired"] is False


def test_a_key_is_sent_as_it_is(run_folder: Path, tmp_path: Path):
    key = 'signs-of-all-kinds:%20"<>[]^`{|}~'
    with (
        served(run_folder, tmp_path, LITE_LLM4REC_API_KEYS=key) as url,
        browsing(url) as page,
    ):
        for given in ("schlüssel-von-guter-länge", key):
            page.wait_for_selector("#key:not([hidden])")
            page.get_by_label("API key").fill(given)
            page.get_by_role("button", name="Use it").click()
            if given != key:
                playwright.expect(page.locator("#problem")).to_contain_text("ASCII")
        page.wait_for_selector("#list li")
