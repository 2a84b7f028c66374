"""Where an op stands in its unit, in the paper's terms: h, F, the addition, f."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from resgraph.diff.view import Item, View
from resgraph.ops import Role
from resgraph.prove.parts import Parts

BEFORE, H, F, Y, AFTER, BESIDE, ALL = "before", "h", "F", "y", "f", "beside", ""
PARTS = (F, AFTER, BEFORE, H, Y, BESIDE, ALL)
"""From where an op is most likely to have moved, to where it is least likely to."""
_WORDS = {
    BEFORE: "before the split",
    H: "on h",
    F: "in F",
    Y: "the addition",
    AFTER: "in f, after the addition",
    BESIDE: "on the way to another output",
}


@dataclass(frozen=True)
class Standing:
    """A unit's items by the part they stand in, each part in reading order.

    A unit that is not residual, a stem or a head is one part, `ALL`.
    """

    parts: Parts | None
    chains: Mapping[str, tuple[Item, ...]]

    @classmethod
    def of(cls, view: View, parts: Parts | None) -> Standing:
        """By h, F and f of the unit, if that is known."""
        if parts is None:
            return cls(None, {ALL: tuple(view.items.values())})
        places = dict[str, str]()
        for part, nodes in (
            (F, parts.F),
            (BEFORE, parts.before),
            (H, parts.h),
            (AFTER, parts.f),
            (Y, (parts.y,)),
        ):
            places |= dict.fromkeys((node.name for node in nodes), part)
        chains: dict[str, list[Item]] = {part: [] for part in PARTS}
        for item in view.items.values():
            chains[places.get(item.last, BESIDE)].append(item)
        return cls(parts, {part: tuple(items) for part, items in chains.items()})

    @cached_property
    def part_of(self) -> dict[str, str]:
        return {n.name: part for part, items in self.chains.items() for n in items}

    def where(self, name: str) -> str:
        """`in F, after its last weight layer`; of one part alone, after which op."""
        part = self.part_of[name]
        if part == ALL:
            return self.after(name)
        if (
            part == H
            and self.parts
            and self._last(name) in {n.name for n in self.parts.F}
        ):
            return "on h and in F"
        return _WORDS[part] + (self._among_weights(name) if part == F else "")

    def _last(self, name: str) -> str:
        return next(item.last for item in self.chains[H] if item.name == name)

    def after(self, name: str) -> str:
        """`after conv1`: which op stands before it in its part."""
        names = [node.name for node in self.chains[self.part_of[name]]]
        place = names.index(name)
        return f"after {names[place - 1]}" if place else "first"

    def _among_weights(self, name: str) -> str:
        nodes = self.chains[F]
        place = [node.name for node in nodes].index(name)
        before = [n.name for n in nodes[:place] if n.role is Role.WEIGHT]
        behind = [n.name for n in nodes[place + 1 :] if n.role is Role.WEIGHT]
        if before and behind:
            return f", between {before[-1]} and {behind[0]}"
        if behind:
            return f", before its {'first ' * (len(behind) > 1)}weight layer"
        if before:
            return f", after its {'last ' * (len(before) > 1)}weight layer"
        return ""
