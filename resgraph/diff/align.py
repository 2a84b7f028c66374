"""Which op of one unit became which of another, with as little moved as can be.

Each part's ops are aligned as sequences; what is left over in one place and stands in
another is an op that moved. Whatever is decided here is decided alike from both sides.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from resgraph.diff.isomorphism import Label
from resgraph.diff.parts import PARTS, Standing
from resgraph.diff.view import Item
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


def kept_and_moved(a: Standing, b: Standing) -> tuple[dict[str, str], dict[str, str]]:
    """Items of `a` with those of `b` that they are: in their place, and moved.

    Where more is missing than is new, or less, what stands in F or in f is what moved.
    """
    kept: dict[str, str] = {}
    missing: list[Item] = []
    new: list[Item] = []
    for part in PARTS:
        ours, theirs = a.chains.get(part, ()), b.chains.get(part, ())
        for x, y in aligned(ours, theirs, key=lambda item: item.label, worth=_worth):
            if x and y:
                kept[x.name] = y.name
            elif x:
                missing.append(x)
            elif y:
                new.append(y)
    return kept, _moved(missing, new)


def _worth(x: Item, y: Item) -> float:
    if x.kind != y.kind and x.label != y.label:
        return 0.0
    equal, alike = _WORTH.get(x.role, _OTHERS)
    return equal if x.label == y.label else alike


def _moved(missing: list[Item], new: list[Item]) -> dict[str, str]:
    """What is missing in one place and stands in another, first come first served."""
    waiting: dict[Label, list[str]] = defaultdict(list)
    for item in new:
        waiting[item.label].append(item.name)
    return {
        item.name: waiting[item.label].pop(0) for item in missing if waiting[item.label]
    }
