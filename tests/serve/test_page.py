"""The page in a real browser: typed, clicked, and used by keyboard alone."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lite_llm4rec.recommender import Recommender

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((path for path in map(shutil.which, NAMES) if path), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]


@pytest.fixture
def address(run_folder: Path, tmp_path: Path) -> Iterator[str]:
    """Serve the run in a process of its own."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "lite_llm4rec", "serve", run_folder, "--port", str(port)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen([*command, "--state", tmp_path / "state"], stdout=log, stderr=log)
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


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 375, "height": 800})  # a phone's
        mistakes: list[str] = []
        opened.on("pageerror", lambda error: mistakes.append(str(error)))
        opened.on("request", lambda request: mistakes.extend(
            [] if request.url.startswith((address, "data:")) else [request.url]))  # fmt: skip
        opened.goto(address)
        opened.wait_for_selector("#list li")
        yield opened
        assert mistakes == []  # no error, and nothing asked of the internet
        browser.close()


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
