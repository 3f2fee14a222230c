"""A browser, for tests of the page. Skipped where playwright or the browser is missing: apt-get install chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser):
    """Opens a page at an address; the test fails if the page says anything on its console or reaches elsewhere."""
    said, asked, opened = [], [], []

    def opening(address: str, **how: Any) -> Any:
        page = browser.new_page(accept_downloads=True, **how)
        page.set_default_timeout(20_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        opened.append((page, address))
        return page

    yield opening
    assert not [text for text in said if "the server responded with a status of 4" not in text]
    for page, address in opened:
        assert all(url.startswith((address, "data:", "blob:")) for url in asked)
        page.close()
