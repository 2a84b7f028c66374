"""Where an op stands in its unit, in the paper's terms: h, F, the addition, f."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from resgraph.graph import Instance, Node
from resgraph.ops import Role
from resgraph.prove.parts import Parts, decompose

BEFORE, H, F, Y, AFTER, ALL = "before", "h", "F", "y", "f", ""
PARTS = (F, AFTER, BEFORE, H, Y, ALL)
"""From where an op is most likely to have moved, to where it is least likely to."""
_WORDS = {
    BEFORE: "before the split",
    H: "on h",
    F: "in F",
    Y: "the addition",
    AFTER: "in f, after the addition",
}


@dataclass(frozen=True)
class Standing:
    """A unit's ops by the part they stand in, each part in reading order.

    A unit that is not residual, a stem or a head is one part, `ALL`.
    """

    instance: Instance
    parts: Parts | None
    chains: Mapping[str, tuple[Node, ...]]

    @classmethod
    def of(cls, instance: Instance, residual: bool = True) -> Standing:
        """With `residual` false, the unit is taken as one part."""
        parts = decompose(instance) if residual else None
        if parts is None:
            nodes = tuple(node for _, node, _ in instance.unit.steps())
            return cls(instance, None, {ALL: nodes})
        on_h = {node.name for node in parts.h}
        chains = {
            BEFORE: parts.before,
            H: parts.h,
            F: tuple(node for node in parts.F if node.name not in on_h),
            Y: (parts.y,),
            AFTER: parts.f,
        }
        return cls(instance, parts, chains)

    @cached_property
    def part_of(self) -> dict[str, str]:
        return {n.name: part for part, nodes in self.chains.items() for n in nodes}

    def where(self, name: str) -> str:
        """`in F, after its last weight layer`; of one part alone, after which op."""
        part = self.part_of[name]
        if part == ALL:
            return self.after(name)
        if part == H and self.parts and name in {n.name for n in self.parts.F}:
            return "on h and in F"
        return _WORDS[part] + (self._among_weights(name) if part == F else "")

    def after(self, name: str) -> str:
        """`after conv1`: which op stands before it in its part."""
        names = [node.name for node in self.chains[self.part_of[name]]]
        place = names.index(name)
        return f"after {names[place - 1]}" if place else "first"

    def _among_weights(self, name: str) -> str:
        nodes = self.chains[F]
        place = [node.name for node in nodes].index(name)
        before = [n.name for n in nodes[:place] if n.op.role is Role.WEIGHT]
        behind = [n.name for n in nodes[place + 1 :] if n.op.role is Role.WEIGHT]
        if before and behind:
            return f", between {before[-1]} and {behind[0]}"
        if behind:
            return f", before its {'first ' * (len(behind) > 1)}weight layer"
        if before:
            return f", after its {'last ' * (len(before) > 1)}weight layer"
        return ""
