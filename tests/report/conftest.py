"""Pages on disk, opened in headless Chromium; whatever they log or ask for fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resgraph.report import Report, of_spec
from tests.conftest import ROOT

Open = Callable[..., Any]
DEEP = ROOT / "specs" / "preact_bottleneck.yaml"


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open a report's page: `opened(report, color_scheme="dark")`."""
    complaints: list[str] = []
    contexts = []

    def open_page(report: Report, fragment: str = "", **options: Any) -> Any:
        path = tmp_path / f"report{len(contexts)}.html"
        report.write(path)
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(5000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        own = path.as_uri()
        page.on(
            "request",
            lambda r: None if r.url.startswith(own) else complaints.append(r.url),
        )
        page.goto(own + fragment)
        page.wait_for_selector("html[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def serious_faults(page: Any, rules: list[str] | None = None) -> list[str]:
    """What axe finds that is serious or critical, by all of its rules or by these."""
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="needs axe")
    options = {} if rules is None else {"runOnly": {"type": "rule", "values": rules}}
    found = axe.Axe().run(page, options=options)["violations"]
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:120]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]


@pytest.fixture(scope="session")
def deep() -> Report:
    return of_spec(DEEP, "resnet1001")


def row(page: Any, name: str) -> Any:
    """The row of the graph that begins with the words."""
    return page.locator("#graph button", has_text=name)


def details(page: Any) -> str:
    text = page.locator("#details").inner_text()
    assert isinstance(text, str)
    return text
