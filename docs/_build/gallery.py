"""The units of the paper's Fig. 2 and Fig. 4, drawn from the specs while the site is built."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from resgraph.compiler import Compiler
from resgraph.draw import draw_unit
from resgraph.graph import Graph, Instance
from resgraph.study.paper import TABLES, Entry

ROOT = Path(__file__).parents[2]
FIGURES = {4: TABLES[1], 2: TABLES[0]}
"""The figure whose variants each of the paper's tables compares."""

_DRAWING = re.compile(r"<!-- drawing: (\S+) (\S+) (\S+) (.+?) -->")
_DRAWINGS = re.compile(r"<!-- drawings: (\S+) -->")


def page() -> str:
    """The figures, a variant after the other, each with its units and errors."""
    return "\n".join(line for number in FIGURES for line in _figure(number))


def insert(html: str) -> str:
    """The page with its drawings in place of the comments that ask for them."""
    html = _DRAWINGS.sub(lambda match: _all_of(match[1]), html)
    return _DRAWING.sub(lambda match: _drawing(*match.groups()), html)


def _figure(number: int) -> Iterator[str]:
    table = FIGURES[number]
    yield f"## Fig. {number}: {table.title.replace(f' (Fig. {number})', '')}\n"
    variants: dict[str, dict[str, list[Entry]]] = {}
    for entry in table.entries:
        letter = entry.variant[0]
        spec = _home(entry.network)
        variants.setdefault(letter, {}).setdefault(spec, []).append(entry)
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
    graph = _graph(spec, entries[-1].network)
    yield "<figure markdown>\n"
    yield f"<!-- drawing: {spec} {graph.name} {_main_unit(graph)} {title} -->\n"
    yield "<figcaption markdown>\n"
    yield f"{graph.title}. Drawn from [`{spec}`](../{spec}).\n"
    yield "| network | as the paper has it | error, % |"
    yield "|---|---|--:|"
    for entry in entries:
        yield f"| `{entry.network}` | {entry.variant[1:].strip()} | {entry.value} |"
    yield "\n</figcaption>\n</figure>\n"


def _all_of(spec: str) -> str:
    """Every unit of the spec, side by side."""
    graph = _graphs()[spec][0]
    figures = "".join(
        f"<figure>{_drawing(spec, graph.name, unit, unit)}</figure>"
        for unit in _instances(graph)
    )
    return f'<div class="gallery">{figures}</div>'


def _drawing(spec: str, network: str, unit: str, title: str) -> str:
    instance = _instances(_graph(spec, network))[unit]
    prefix = f"{network}-{unit}-"
    return draw_unit(instance, title=title, prefix=prefix).svg("css")


def _main_unit(graph: Graph) -> str:
    """The unit that most places have."""
    places: dict[str, int] = {}
    for stage in graph.runs:
        for run in stage:
            places[run.slot.unit] = places.get(run.slot.unit, 0) + run.count
    return max(places, key=places.__getitem__)


def _instances(graph: Graph) -> dict[str, Instance]:
    """Each unit at the first place where it stands, in the order of the spec."""
    first: dict[str, Instance] = {}
    for stage in graph.runs:
        for run in stage:
            first.setdefault(run.slot.unit, run.instances[0])
    return {name: first[name] for name in graph.units if name in first}


def _graph(spec: str, network: str) -> Graph:
    return next(graph for graph in _graphs()[spec] if graph.name == network)


def _home(network: str) -> str:
    """The spec that builds the network."""
    return next(
        spec
        for spec, graphs in _graphs().items()
        if any(graph.name == network for graph in graphs)
    )


@cache
def _graphs() -> dict[str, list[Graph]]:
    """The networks of each committed spec, by its place in the repository."""
    compiler = Compiler()
    paths = sorted((ROOT / "specs").glob("*.yaml"))
    return {f"specs/{path.name}": compiler.graphs(path) for path in paths}
