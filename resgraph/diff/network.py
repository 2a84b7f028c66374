"""Two networks side by side: what is the same, and what became of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

from resgraph.diagnostics import ResgraphError
from resgraph.diff.edits import Edit, edits
from resgraph.diff.isomorphism import isomorphism, regrouped, rows_alike
from resgraph.diff.properties import (
    PROPERTIES,
    counted,
    factor,
    told,
    unit_properties,
)
from resgraph.diff.units import HEAD, STEM, Units, ends, side_by_side, stages
from resgraph.graph import Graph, Instance
from resgraph.recipe.parts import CHOICES
from resgraph.recipe.words import EXPLICIT


@dataclass(frozen=True)
class Pair:
    """Units in a row and those that stand in their place; one side None: none do."""

    before: Units | None
    after: Units | None
    edits: tuple[Edit, ...] = ()
    regrouped: bool = False
    """Whether they are the same graph only if sums of sums are sums."""

    @property
    def same(self) -> bool:
        """Whether it is the same graph, as often; perhaps regrouped."""
        if self.before is None or self.after is None or self.edits:
            return False
        return self.before.count == self.after.count

    @cached_property
    def properties(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Properties lost and gained, where both sides have units."""
        if self.before is None or self.after is None:
            return (), ()
        old = unit_properties(self.before.instance)
        new = unit_properties(self.after.instance)
        lost = tuple(p for p in PROPERTIES if p in old - new)
        return lost, tuple(p for p in PROPERTIES if p in new - old)

    @cached_property
    def factors(self) -> tuple[str, str] | None:
        """What stands for the 1 of Eq. (5), before and after, where that differs."""
        a, b = self.before, self.after
        if a is None or b is None or a.part in (STEM, HEAD):
            return None
        both = factor(a.instance), factor(b.instance)
        return None if both[0] == both[1] else both


@dataclass(frozen=True)
class Difference:
    """What makes the network `after` of the network `before`."""

    before: Graph
    after: Graph
    same: bool
    """Whether both are one graph, whatever things are called."""
    pairs: tuple[Pair, ...]
    regrouped: bool = False
    """Whether they are the same only if sums of sums are sums: true up to rounding."""

    @cached_property
    def recipe(self) -> dict[str, tuple[Any, Any]]:
        """The fields of `train` that differ, before and after."""
        old, new = self.before.recipe, self.after.recipe
        names = [name for name in {**old, **new} if name != EXPLICIT]
        usual = {choice.word: choice.kinds[0].kind for choice in CHOICES}
        both = {n: tuple(r.get(n, usual.get(n)) for r in (old, new)) for n in names}
        return {name: (a, b) for name, (a, b) in both.items() if a != b}

    @cached_property
    def properties(self) -> Mapping[str, tuple[str, str]]:
        """By property, the share of units that have it, where units gain or lose it."""
        (old, was), (new, now) = counted(self.before), counted(self.after)
        changed = {p for pair in self.pairs for side in pair.properties for p in side}
        return {
            name: (_share(old[name], was), _share(new[name], now))
            for name in PROPERTIES
            if name in changed or _extent(old[name], was) != _extent(new[name], now)
        }

    @cached_property
    def findings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What `prove` tells of one alone: of `before`, and of `after`."""
        old, new = tuple(told(self.before)), tuple(told(self.after))
        return (
            tuple(text for text in old if text not in new),
            tuple(text for text in new if text not in old),
        )

    def total(self, quantity: str) -> tuple[int, int]:
        """A quantity of the whole networks, before and after."""
        return self.before.total(quantity), self.after.total(quantity)


def compare(before: Graph, after: Graph) -> Difference:
    """The difference of two networks with shapes, at the cost of their distinct units."""
    ours, theirs = _rows(before), _rows(after)
    if before.input == after.input and _alike(ours, theirs, regroup=True):
        return Difference(before, after, True, (), not _nested_alike(ours, theirs))
    return Difference(before, after, False, tuple(_pairs(ours, theirs)))


def _rows(graph: Graph) -> list[list[Units]]:
    """The stem, the stages and the head."""
    stem, head = ends(graph)
    return [[stem], *stages(graph), [head]]


def _alike(ours: list[list[Units]], theirs: list[list[Units]], regroup: bool) -> bool:
    """Whether stem and head are the same, and the units between, whatever their stage."""

    def row(parts: list[list[Units]]) -> list[tuple[Instance, int]]:
        return [(units.instance, units.count) for part in parts for units in part]

    cuts = slice(0, 1), slice(1, -1), slice(-1, None)
    return all(rows_alike(row(ours[c]), row(theirs[c]), regroup) for c in cuts)


def _nested_alike(ours: list[list[Units]], theirs: list[list[Units]]) -> bool:
    """Whether networks that are the same are known to nest their sums in one way."""
    with suppress(ResgraphError):  # too symmetric to know
        return _alike(ours, theirs, regroup=False)
    return False


def _pairs(ours: list[list[Units]], theirs: list[list[Units]]) -> Iterator[Pair]:
    yield _pair(ours[0][0], theirs[0][0])
    for a, b in zip_longest(ours[1:-1], theirs[1:-1]):
        yield from _joined([_pair(x, y) for x, y in side_by_side(a or [], b or [])])
    yield _pair(ours[-1][0], theirs[-1][0])


def _pair(a: Units | None, b: Units | None) -> Pair:
    found = edits(a.instance, b.instance) if a and b else ()
    if a and b and found and regrouped(a.instance, b.instance):
        return Pair(a, b, regrouped=True)
    return Pair(a, b, found)


def _joined(stage: list[Pair]) -> list[Pair]:
    """The first unit's pair with the next one, where it plays no part of its own."""
    first = _together(*stage[:2]) if len(stage) > 1 else None
    return [first, *stage[2:]] if first else stage


def _together(x: Pair, y: Pair) -> Pair | None:
    """Both pairs as one, if nothing but places and numbers tells them apart."""
    if not (x.before and x.after and y.before and y.after):
        return None
    one, two = ((p.edits, p.regrouped, p.properties, p.factors) for p in (x, y))
    if one != two:
        return None
    for a, b in ((x.before, y.before), (x.after, y.after)):
        if a.name != b.name or isomorphism(a.instance, b.instance) is None:
            return None
    rows = x.before.with_next(y.before), x.after.with_next(y.after)
    return Pair(*rows, x.edits, x.regrouped)


def _share(count: int, total: int) -> str:
    """`none of 54`, `51 of 54`, `all of 54`."""
    return f"{_extent(count, total) or count} of {total}"


def _extent(count: int, total: int) -> str:
    """`none`, `all`, or nothing where it is neither."""
    return "none" if count == 0 else "all" if count == total else ""
