"""The built site in headless Chromium, opened from disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as running:
        try:
            found = running.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox"]
            )
        except sync_api.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page on a dark desk; whatever it logs or asks of the network fails the test."""
    complaints: list[str] = []
    context = browser.new_context(color_scheme="dark")
    opened = context.new_page()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    local = ("file:", "data:", "blob:")
    opened.on(
        "request",
        lambda r: None if r.url.startswith(local) else complaints.append(r.url),
    )
    yield opened
    context.close()
    assert complaints == []


def test_search_needs_no_server(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("exclusive gating")
    page.wait_for_selector(".md-search-result__link")
    links = page.locator(".md-search-result__link").evaluate_all(
        "links => links.map(link => link.href)"
    )
    assert any("gallery.html" in link for link in links)


def test_drawings_follow_the_theme(page: Any, site: Path) -> None:
    fills = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.goto((site / "gallery.html").as_uri())
        first = page.locator("figure .weight rect").first
        fills.add(first.evaluate("box => getComputedStyle(box).fill"))
    assert len(fills) == 2


@pytest.mark.parametrize("name", ["index", "gallery", "ops", "tutorial", "commands"])
def test_a_phone_shows_it_without_scrolling_sideways(
    page: Any, site: Path, name: str
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto((site / f"{name}.html").as_uri())
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
