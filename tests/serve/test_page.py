"""The page in headless Chromium, served by the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load_serve import Server, served
from resgraph.infer import Classifier
from tests.infer.common import METADATA, model, noise

DROP = """([bytes, name]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    const event = new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true});
    document.getElementById("drop").dispatchEvent(event);
  }
}"""
HOSTILE = "<img src=x onerror=document.title='broken'>"


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Any]:
    """The open page; whatever it logs or asks of others fails the test."""
    complaints: list[str] = []
    context = browser.new_context(color_scheme="dark")
    opened = context.new_page()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    own = f"http://{server.host}:{server.port}/"
    opened.on(
        "request",
        lambda r: (
            None
            if r.url.startswith((own, "blob:", "data:"))
            else complaints.append(r.url)
        ),
    )
    opened.goto(own)
    yield opened
    context.close()
    assert [c for c in complaints if "status of 415" not in c] == []


def test_a_dropped_picture(
    page: Any, classifier: Classifier, pictures: list[bytes]
) -> None:
    page.evaluate(DROP, [list(pictures[0]), "picture.png"])
    page.wait_for_selector("#results figure")
    shown = page.locator("#results th").all_inner_texts()
    best = classifier.top_k(noise(1))[0]
    assert shown == [p.label for p in best]
    shares = page.locator("#results td.share").all_inner_texts()
    assert shares == [f"{100 * p.probability:.1f} %" for p in best]
    assert best[0].label in page.locator("#status").inner_text()
    assert page.locator("#results img").get_attribute("alt") == "picture.png"
    page.wait_for_function("document.querySelector('#results img').naturalWidth > 0")


def test_the_keyboard_is_enough(
    page: Any, tmp_path: Path, pictures: list[bytes]
) -> None:
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    for file, picture in zip(files, pictures, strict=False):
        file.write_bytes(picture)
    page.on("filechooser", lambda chooser: chooser.set_files(files))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Enter")
    page.wait_for_selector("#results figure:nth-child(2)")
    captions = page.locator("#results figcaption p").all_inner_texts()
    assert captions == ["one.png", "two.png"]


def test_what_is_no_picture_is_told(page: Any) -> None:
    page.evaluate(DROP, [list(b"hello"), HOSTILE])
    page.wait_for_selector("#status.bad")
    assert "is no picture of a known kind" in page.locator("#status").inner_text()
    assert page.locator("#status img").count() == 0
    assert page.title() == "resgraph: classify a picture"


def test_light_and_dark(page: Any) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


def test_names_are_text(browser: Any, tmp_path: Path, pictures: list[bytes]) -> None:
    names = f'["{HOSTILE}", "b", "c", "d"]'
    path = model(tmp_path, METADATA | {"resgraph.classes": names})
    with served(path, "--device", "cpu", "--threads", "1") as running:
        page = browser.new_page()
        page.goto(f"http://{running.host}:{running.port}/")
        page.evaluate(DROP, [list(pictures[0]), HOSTILE])
        page.wait_for_selector("#results figure")
        assert HOSTILE in page.locator("#results th").all_inner_texts()
        assert page.locator("#results img").count() == 1
        assert page.title() == "resgraph: classify a picture"
        page.close()
