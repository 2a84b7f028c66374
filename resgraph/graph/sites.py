"""Where the units of a network stand: equal ones in a row together, and what they are called.

A name is the prefix of the unit's layers in the state_dict, without the last dot: `stage1.3`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from resgraph.graph.ir import Call, Node, Row
from resgraph.graph.typed import Graph, Instance, Run

K = TypeVar("K", bound=Hashable)

LISTED = 6
"""How many names or places a message lists before it says how many more there are."""


@dataclass(frozen=True)
class Site:
    """`count` equal blocks in a row, the first of which is number `index` of the row.

    `start` counts the units before it, from the network's first.
    """

    row: Row
    index: int
    start: int
    count: int
    call: Call
    instance: Instance

    @property
    def stage(self) -> str:
        """The name of the row: `stage2`."""
        return self.row.name

    @property
    def end(self) -> int:
        return self.start + self.count

    def unit(self, offset: int = 0) -> str:
        """The name of one of its units, as in the state_dict."""
        return self.row.prefix(self.index + offset).removesuffix(".")

    def path(self, node: Node | str) -> str:
        """The name of a node of its first unit."""
        name = node if isinstance(node, str) else node.name
        return self.row.prefix(self.index) + name


def sites(graph: Graph) -> tuple[Site, ...]:
    """The network's units, a site for each of a run's distinct instances."""
    found: list[Site] = []
    start = 0
    for row, runs in graph.stages:
        for site in row_sites(row, runs, start):
            found.append(site)
            start = site.end
    return tuple(found)


def row_sites(row: Row, runs: Iterable[Run], start: int = 0) -> Iterator[Site]:
    """The sites of one row."""
    index = 0
    for run in runs:
        count = run.count if len(run.instances) == 1 else 1
        for instance in run.instances:
            yield Site(row, index, start + index, count, run.call, instance)
            index += count


S = TypeVar("S", bound=Site)


def segments(chosen: Iterable[S]) -> list[tuple[S, ...]]:
    """The sites, in the network's order, in groups that follow one another."""
    groups: list[tuple[S, ...]] = []
    for site in chosen:
        if groups and groups[-1][-1].end == site.start:
            groups[-1] = (*groups[-1], site)
        else:
            groups.append((site,))
    return groups


def span_of(segment: Sequence[Site]) -> str:
    """`stage1.0`, or `stage1.1 to stage1.17`."""
    first, last = segment[0], segment[-1]
    return between(first.unit(), last.unit(last.count - 1))


def between(first: str, last: str) -> str:
    """`stage1.0`, or `stage1.1 to stage1.17`."""
    return first if first == last else f"{first} to {last}"


def places(chosen: Sequence[Site], total: int) -> str:
    """Where the sites are, and how many of the network's units: `stage1.0 (1 of 54 units)`."""
    names = listing([span_of(segment) for segment in segments(chosen)])
    return f"{names} ({units(chosen)} of {total} units)"


def units(chosen: Iterable[Site]) -> int:
    """How many units the sites have."""
    return sum(site.count for site in chosen)


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
