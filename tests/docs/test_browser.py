"""The built site in headless Chromium, opened from disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from resgraph.draw.theme import COLOURS


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(browser: Any, scheme: str) -> Iterator[Any]:
    """A reader's page; whatever it logs or asks of the network fails the test."""
    complaints: list[str] = []
    context = browser.new_context(color_scheme=scheme)
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


@pytest.mark.parametrize("scheme", ["light"])
def test_search_needs_no_server(page: Any, site: Path) -> None:
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("/")
    page.keyboard.type("exclusive gating")
    page.wait_for_selector(".md-search-result__link")
    links = page.locator(".md-search-result__link").evaluate_all(
        "links => links.map(link => link.href)"
    )
    assert any("gallery.html" in link for link in links)


def test_drawings_follow_the_theme(page: Any, site: Path, scheme: str) -> None:
    page.goto((site / "gallery.html").as_uri())
    first = page.locator("figure .weight rect").first
    fill = first.evaluate("box => getComputedStyle(box).fill")
    wanted = COLOURS["weight-fill"][scheme == "dark"]
    red, green, blue = bytes.fromhex(wanted.removeprefix("#"))
    assert fill == f"rgb({red}, {green}, {blue})"


@pytest.mark.parametrize("scheme", ["light"])
def test_a_phone_shows_it_without_scrolling_sideways(page: Any, site: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    for name in ("index", "gallery", "ops", "tutorial", "commands"):
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
