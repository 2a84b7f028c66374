"""Two networks side by side: what is the same, and what became of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any

from resgraph.diff.edits import Edit, arrow, edits
from resgraph.diff.isomorphism import Numbers, apart, likeness, regrouped
from resgraph.diff.properties import (
    PROPERTIES,
    counted,
    factor,
    told,
    unit_properties,
)
from resgraph.diff.units import Units, rows_of, side_by_side
from resgraph.graph import HEAD, STEM, Graph, Row
from resgraph.graph.dag import Dag
from resgraph.graph.isomorphism import in_order_of
from resgraph.prove.sites import Stage, taken_apart
from resgraph.recipe.parts import CHOICES
from resgraph.recipe.words import EXPLICIT

OUTPUTS = "outputs"


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
        if a is None or b is None or a.is_end:
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
    wiring: tuple[tuple[str, str, str], ...] = ()
    """The stages that read others than before: what each read, and reads."""
    recut: bool = False
    """Whether they are the same only as graphs of ops: their units are cut otherwise, or have
    their inputs and outputs in another order."""

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
    if alike := likeness(before, after):
        return Difference(before, after, True, (), alike.regrouped, recut=alike.recut)
    ours, theirs = taken_apart(before, apart), taken_apart(after, apart)
    matched = _matched(before, after, ours, theirs)
    numbers = Numbers()
    pairs = tuple(pair for a, b in matched for pair in _pairs(a, b, numbers))
    wiring = tuple(_rewired(before, after, matched))
    return Difference(before, after, False, pairs, wiring=wiring)


Matched = list[tuple[Stage | None, Stage | None]]


def _matched(
    before: Graph, after: Graph, ours: Sequence[Stage], theirs: Sequence[Stage]
) -> Matched:
    """The stages side by side: in two chains by their order, else by name and then by order;
    the stem first and the head last."""
    ends = {STEM, HEAD}
    both = [[s for s in side if s.row.name not in ends] for side in (ours, theirs)]
    found: Matched
    if all(Dag[Row].of(g.network.block).is_chain for g in (before, after)):
        found = [(a, b) for a, b in zip_longest(*both)]
    else:
        found = _by_name(*both)
    named = [{s.row.name: s for s in side} for side in (ours, theirs)]
    stem, head = ((named[0].get(end), named[1].get(end)) for end in (STEM, HEAD))
    return [pair for pair in (stem, *found, head) if any(pair)]


def _by_name(ours: Sequence[Stage], theirs: Sequence[Stage]) -> Matched:
    mine = {s.row.name for s in ours}
    others = {s.row.name: s for s in theirs}
    left = iter([s for s in theirs if s.row.name not in mine])
    found: Matched = [
        (s, others[s.row.name] if s.row.name in others else next(left, None))
        for s in ours
    ]
    return [*found, *((None, s) for s in left)]


def _rewired(
    before: Graph, after: Graph, matched: Matched
) -> Iterator[tuple[str, str, str]]:
    """The stages that read other stages than before, and what the networks return."""
    renamed = {b.row.name: a.row.name for a, b in matched if a and b}
    for a, b in matched:
        if a and b:
            there = [_called(value, renamed) for value in b.row.inputs]
            if [*a.row.inputs] != there:
                name = arrow(a.row.name, b.row.name)
                yield name, ", ".join(a.row.inputs), ", ".join(b.row.inputs)
    old, new = (graph.network.block.results for graph in (before, after))
    there = [_called(value, renamed) for value in new.values()]
    if [*old.values()] != [there[i] for i in in_order_of([*old], [*new])]:
        yield OUTPUTS, _listed(old), _listed(new)


def _called(value: str, renamed: Mapping[str, str]) -> str:
    """The value by the name that its stage had."""
    stage, dot, output = value.partition(".")
    return f"{renamed.get(stage, stage)}{dot}{output}"


def _listed(results: Mapping[str, str]) -> str:
    return ", ".join(n if n == v else f"{n} ({v})" for n, v in results.items())


def _pairs(a: Stage | None, b: Stage | None, numbers: Numbers) -> list[Pair]:
    ours, theirs = (rows_of(side, numbers) if side else [] for side in (a, b))
    found = [_pair(x, y, numbers) for x, y in side_by_side(ours, theirs)]
    return _joined(found, numbers)


def _pair(a: Units | None, b: Units | None, numbers: Numbers) -> Pair:
    found = edits(a.instance, b.instance, numbers) if a and b else ()
    if a and b and found and regrouped(a.instance, b.instance):
        return Pair(a, b, regrouped=True)
    return Pair(a, b, found)


def _joined(stage: list[Pair], numbers: Numbers) -> list[Pair]:
    """The first unit's pair with the next one, where it plays no part of its own."""
    first = _together(stage[0], stage[1], numbers) if len(stage) > 1 else None
    return [first, *stage[2:]] if first else stage


def _together(x: Pair, y: Pair, numbers: Numbers) -> Pair | None:
    """Both pairs as one, if nothing but places and numbers tells them apart."""
    if not (x.before and x.after and y.before and y.after):
        return None
    one, two = ((p.edits, p.regrouped, p.properties, p.factors) for p in (x, y))
    if one != two:
        return None
    for a, b in ((x.before, y.before), (x.after, y.after)):
        if a.name != b.name or numbers.of(a.instance) != numbers.of(b.instance):
            return None
    rows = x.before.with_next(y.before), x.after.with_next(y.after)
    return Pair(*rows, x.edits, x.regrouped)


def _share(count: int, total: int) -> str:
    """`none of 54`, `51 of 54`, `all of 54`."""
    return f"{_extent(count, total) or count} of {total}"


def _extent(count: int, total: int) -> str:
    """`none`, `all`, or nothing where it is neither."""
    return "none" if count == 0 else "all" if count == total else ""
