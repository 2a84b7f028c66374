"""Where the nodes of a drawing stand: rows by the longest path, columns by Graphviz's dot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

from resgraph.diagnostics import ResgraphError
from resgraph.limits import DRAWN_LANES, DRAWN_NODES

LANE = 10
"""Pixels that a passing line takes."""
APART = 24
"""Pixels between neighbours of a row."""

STRAIGHT = 50
"""How much straighter a line is where it passes rows than at its ends."""

_POINTS = 72
"""Graphviz measures nodes in inches, and places them in points; a point is a pixel here."""


@dataclass(frozen=True)
class Link:
    """A line from node to node; the heavier, the straighter."""

    start: str
    end: str
    weight: int = 1


@dataclass(frozen=True)
class Way:
    """A link through the rows: the centre of its column in each, its two ends included."""

    link: Link
    row: int
    columns: tuple[float, ...]


@dataclass(frozen=True)
class Layout:
    """The row and the column (its centre) of each node, and the way of each link."""

    rows: Mapping[str, int]
    columns: Mapping[str, float]
    ways: Sequence[Way]


class SizeError(ResgraphError):
    """A drawing that Graphviz would take too long for, and nobody could read."""


@contextmanager
def named(what: str) -> Iterator[None]:
    """Say what it is that is too large."""
    try:
        yield
    except SizeError as error:
        said = error.message.removeprefix("it ")
        raise SizeError(f"{what} cannot be drawn: it {said}", error.hint) from None


def _refuse(what: str, count: int, most: int) -> None:
    if count > most:
        raise SizeError(
            f"it has {count:,} {what}, and up to {most:,} are drawn",
            "split the unit, or choose other ones with --unit or --stage",
        )


def layout(widths: Mapping[str, float], links: Sequence[Link]) -> Layout:
    """Place the nodes, given in an order in which links go forward.

    A link over several rows gets a column of its own in each, so that no line runs
    through a node. Raises `SizeError` for more than can be drawn, or looked at.
    """
    _refuse("nodes", len(widths), DRAWN_NODES)
    rows = _rows(widths, links)
    passed = sum(rows[link.end] - rows[link.start] - 1 for link in links)
    _refuse("crossings of rows by its lines", passed, DRAWN_LANES)
    stations = [[*_stations(i, link, rows)] for i, link in enumerate(links)]
    lanes = {s: float(LANE) for chain in stations for s in chain[1:-1]}
    steps = [
        (a, b, link.weight * (STRAIGHT if a in lanes and b in lanes else 1))
        for link, chain in zip(links, stations, strict=True)
        for a, b in pairwise(chain)
    ]
    columns = _dot({**widths, **lanes}, [*steps, *_anchors(widths, links)])
    ways = [
        Way(link, rows[link.start], tuple(columns[s] for s in chain))
        for link, chain in zip(links, stations, strict=True)
    ]
    return Layout(rows, {name: columns[name] for name in widths}, ways)


def _rows(widths: Mapping[str, float], links: Sequence[Link]) -> dict[str, int]:
    """By the longest path; what nothing leads to stands below the first node."""
    before: dict[str, list[str]] = {name: [] for name in widths}
    for link in links:
        before[link.end].append(link.start)
    rows = dict[str, int]()
    for name, starts in before.items():
        rows[name] = max((rows[s] for s in starts), default=0 if rows else -1) + 1
    return rows


def _anchors(
    widths: Mapping[str, float], links: Sequence[Link]
) -> Iterator[tuple[str, str, int]]:
    """From the first node to those that nothing leads to, so that dot has the same rows."""
    first, *others = widths
    led_to = {link.end for link in links}
    yield from ((first, name, 1) for name in others if name not in led_to)


def _stations(number: int, link: Link, rows: Mapping[str, int]) -> Iterator[str]:
    """The link's ends, and between them a lane's name for each row that it passes."""
    yield link.start
    for row in range(rows[link.start] + 1, rows[link.end]):
        yield f"\0{number}.{row}"  # no node is called so
    yield link.end


def _dot(
    widths: Mapping[str, float], edges: Sequence[tuple[str, str, int]]
) -> dict[str, float]:
    """The columns that dot chooses. Nodes are numbered for it, and have no texts."""
    from pygraphviz import AGraph

    numbers = {name: str(i) for i, name in enumerate(widths)}
    graph = AGraph(directed=True, strict=False)
    graph.graph_attr.update(nodesep=str(APART / _POINTS), splines="none")
    graph.node_attr.update(shape="box", fixedsize="true", label="", height="0.1")
    for name, width in widths.items():
        graph.add_node(numbers[name], width=f"{width / _POINTS:.4f}")
    for start, end, weight in edges:
        graph.add_edge(numbers[start], numbers[end], weight=str(weight))
    graph.layout(prog="dot")
    return {
        name: float(graph.get_node(i).attr["pos"].split(",")[0])
        for name, i in numbers.items()
    }
