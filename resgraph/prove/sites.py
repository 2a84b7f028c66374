"""Where a network's units stand: equal ones in a row together, whatever the depth."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from resgraph.graph import Graph, Instance, Node, Slot
from resgraph.prove.finding import listing
from resgraph.prove.parts import Parts, decompose

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Site:
    """`count` equal units in a row, the first of them `stage{stage}.{index}`.

    `start` counts the units before it, from the network's first.
    """

    stage: int
    index: int
    start: int
    count: int
    slot: Slot
    instance: Instance
    parts: Parts | None

    @property
    def end(self) -> int:
        return self.start + self.count

    def unit(self, offset: int = 0) -> str:
        """The name of one of its units, as in the state_dict."""
        return f"stage{self.stage}.{self.index + offset}"

    def path(self, node: Node) -> str:
        """The name of a node of its first unit."""
        return f"{self.unit()}.{node.name}"


def sites(graph: Graph) -> tuple[Site, ...]:
    """The network's units, a site for each of a run's distinct instances."""
    found: list[Site] = []
    parts: dict[int, Parts | None] = {}
    start = 0
    for stage, runs in enumerate(graph.runs, 1):
        first = start
        for run in runs:
            count = run.count if len(run.instances) == 1 else 1
            for instance in run.instances:
                if id(instance) not in parts:
                    parts[id(instance)] = decompose(instance)
                apart = parts[id(instance)]
                place = (stage, start - first, start, count)
                found.append(Site(*place, run.slot, instance, apart))
                start += count
    return tuple(found)


def segments(chosen: Iterable[Site]) -> list[tuple[Site, ...]]:
    """The sites, in the network's order, in groups that follow one another."""
    groups: list[tuple[Site, ...]] = []
    for site in chosen:
        if groups and groups[-1][-1].end == site.start:
            groups[-1] = (*groups[-1], site)
        else:
            groups.append((site,))
    return groups


def span_of(segment: Sequence[Site]) -> str:
    """`stage1.0`, or `stage1.1 to stage1.17`."""
    first, last = segment[0], segment[-1]
    if last.end - first.start == 1:
        return first.unit()
    return f"{first.unit()} to {last.unit(last.count - 1)}"


def places(chosen: Sequence[Site], total: int) -> str:
    """Where the sites are, and how many of the network's units: `stage1.0 (1 of 54 units)`."""
    names = listing([span_of(segment) for segment in segments(chosen)])
    return f"{names} ({units(chosen)} of {total} units)"


def units(chosen: Iterable[Site]) -> int:
    """How many units the sites have."""
    return sum(site.count for site in chosen)


def grouped(
    chosen: Iterable[Site], key: Callable[[Site], K]
) -> list[tuple[K, tuple[Site, ...]]]:
    """The sites by a key, in the order of each group's first."""
    groups: dict[K, list[Site]] = {}
    for site in chosen:
        groups.setdefault(key(site), []).append(site)
    return [(value, tuple(group)) for value, group in groups.items()]
