"""Which op of one unit became which of another, with as little moved as can be.

Each part's ops are aligned as sequences; what is left over in one place and stands in
another is an op that moved. Whatever is decided here is decided alike from both sides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from resgraph.diff.isomorphism import Label
from resgraph.diff.parts import PARTS, Standing
from resgraph.graph import Node
from resgraph.ops import Role

T = TypeVar("T")

Pairs = list[tuple[T | None, T | None]]
# What it is worth to keep two ops together: weight layers are what the others stand around.
_WORTH = {Role.WEIGHT: (8.0, 6.0)}
_OTHERS = (3.0, 2.0)
"""For equal ops, and for ops of one kind with other attributes."""


def aligned(
    a: Sequence[T],
    b: Sequence[T],
    key: Callable[[T], Any],
    worth: Callable[[T, T], float],
) -> Pairs[T]:
    """The two sequences side by side, so that pairs are worth most in sum; order is kept.

    Among equals the earliest items are paired. A pair that is worth 0 is none.
    """
    ours, theirs = [key(item) for item in a], [key(item) for item in b]
    if ours == theirs:
        return list(zip(a, b, strict=True))
    if theirs < ours:
        return [(x, y) for y, x in _aligned(b, a, worth)]
    return _aligned(a, b, worth)


def _aligned(
    a: Sequence[T], b: Sequence[T], worth: Callable[[T, T], float]
) -> Pairs[T]:
    best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    value = [[worth(x, y) for y in b] for x in a]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            together = value[i][j] + best[i + 1][j + 1]
            best[i][j] = max(together, best[i + 1][j], best[i][j + 1])
    pairs: Pairs[T] = []
    i = j = 0
    while i < len(a) and j < len(b):
        if value[i][j] > 0 and best[i][j] == value[i][j] + best[i + 1][j + 1]:
            pairs.append((a[i], b[j]))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            pairs.append((a[i], None))
            i += 1
        else:
            pairs.append((None, b[j]))
            j += 1
    return [*pairs, *((x, None) for x in a[i:]), *((None, y) for y in b[j:])]


Labels = Mapping[str, Label]
"""By the name of each op of a unit, what it does."""
_Item = tuple[Node, Label]


def kept_and_moved(
    a: Standing, b: Standing, labels: tuple[Labels, Labels]
) -> tuple[dict[str, str], dict[str, str]]:
    """Ops of `a` with those of `b` that they are: in their place, and moved.

    Where more is missing than is new, or less, what stands in F or in f is what moved.
    """
    kept: dict[str, str] = {}
    missing: list[_Item] = []
    new: list[_Item] = []
    for part in PARTS:
        ours = [(n, labels[0][n.name]) for n in a.chains.get(part, ())]
        theirs = [(n, labels[1][n.name]) for n in b.chains.get(part, ())]
        for x, y in aligned(ours, theirs, key=lambda item: item[1], worth=_worth):
            if x and y:
                kept[x[0].name] = y[0].name
            elif x:
                missing.append(x)
            elif y:
                new.append(y)
    return kept, _moved(missing, new)


def _worth(x: _Item, y: _Item) -> float:
    if x[0].op.kind != y[0].op.kind:
        return 0.0
    equal, alike = _WORTH.get(x[0].op.role, _OTHERS)
    return equal if x[1] == y[1] else alike


def _moved(missing: list[_Item], new: list[_Item]) -> dict[str, str]:
    """What is missing in one place and stands in another, first come first served."""
    waiting: dict[Label, list[str]] = defaultdict(list)
    for node, label in new:
        waiting[label].append(node.name)
    return {
        node.name: waiting[label].pop(0) for node, label in missing if waiting[label]
    }
