"""The page: one file that asks nothing of the network, filled with facts as JSON."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from resgraph.diagnostics import visible
from resgraph.draw.theme import COLOURS
from resgraph.files import write_text, writing

SCRIPTS = (
    "base.js",
    "tree.js",
    "spec.js",
    "details.js",
    "charts.js",
    "training.js",
    "search.js",
    "keys.js",
)
"""In the order in which they run, as one."""
STYLES = ("page.css", "parts.css")


@dataclass(frozen=True)
class Report:
    """A report as the page's facts; it shows itself in a notebook."""

    title: str
    facts: Mapping[str, Any]

    def html(self) -> str:
        """The page. The same facts give the same text."""
        script = _script()
        return Template(_text("page.html")).substitute(
            title=html.escape(visible(self.title)),
            policy=_policy(script),
            style="\n".join([_colours(), *map(_text, STYLES)]),
            facts=_inert(
                json.dumps(_shown(self.facts), separators=(",", ":"), allow_nan=False)
            ),
            script=script,
        )

    def write(self, path: Path) -> int:
        """Write the page; its bytes. Raises `ResgraphError` if it cannot be written."""
        text = self.html()
        with writing(path, "choose another file with --out"):
            write_text(path, text)
        return len(text.encode())

    def _repr_html_(self) -> str:
        """The page in a frame of its own, which can reach nothing of the notebook."""
        page = html.escape(self.html(), quote=True)
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" '
            f'srcdoc="{page}" style="width:100%;height:720px;border:0"></iframe>'
        )


def _colours() -> str:
    """Those of the drawings, as custom properties."""
    light, dark = (
        "".join(f"--rg-{name}:{pair[i]};" for name, pair in COLOURS.items())
        for i in range(2)
    )
    return f':root{{{light}}}\n:root[data-theme="dark"]{{{dark}}}'


def _script() -> str:
    body = "\n".join(_text(name) for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{body}}})();\n'


def _policy(script: str) -> str:
    """Nothing may be loaded, and no script run but the page's own, known by its hash."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'"
    )


def _text(name: str) -> str:
    return files("resgraph.report").joinpath(name).read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """Facts whose texts have no character that a page does not show but follows."""
    if isinstance(value, str):
        return (
            value if value.isprintable() else "\n".join(map(visible, value.split("\n")))
        )
    if isinstance(value, Mapping):
        return {_shown(key): _shown(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(item) for item in value]
    return value


def _inert(text: str) -> str:
    """JSON that cannot end the element it stands in, nor open a comment in it."""
    return text.replace("</", "<\\/").replace("<!--", "<\\u0021--")
