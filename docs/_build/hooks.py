"""What MkDocs calls while it builds the site: pages from the repository and from the code.

A page of `docs/` that ends in `<!-- made by: NAME -->` is completed by `NAME`'s `page`
function; read as plain Markdown it says where else the same is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import bounds
import commands
import findings
import gallery
import ops
import recipes
import repository
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from resgraph.draw.theme import COLOURS

MADE: dict[str, Callable[[], str]] = {
    "bounds": bounds.page,
    "commands": commands.page,
    "findings": findings.page,
    "gallery": gallery.page,
    "ops": ops.page,
    "recipes": recipes.page,
}
LINE = re.compile(r'id="(__codelineno-\d+-\d+)"')
CELL = re.compile(r"<td.*?</td>", re.DOTALL)
"""Where a bar in code is written with a backslash, as GitHub wants it, and keeps it here."""
MARK = re.compile(r"<!-- made by: (\w+) -->")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand elsewhere in the repository."""
    texts = {
        file.src_uri: _completed(file.content_string)
        for file in files.documentation_pages()
    }
    repository.collect(texts)
    for uri, text in repository.pages().items():
        files.append(File.generated(config, uri, content=text))
    files.append(File.generated(config, "stylesheets/drawings.css", content=colours()))
    for path in repository.copies():
        source = str(repository.ROOT / path)
        files.append(File.generated(config, path, abs_src_path=source))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Complete the page, and point its links to the site's pages."""
    if page.parent is None:
        page.meta["hide"] = ["navigation"]  # it would list the page alone
    return repository.relink(_completed(markdown), page.file.src_uri)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the drawings in, which Markdown would take apart; tell MkDocs of lines of code."""
    if page.present_anchor_ids is not None:
        page.present_anchor_ids |= set(LINE.findall(html))
    html = CELL.sub(lambda cell: cell[0].replace("\\|", "|"), html)
    return gallery.insert(html, page.file.content_string)


def colours() -> str:
    """The colours of drawings on a dark page; on a light one they are the drawing's own."""
    dark = "".join(f"--rg-{name}:{pair[1]};" for name, pair in COLOURS.items())
    return f"[data-md-color-scheme=slate]{{{dark}}}\n"


def _completed(markdown: str) -> str:
    return MARK.sub(lambda mark: _made(mark[1]), markdown)


@cache
def _made(name: str) -> str:
    return MADE[name]()
