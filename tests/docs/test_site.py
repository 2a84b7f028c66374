"""The built documentation site: whole, linked, and complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from resgraph.cli import app
from resgraph.ops import OPS
from resgraph.ops.describe import describe
from resgraph.study.paper import TABLES
from tests.conftest import ROOT

typer_main = pytest.importorskip("typer.main")


class Page(HTMLParser):
    """A page's title, ids, links and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.title = ""
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.open = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open = tag
        given = {key: value or "" for key, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "src" in given:
            self.loads.append(given["src"])
        elif tag == "link" and given.get("rel") != "canonical":
            self.loads.append(given.get("href", ""))

    def handle_data(self, data: str) -> None:
        if self.open == "title":
            self.title += data


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def text(site: Path, name: str) -> str:
    return (site / name).read_text("utf-8")


def targets(page: Page) -> Iterator[tuple[str, Path, str]]:
    """Each link within the site as written, its file, its anchor."""
    for link in page.links:
        address, anchor = urldefrag(link)
        if "://" not in address and not address.startswith("mailto:"):
            file = (page.path.parent / unquote(address)) if address else page.path
            yield link, file.resolve(), unquote(anchor)


def test_every_page_has_a_title(pages: dict[Path, Page], site: Path) -> None:
    titles = {
        p: page.title.strip() for p, page in pages.items() if p.name != "404.html"
    }
    assert all(titles.values())
    assert len(set(titles.values())) == len(titles)
    assert len(titles) > 40


def test_no_link_is_broken(pages: dict[Path, Page], site: Path) -> None:
    """Raw HTML's included, which the strict build does not look at."""
    broken = [
        (page.path.name, link)
        for page in pages.values()
        if page.path.name != "404.html"
        for link, file, anchor in targets(page)
        if not file.exists()
        or (anchor and file.suffix == ".html" and anchor not in pages[file].ids)
    ]
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page], site: Path) -> None:
    loads = {load for page in pages.values() for load in page.loads}
    assert [load for load in loads if re.match(r"(\w+:)?//", load)] == []
    sheets = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:\w+:)?//[^)]*\)", sheets) == []


def test_ids_are_unique(pages: dict[Path, Page]) -> None:
    """Drawings bring their own, many on one page."""
    for page in pages.values():
        twice = {i for i in page.ids if page.ids.count(i) > 1}
        assert not {i for i in twice if not i.startswith("__")}, page.path.name


def test_the_gallery_has_every_unit_of_both_figures(site: Path) -> None:
    gallery = text(site, "gallery.html")
    for number, table in ((2, TABLES[0]), (4, TABLES[1])):
        for entry in table.entries:
            assert f'id="fig-{number}{entry.variant[0]}"' in gallery
            row = gallery.partition(f"<code>{entry.network}</code>")[2]
            assert str(entry.value) in row.partition("</tr>")[0]
    assert len(re.findall(r'id="fig-\d\w"', gallery)) == 11
    drawn = re.findall(r"<figure.*?</figure>", gallery, re.DOTALL)
    assert len(drawn) == 16
    assert all("<svg" in figure and "data-node=" in figure for figure in drawn)
    assert "<!-- drawing" not in gallery


def test_every_spec_has_a_page_with_its_drawings(site: Path) -> None:
    for spec in (ROOT / "specs").glob("*.yaml"):
        page = text(site, f"specs/{spec.stem}.html")
        assert "<svg" in page
        assert "<!-- drawings" not in page


@pytest.mark.parametrize("kind", OPS)
def test_the_op_reference_has(site: Path, kind: str) -> None:
    """Each op once, its attributes, and an example from a spec."""
    page = text(site, "ops.html")
    assert page.count(f'<h3 id="{kind}">') == 1
    section = page.partition(f'<h3 id="{kind}">')[2].partition("<h3")[0]
    for attribute in describe(OPS[kind])["attributes"]:
        assert f"<code>{attribute['name']}</code>" in section
    assert re.search(r"from \[.*\] to \[.*\]", section)


def test_the_command_reference_has_every_option(site: Path) -> None:
    page = text(site, "commands.html")
    for name, command in typer_main.get_command(app).commands.items():
        assert page.count(f'<h2 id="{name}">') == 1
        section = page.partition(f'<h2 id="{name}">')[2].partition("<h2")[0]
        assert f"resgraph {name}" in re.sub(r"<[^>]+>", "", section)
        assert "\\|" not in section
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                assert option in section or parameter.param_type_name == "argument"


def test_the_python_reference_has_signatures_and_words(site: Path) -> None:
    page = text(site, "python.html")
    for name in ("compiler.Compiler.graphs", "graph.Graph.total", "prove.prove"):
        assert f'id="resgraph.{name}"' in page
    assert "checked and with shapes" in page


def test_pages_are_plain_markdown_too() -> None:
    """A reader of the repository finds the file behind every link of `docs/`."""
    for page in (ROOT / "docs").glob("*.md"):
        prose = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
        for link in re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]+`", "``", prose)):
            address = urldefrag(link)[0]
            if address and "://" not in address:
                assert (page.parent / address).exists(), f"{page.name}: {link}"
