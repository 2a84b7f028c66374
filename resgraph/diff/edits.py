"""The edits that make one unit of another: ops added, removed, moved, changed, rewired."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import Any

from resgraph.diagnostics import Span
from resgraph.diff.align import kept_and_moved
from resgraph.diff.isomorphism import Numbers
from resgraph.diff.parts import Standing
from resgraph.diff.view import Item, View
from resgraph.graph import Instance
from resgraph.prove.parts import decompose


class Change(StrEnum):
    """What became of an op."""

    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    CHANGED = "changed"
    REWIRED = "rewired"
    """It reads other values, or makes the unit's result where another op did."""


def arrow(old: str, new: str) -> str:
    """`old -> new`, or one of them where they are equal or the other is none."""
    return f"{old} -> {new}" if old and new and old != new else old or new


@dataclass(frozen=True)
class Spot:
    """An op of one of the two units, and where it stands."""

    name: str
    kind: str
    attributes: Mapping[str, Any]
    """What differs from the defaults."""
    where: str
    after: str
    reads: tuple[str, ...]
    span: Span

    def as_json(self) -> dict[str, Any]:
        """For a program: name, op, attributes, where, reads, file, line, col."""
        return {
            "name": self.name,
            "op": self.kind,
            "attributes": dict(self.attributes),
            "where": self.where,
            "reads": list(self.reads),
            "file": self.span.file,
            "line": self.span.line,
            "col": self.span.col,
        }


@dataclass(frozen=True)
class Edit:
    """One op's change; `before` is None where it was added, `after` where it was removed."""

    change: Change
    before: Spot | None
    after: Spot | None
    attributes: tuple[tuple[str, Any, Any], ...] = ()
    """Of a changed op: attribute, value before, value after."""

    def as_json(self) -> dict[str, Any]:
        """For a program: change, before, after, attributes."""
        return {
            "change": self.change.value,
            "before": self.before.as_json() if self.before else None,
            "after": self.after.as_json() if self.after else None,
            "attributes": {
                name: {"before": old, "after": new}
                for name, old, new in self.attributes
            },
        }


def edits(a: Instance, b: Instance, numbers: Numbers | None = None) -> tuple[Edit, ...]:
    """What makes `b` of `a`: first what `a` had, in reading order, then what is new.

    None at all where both are the same graph. `edits(b, a)` is the same, read backwards. A
    unit in them is one item where that tells it all in fewer edits, and is looked into where
    it is what changed.
    """
    numbers = numbers or Numbers()
    if numbers.of(a) == numbers.of(b):
        return ()
    folded = _folded(a, b, numbers)
    if not any((*a.block.rows, *b.block.rows)):
        return folded
    flat = tuple(_Comparison(a.flat, b.flat, numbers, (), ()).edits())
    return min(filter(None, (folded, flat)), key=len, default=flat)


def _folded(a: Instance, b: Instance, numbers: Numbers) -> tuple[Edit, ...]:
    """The edits where units that became other ones are looked into."""
    opened: tuple[set[str], set[str]] = (set(), set())
    while True:
        found = _Comparison(a, b, numbers, *opened)
        differing = found.differing()
        if not differing:
            return tuple(found.edits())
        for x, y in differing:
            opened[0].add(x)
            opened[1].add(y)


class _Comparison:
    """Two units that are not the same graph."""

    def __init__(
        self,
        a: Instance,
        b: Instance,
        numbers: Numbers,
        ours: Collection[str],
        theirs: Collection[str],
    ) -> None:
        views = View.of(a, numbers, ours), View.of(b, numbers, theirs)
        self.views = views
        parts = decompose(a), decompose(b)
        if None in parts:
            parts = None, None
        self.before, self.after = map(Standing.of, views, parts)
        self.kept, self.moved = kept_and_moved(self.before, self.after)
        self.anchors = (
            _anchors(views[0], {ours: ours for ours in self.kept}),
            _anchors(views[1], {b: a for a, b in self.kept.items()}),
        )

    def differing(self) -> list[tuple[str, str]]:
        """Units in the two that stand for each other, and are other graphs."""
        a, b = (view.items for view in self.views)
        return [
            (x, y)
            for x, y in self.kept.items()
            if a[x].inner and b[y].inner and a[x].inner[0] != b[y].inner[0]
        ]

    def edits(self) -> Iterator[Edit]:
        pairs = self.kept | self.moved
        for name in self.views[0].items:
            before = self._before(name)
            if name not in pairs:
                yield Edit(Change.REMOVED, before, None)
                continue
            after = self._after(pairs[name])
            if name in self.moved:
                yield Edit(Change.MOVED, before, after)
                continue
            yield from self._kept(name, before, after)
        old = {*pairs.values()}
        for name in self.views[1].items:
            if name not in old:
                yield Edit(Change.ADDED, None, self._after(name))

    def _kept(self, name: str, before: Spot, after: Spot) -> Iterator[Edit]:
        other = self.kept[name]
        if self.views[0].items[name].label != self.views[1].items[other].label:
            changed = tuple(self._attributes(name, other))
            if changed:
                yield Edit(Change.CHANGED, before, after, changed)
        if self._rewired(name, other):
            yield Edit(Change.REWIRED, before, after)

    def _attributes(self, name: str, other: str) -> Iterator[tuple[str, Any, Any]]:
        mine = self.views[0].items[name].fields
        theirs = self.views[1].items[other].fields
        for key, old in mine.items():
            if key in theirs and old != theirs[key]:
                yield key, old, theirs[key]

    def _rewired(self, name: str, other: str) -> bool:
        """Whether what it reads has nothing in common, or it makes the result on one side."""
        ours, theirs = self.anchors
        before, after = self.views
        none = frozenset[str]()
        for result, there in zip_longest(before.outputs, after.outputs):
            if (name in ours.get(result, none)) != (name in theirs.get(there, none)):
                return True
        old = [ours[value] for value in before.items[name].reads]
        new = [theirs[value] for value in after.items[other].reads]
        if len(old) != len(new):
            return True
        if before.items[name].commutes:
            return not _pairable(old, new)
        return not all(a & b for a, b in zip(old, new, strict=True))

    def _before(self, name: str) -> Spot:
        return _spot(self.before, self.views[0].items[name])

    def _after(self, name: str) -> Spot:
        return _spot(self.after, self.views[1].items[name])


def _spot(standing: Standing, item: Item) -> Spot:
    return Spot(
        item.name,
        item.kind,
        item.attributes,
        standing.where(item.name),
        standing.after(item.name),
        item.reads,
        item.span,
    )


def _anchors(view: View, kept: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """By value, the kept items that it is, or comes from through ones that are not kept.

    Kept ones are called by their names in the first unit, given by their own names; inputs
    by their numbers.
    """
    found = {x: frozenset({f"input {n}"}) for n, x in enumerate(view.inputs)}
    for name, item in view.items.items():
        if name in kept:
            found[name] = frozenset({kept[name]})
        else:
            found[name] = frozenset[str]().union(*(found[i] for i in item.reads))
    return found


def _pairable(old: Sequence[frozenset[str]], new: Sequence[frozenset[str]]) -> bool:
    """Whether each of the old has one of the new to itself with which it has an item in common."""
    owner: dict[int, int] = {}

    def placed(i: int, tried: set[int]) -> bool:
        for j, other in enumerate(new):
            if j not in tried and old[i] & other:
                tried.add(j)
                if j not in owner or placed(owner[j], tried):
                    owner[j] = i
                    return True
        return False

    return all(placed(i, set()) for i in range(len(old)))
