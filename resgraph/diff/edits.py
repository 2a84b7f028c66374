"""The edits that make one unit of another: ops added, removed, moved, changed, rewired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from resgraph.diagnostics import Span
from resgraph.diff.align import kept_and_moved
from resgraph.diff.isomorphism import isomorphism, labels
from resgraph.diff.parts import Standing
from resgraph.graph import INPUT, Instance, Node
from resgraph.prove.dag import Dag


class Change(StrEnum):
    """What became of an op."""

    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    CHANGED = "changed"
    REWIRED = "rewired"
    """It reads other values, or makes the unit's result where another op did."""


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


def edits(a: Instance, b: Instance) -> tuple[Edit, ...]:
    """What makes `b` of `a`: first what `a` had, in reading order, then what is new.

    None at all where both are the same graph. `edits(b, a)` is the same, read backwards.
    """
    if isomorphism(a, b) is not None:
        return ()
    return tuple(_Comparison(a, b).edits())


class _Comparison:
    """Two units that are not the same graph."""

    def __init__(self, a: Instance, b: Instance) -> None:
        both = Standing.of(a), Standing.of(b)
        if None in (both[0].parts, both[1].parts):
            both = Standing.of(a, residual=False), Standing.of(b, residual=False)
        self.before, self.after = both
        self.dags = Dag.of(a), Dag.of(b)
        self.labels = labels(a), labels(b)
        self.kept, self.moved = kept_and_moved(*both, self.labels)
        self.anchors = (
            _anchors(self.dags[0], {ours: ours for ours in self.kept}),
            _anchors(self.dags[1], {b: a for a, b in self.kept.items()}),
        )

    def edits(self) -> Iterator[Edit]:
        pairs = self.kept | self.moved
        for name in self.dags[0].steps:
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
        for name in self.dags[1].steps:
            if name not in old:
                yield Edit(Change.ADDED, None, self._after(name))

    def _kept(self, name: str, before: Spot, after: Spot) -> Iterator[Edit]:
        other = self.kept[name]
        if self.labels[0][name] != self.labels[1][other]:
            changed = tuple(self._attributes(name, other))
            if changed:
                yield Edit(Change.CHANGED, before, after, changed)
        if self._rewired(name, other):
            yield Edit(Change.REWIRED, before, after)

    def _attributes(self, name: str, other: str) -> Iterator[tuple[str, Any, Any]]:
        mine, theirs = self.dags[0].node(name).op, self.dags[1].node(other).op
        for key in type(mine).model_fields:
            old, new = getattr(mine, key), getattr(theirs, key)
            if key != "name" and old != new:
                yield key, old, new

    def _rewired(self, name: str, other: str) -> bool:
        """Whether what it reads has nothing in common, or it makes the result on one side."""
        ours, theirs = self.anchors
        before, after = self.dags
        if (name in ours[before.output]) != (name in theirs[after.output]):
            return True
        old = [ours[value] for value in before.reads[name]]
        new = [theirs[value] for value in after.reads[other]]
        if len(old) != len(new):
            return True
        if before.node(name).op.commutes:
            return not _pairable(old, new)
        return not all(a & b for a, b in zip(old, new, strict=True))

    def _before(self, name: str) -> Spot:
        return _spot(self.before, *self.dags[0].steps[name])

    def _after(self, name: str) -> Spot:
        return _spot(self.after, *self.dags[1].steps[name])


def _spot(standing: Standing, node: Node, reads: tuple[str, ...]) -> Spot:
    return Spot(
        node.name,
        node.op.kind,
        node.op.attributes(),
        standing.where(node.name),
        standing.after(node.name),
        reads,
        node.span,
    )


def _anchors(dag: Dag, kept: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """By value, the kept ops that it is, or comes from through ops that are not kept.

    Kept ops are called by their names in the first unit, given by their own names.
    """
    found = {INPUT: frozenset({INPUT})}
    for name, reads in dag.reads.items():
        if name in kept:
            found[name] = frozenset({kept[name]})
        else:
            found[name] = frozenset[str]().union(*(found[i] for i in reads))
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
