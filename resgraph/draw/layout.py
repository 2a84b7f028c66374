"""Where the nodes of a drawing stand: rows by the longest path, columns by Graphviz's dot."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    value: str = ""
    """What it carries, of a start that gives several values."""
    leaves: int = 0
    """How far aside of its start's centre it begins."""
    enters: int | None = None
    """How far aside of its end's centre it ends; None: wherever there is room."""

    @property
    def source(self) -> str:
        """What it carries: lines of one value may run on one another."""
        return self.value or self.start

    def mirrored(self) -> Link:
        return replace(self, leaves=-self.leaves, enters=self.enters and -self.enters)


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

    def mirrored(self) -> Layout:
        """The same with left and right exchanged."""
        columns = {name: -column for name, column in self.columns.items()}
        ways = [replace(w, columns=tuple(-c for c in w.columns)) for w in self.ways]
        return Layout(self.rows, columns, ways)


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


def refuse_more(what: str, count: int, most: int = DRAWN_NODES) -> None:
    """Raises `SizeError` for more than can be drawn."""
    if count > most:
        raise SizeError(
            f"it has {count:,} {what}, and up to {most:,} are drawn",
            "split the unit, or choose other ones with --unit or --stage",
        )


def layout(
    widths: Mapping[str, float],
    links: Sequence[Link],
    first: Sequence[str] = (),
    last: Collection[str] = (),
) -> Layout:
    """Place the nodes, given in an order in which links go forward.

    A link over several rows gets a column of its own in each, so that no line runs
    through a node. Nodes of `first` are in the first row, from left to right as they are given,
    those of `last` below all others.
    Raises `SizeError` for more than can be drawn, or looked at.
    """
    refuse_more("nodes", len(widths))
    rows = _rows(widths, links, first, last)
    passed = sum(rows[link.end] - rows[link.start] - 1 for link in links)
    refuse_more("crossings of rows by its lines", passed, DRAWN_LANES)
    stations = [[*_stations(i, link, rows)] for i, link in enumerate(links)]
    lanes = {s: float(LANE) for chain in stations for s in chain[1:-1]}
    steps = [
        Link(
            a,
            b,
            link.weight * (STRAIGHT if a in lanes and b in lanes else 1),
            leaves=0 if a in lanes else link.leaves,
            enters=None if b in lanes else link.enters,
        )
        for link, chain in zip(links, stations, strict=True)
        for a, b in pairwise(chain)
    ]
    anchors = _anchors(widths, links, first)
    columns = _dot({**widths, **lanes}, [*steps, *anchors], [*first])
    ways = [
        Way(link, rows[link.start], tuple(columns[s] for s in chain))
        for link, chain in zip(links, stations, strict=True)
    ]
    return Layout(rows, {name: columns[name] for name in widths}, ways)


def _rows(
    widths: Mapping[str, float],
    links: Sequence[Link],
    first: Collection[str],
    last: Collection[str],
) -> dict[str, int]:
    """By the longest path; what nothing leads to stands below the first node."""
    before: dict[str, list[str]] = {name: [] for name in widths}
    for link in links:
        before[link.end].append(link.start)
    rows = dict[str, int]()
    for name, starts in before.items():
        least = -1 if name in first or not rows else 0
        rows[name] = max((rows[s] for s in starts), default=least) + 1
    lowest = max((row for name, row in rows.items() if name not in last), default=0)
    return rows | dict.fromkeys(last, lowest + 1)


def _anchors(
    widths: Mapping[str, float], links: Sequence[Link], top: Collection[str]
) -> Iterator[Link]:
    """From the first node to those that nothing leads to, so that dot has the same rows."""
    first, *others = widths
    led_to = {link.end for link in links}.union(top)
    yield from (Link(first, name) for name in others if name not in led_to)


def _stations(number: int, link: Link, rows: Mapping[str, int]) -> Iterator[str]:
    """The link's ends, and between them a lane's name for each row that it passes."""
    yield link.start
    for row in range(rows[link.start] + 1, rows[link.end]):
        yield f"\0{number}.{row}"  # no node is called so
    yield link.end


def _dot(
    widths: Mapping[str, float], links: Sequence[Link], first: Sequence[str]
) -> dict[str, float]:
    """The columns that dot chooses. Nodes are numbered for it, and have no texts."""
    from pygraphviz import AGraph

    numbers = {name: str(i) for i, name in enumerate(widths)}
    graph = AGraph(directed=True, strict=False)
    graph.graph_attr.update(nodesep=str(APART / _POINTS), splines="none")
    graph.node_attr.update(shape="box", fixedsize="true", label="", height="0.1")
    ports = _ports(links)
    for name, width in widths.items():
        asides = ports.get(name)
        more = {"label": _table(width, asides), "margin": "0"} if asides else {}
        graph.add_node(numbers[name], width=f"{width / _POINTS:.4f}", **more)
    for link in links:
        at = {"tailport": f"p{link.leaves}"} if link.leaves else {}
        at |= {"headport": f"p{link.enters}"} if link.enters else {}
        start, end = numbers[link.start], numbers[link.end]
        graph.add_edge(start, end, weight=str(link.weight), **at)
    if len(first) > 1:
        graph.add_subgraph([numbers[name] for name in first], rank="same")
    for left, right in pairwise(first):
        graph.add_edge(numbers[left], numbers[right], style="invis")
    graph.layout(prog="dot")
    return {
        name: float(graph.get_node(i).attr["pos"].split(",")[0])
        for name, i in numbers.items()
    }


def _ports(links: Sequence[Link]) -> dict[str, list[int]]:
    """By node, how far aside of its centre lines begin and end."""
    ports = dict[str, set[int]]()
    for link in links:
        for node, aside in ((link.start, link.leaves), (link.end, link.enters)):
            if aside:
                ports.setdefault(node, set()).add(aside)
    return {node: sorted(asides) for node, asides in ports.items()}


def _table(width: float, asides: Sequence[int]) -> str:
    """A node's label that has a cell, and so a port for dot, at each of these places."""
    cells, x, half = "", 0, int(width / 2) - 1  # a little narrower than the node
    for aside in asides:
        left = half + aside - 1
        cells += _cell(left - x) + _cell(2, f"p{aside}")
        x = left + 2
    cells += _cell(2 * half - x)
    style = 'BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"'
    return f"<<TABLE {style}><TR>{cells}</TR></TABLE>>"


def _cell(width: int, port: str = "") -> str:
    name = f'PORT="{port}" ' if port else ""
    cell = f'<TD {name}FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="1"></TD>'
    return cell if width > 0 else ""
