"""Where the blocks of a network stand: equal ones in a row together, and what they are called.

A block's name is the prefix of its layers in the state_dict, without the last dot:
`stage1.3`, `stage1.3.blocks.0` of one within another.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from resgraph.graph.ir import Call, Node, Row
from resgraph.graph.typed import Graph, Instance, Run

K = TypeVar("K", bound=Hashable)

Apart = Callable[[Run], Callable[[Instance], Hashable] | None]
"""What tells the blocks of a run apart that differ in what reads their number; None: nothing."""
LISTED = 6
"""How many names or places a message lists before it says how many more there are."""


@dataclass(frozen=True)
class Site:
    """`count` equal blocks one after the other, the first of which is number `index` of a row."""

    row: Row
    index: int
    count: int
    call: Call
    instance: Instance
    outer: Site | None = None
    """The blocks that the row is in; None where it is one of the network's."""

    @property
    def outermost(self) -> Site:
        """The blocks of the network's row that it is in, or that it is."""
        return self.outer.outermost if self.outer else self

    @property
    def stage(self) -> str:
        """The name of the network's row that it is in: `stage2`."""
        return self.outermost.row.name

    @property
    def units(self) -> int:
        """How many blocks there are in the network, those in repeated ones counted out."""
        return self.count * (self.outer.units if self.outer else 1)

    def prefix(self, offset: int = 0) -> str:
        """What stands before the names of the layers of one of its blocks: `stage1.3.`."""
        before = self.outer.prefix() if self.outer else ""
        return before + self.row.prefix(self.index + offset)

    def unit(self, offset: int = 0) -> str:
        """The name of one of its blocks."""
        return self.prefix(offset).removesuffix(".")

    def path(self, node: Node) -> str:
        """The name of a node of its first block."""
        return self.prefix() + node.name

    @property
    def place(self) -> str:
        """`stage1.0`, or `stage1.1 to stage1.17`."""
        return between(self, self)


def sites(graph: Graph) -> Iterator[Site]:
    """The network's units, a site for each of a run's distinct instances."""
    for row, runs in graph.stages:
        yield from row_sites(row, runs)


def row_sites(
    row: Row,
    runs: Iterable[Run],
    outer: Site | None = None,
    apart: Apart = lambda run: None,
) -> Iterator[Site]:
    """The sites of one row. Blocks of a run that differ in what reads their number are one
    site, unless `apart` gives what tells them apart."""
    index = 0
    for run in runs:
        for instance, count in _pieces(run, apart(run)):
            yield Site(row, index, count, run.call, instance, outer)
            index += count


def _pieces(
    run: Run, key: Callable[[Instance], Hashable] | None
) -> Iterator[tuple[Instance, int]]:
    if key is None:
        count = run.count if len(run.instances) == 1 else 1
        yield from ((instance, count) for instance in run.instances)
        return
    for (_, _), group in groupby(
        enumerate(run), lambda one: (one[0] % len(run.instances), key(one[1]))
    ):
        (_, first), *rest = group
        yield first, 1 + len(rest)


def between(first: Site, last: Site) -> str:
    """`stage1.0`, or `stage1.1 to stage1.17`; `blocks.0 of each of stage1.0 to stage1.3`
    where what they are in is repeated."""
    repeated = _repeated(first.outer)
    before = repeated.prefix() if repeated else ""
    names = [first.unit(), last.unit(last.count - 1)]
    text = " to ".join(dict.fromkeys(name.removeprefix(before) for name in names))
    return f"{text} of each of {repeated.place}" if repeated else text


def _repeated(site: Site | None) -> Site | None:
    """The site, or the one around it, that stands for several."""
    while site is not None and site.count == 1:
        site = site.outer
    return site


S = TypeVar("S", bound=Site)


def grouped(
    chosen: Iterable[S], key: Callable[[S], K]
) -> list[tuple[K, tuple[S, ...]]]:
    """The sites by a key, in the order of each group's first."""
    groups: dict[K, list[S]] = {}
    for site in chosen:
        groups.setdefault(key(site), []).append(site)
    return [(value, tuple(group)) for value, group in groups.items()]


def listing(items: Sequence[str], last: str = ", ", most: int = LISTED) -> str:
    """`a, b, c`, or `a, b and c`; a long list is cut."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])}{last}{items[-1]}"
