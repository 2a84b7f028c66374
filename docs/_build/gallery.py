"""The units of the paper's Fig. 2 and Fig. 4, drawn from the specs while the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pages import blocks

from resgraph import Network
from resgraph.compiler import Compiler
from resgraph.draw import draw_unit
from resgraph.study.paper import TABLES, Entry

ROOT = Path(__file__).parents[2]
FIGURES = {4: TABLES[1], 2: TABLES[0]}
"""The figure whose variants each of the paper's tables compares."""

_ONE = re.compile(r"<!-- drawing: (\S+) (\S+) (.+?) -->")
_ALL = re.compile(r"<!-- drawings: (\S+) -->")
_OWN = re.compile(r"<!-- drawing of (\S+) -->")


def page() -> str:
    """The figures, a variant after the other, each with its units and errors."""
    return "\n".join(line for number in FIGURES for line in _figure(number))


def insert(html: str, markdown: str) -> str:
    """The page with its drawings in place of the comments that ask for them.

    `drawing: SPEC NETWORK TITLE` is the unit that the network has most, `drawings: SPEC` all
    of a spec, `drawing of FILE` of what the page, in this Markdown, has the reader write.
    """
    html = _OWN.sub(lambda match: _own(markdown, match[1]), html)
    html = _ALL.sub(lambda match: _all(match[1]), html)
    return _ONE.sub(lambda match: _main(*match.groups()), html)


def _figure(number: int) -> Iterator[str]:
    table = FIGURES[number]
    yield f"## Fig. {number}: {table.title.replace(f' (Fig. {number})', '')}\n"
    variants: dict[str, dict[str, list[Entry]]] = {}
    for entry in table.entries:
        specs = variants.setdefault(entry.variant[0], {})
        specs.setdefault(_homes()[entry.network], []).append(entry)
    for letter, specs in variants.items():
        first = next(iter(specs.values()))[0]
        name = re.split(r"[:,]", first.variant[1:].strip())[0]
        yield f"### Fig. {number}{letter}: {name} {{ #fig-{number}{letter} }}\n"
        yield '<div class="gallery" markdown>\n'
        for spec, entries in specs.items():
            yield from _card(spec, f"({letter}) {name}", entries)
        yield "</div>\n"


def _card(spec: str, title: str, entries: list[Entry]) -> Iterator[str]:
    """A drawing, what the paper reports of it, and the way to its spec.

    Of several networks the last is drawn; they differ in constants alone.
    """
    network = entries[-1].network
    yield "<figure markdown>\n"
    yield f"<!-- drawing: {spec} {network} {title} -->\n"
    yield "<figcaption markdown>\n"
    yield f"{_network(spec, network).graph.title}. Drawn from [`{spec}`](../{spec}).\n"
    yield "| network | as the paper has it | error, % |"
    yield "|---|---|--:|"
    for entry in entries:
        yield f"| `{entry.network}` | {entry.variant[1:].strip()} | {entry.value} |"
    yield "\n</figcaption>\n</figure>\n"


def _main(spec: str, name: str, title: str) -> str:
    network = _network(spec, name)
    return _drawing(network, str(network.main), title)


def _all(spec: str) -> str:
    network = _network(spec, next(n for n, home in _homes().items() if home == spec))
    return _framed(*(_drawing(network, unit, unit) for unit in network.units))


def _own(markdown: str, file: str) -> str:
    with TemporaryDirectory() as folder:
        for block in blocks(markdown):
            if block.title:
                block.write(Path(folder))
        network = Network(Path(folder) / file)
    return _framed(_drawing(network, str(network.main), network.graph.title))


def _framed(*drawings: str) -> str:
    figures = "".join(f"<figure>{drawing}</figure>" for drawing in drawings)
    return f'<div class="gallery">{figures}</div>'


def _drawing(network: Network, unit: str, title: str) -> str:
    prefix = f"{network.graph.name}-{unit}-"
    return draw_unit(network.units[unit], title=title, prefix=prefix).svg("css")


@cache
def _network(spec: str, name: str) -> Network:
    return Network(ROOT / spec, name)


@cache
def _homes() -> dict[str, str]:
    """The spec of each network, by its place in the repository."""
    compiler = Compiler()
    paths = sorted((ROOT / "specs").glob("*.yaml"))
    return {n: f"specs/{path.name}" for path in paths for n in compiler.names(path)}
