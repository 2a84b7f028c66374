"""Files of the repository as pages of the site, and links that stay true in both places.

Links are written for readers of the repository: `../specs/preact_basic.yaml` from a page of
`docs/`. On the site they lead to a page that shows the file.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = "docs/"
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/gpu/README.md": "benchmarks-gpu.md",
    "results/README.md": "results.md",
    "results/robustness.md": "robustness.md",
}
"""Files that are pages of their own, by their place in the repository."""
LANGUAGES = {".yaml": "yaml", ".py": "python", ".json": "json", ".toml": "toml"}

_CODE_OR_LINK = re.compile(
    r"(?P<code>^(?P<fence>`{3,}).*?^(?P=fence)[ ]*$|(?<!\[)`[^`\n]+`)"
    r"|(?P<text>!?\[[^\[\]]*\])\((?P<to>[^()\s]+)\)"
    r"|(?P<attribute>\b(?:src|srcset)=)\"(?P<file>[^\"\s]+)\"",
    re.MULTILINE | re.DOTALL,
)

_uris: dict[str, str] = {}
"""Where each file of the repository that some page links to is on the site."""


def collect(texts: Mapping[str, str]) -> None:
    """Decide where everything goes that the pages of `docs/`, given by name, link to.

    Files in a language of `LANGUAGES` are shown on a page, all others come along as they are.
    """
    _uris.clear()
    _uris.update(PAGES)
    for spec in sorted((ROOT / "specs").glob("*.yaml")):
        _uris[f"specs/{spec.name}"] = f"specs/{spec.stem}.md"
    pages = {f"{DOCS}{name}": text for name, text in texts.items()}
    pages |= {path: (ROOT / path).read_text("utf-8") for path in PAGES}
    for origin, text in pages.items():
        for path in _linked(text, origin):
            if not path.startswith(DOCS) and path not in _uris:
                shown = Path(path).suffix in LANGUAGES
                _uris[path] = f"source/{path}.md" if shown else path


def pages() -> dict[str, str]:
    """Each page's place on the site and its Markdown."""
    return {uri: _as_page(path) for path, uri in _uris.items() if uri.endswith(".md")}


def copies() -> list[str]:
    """Files outside `docs/` that come along."""
    return [path for path, uri in _uris.items() if not uri.endswith(".md")]


def uri_of(path: str) -> str | None:
    """Where the repository's file is on the site; None where it is not."""
    return path.removeprefix(DOCS) if path.startswith(DOCS) else _uris.get(path)


def relink(markdown: str, uri: str) -> str:
    """The page's text with its links to the repository's files made links to pages.

    A link to a folder becomes plain text. One to a file that is not there stays as it is,
    for MkDocs to refuse.
    """
    origin = next((p for p, u in _uris.items() if u == uri), f"{DOCS}{uri}")

    def changed(match: re.Match[str]) -> str:
        target = match["to"] or match["file"]
        if match["code"] or _is_elsewhere(target):
            return match[0]
        path, hash_, anchor = target.partition("#")
        place = _resolve(path, origin)
        if (ROOT / place).is_dir():
            return str(match["text"][1:-1])
        if (to := uri_of(place)) is None:
            return match[0]
        relative = posixpath.relpath(to, posixpath.dirname(uri) or ".")
        if match["file"]:
            return f'{match["attribute"]}"{relative}"'
        anchor = re.sub(r"^L(\d+)$", r"__codelineno-0-\1", anchor)
        return f"{match['text']}({relative}{hash_}{anchor})"

    return _CODE_OR_LINK.sub(changed, markdown)


def _linked(markdown: str, origin: str) -> Iterator[str]:
    for match in _CODE_OR_LINK.finditer(markdown):
        target = match["to"] or match["file"]
        if not match["code"] and not _is_elsewhere(target):
            path = _resolve(target.partition("#")[0], origin)
            if (ROOT / path).is_file():
                yield path


def _is_elsewhere(target: str) -> bool:
    return target.startswith(("#", "mailto:")) or "://" in target


def _resolve(target: str, origin: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))


def _as_page(path: str) -> str:
    text = (ROOT / path).read_text("utf-8")
    if path.endswith(".md"):
        return text
    language = LANGUAGES[Path(path).suffix]
    is_spec = path.startswith("specs/") and language == "yaml"
    drawings = f"<!-- drawings: {path} -->\n\n" if is_spec else ""
    fence = "`" * 4
    return (
        f"# {path}\n\n{drawings}"
        f'{fence}{{.{language} linenums="1"}}\n{text.rstrip()}\n{fence}\n'
    )
