"""A unit as a directed acyclic graph: what all paths pass, and the path that changes least."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from resgraph.graph import INPUT, Instance, Node, Unit
from resgraph.ops import Role, Shape

Step = tuple[Node, tuple[str, ...]]
"""A node with the values it reads."""


@dataclass(frozen=True)
class Dag:
    """A unit's nodes by name, in reading order, which is a topological one.

    Without `shapes`, what depends on them counts as not the case.
    """

    steps: Mapping[str, Step]
    output: str
    breaking: frozenset[str]
    shapes: Mapping[str, Shape] | None = None

    @classmethod
    def of(cls, unit: Unit | Instance) -> Dag:
        plain, shapes = (
            (unit.unit, unit.shapes) if isinstance(unit, Instance) else (unit, None)
        )
        steps = {node.name: (node, inputs) for _, node, inputs in plain.steps()}
        breaking = {name for name, step in steps.items() if _breaks(step, shapes)}
        return cls(steps, plain.output, frozenset(breaking), shapes)

    @cached_property
    def reads(self) -> dict[str, tuple[str, ...]]:
        return {name: inputs for name, (_, inputs) in self.steps.items()}

    @cached_property
    def readers(self) -> Counter[str]:
        """How many read each value; the unit's output is read once more, by what follows."""
        return Counter(
            [self.output, *(i for read in self.reads.values() for i in read)]
        )

    @cached_property
    def gates(self) -> dict[str, frozenset[str]]:
        """By product, its operands that are gates: the others are the values they act on.

        A gate scales each channel as a whole, or it is squashed, or it is computed from
        what it acts on. Where all operands would be gates, none is: that is a product of
        values.
        """
        found = dict[str, frozenset[str]]()
        for name, (node, inputs) in self.steps.items():
            if node.op.multiplies:
                gates = {value for value in inputs if self._is_gate(value, name)}
                found[name] = frozenset(gates if gates < {*inputs} else ())
        return found

    def _is_gate(self, operand: str, product: str) -> bool:
        others = {*self.reads[product]} - {operand}
        return (
            self._scales(operand, product)
            or self._squashed(operand)
            or not others.isdisjoint(self.needed([operand]))
        )

    def values(self, name: str) -> tuple[str, ...]:
        """What a node reads, without gates."""
        gates = self.gates.get(name, frozenset())
        return tuple(i for i in self.reads[name] if i not in gates)

    def endings(self, values: Iterable[str]) -> tuple[Node, ...]:
        """What the values come out of: the last nodes that are not plain, gates aside."""
        plain = {n for n, (node, _) in self.steps.items() if node.op.role is Role.PLAIN}
        reached = self._reached(values, lambda n: self.values(n) if n in plain else ())
        return self.nodes(reached - plain)

    def only_scales(self, name: str) -> bool:
        """Whether the node is a product that scales one value's channels, each as a whole."""
        gates = self.gates.get(name, frozenset())
        return len(self.values(name)) == 1 and all(self._scales(g, name) for g in gates)

    @cached_property
    def trunk(self) -> frozenset[str]:
        """The nodes that `out` is computed from if gates are left out: the rest make gates."""
        return frozenset(self._reached([self.output], self.values))

    def weights(self, gates: Iterable[str]) -> int:
        """How many weight layers make the gates: those that nothing else needs."""
        made = self.needed(gates) - self.trunk
        return sum(node.op.role is Role.WEIGHT for node in self.nodes(made))

    def _scales(self, operand: str, product: str) -> bool:
        """Whether the operand is [C, 1, 1], and the product is not."""
        if self.shapes is None:
            return False
        return self.shapes[operand][1:] == (1, 1) != self.shapes[product][1:]

    def _squashed(self, value: str) -> bool:
        """Whether it comes from an op that squashes, with nothing but plain ops between."""
        while value != INPUT:
            node, inputs = self.steps[value]
            if node.op.squashes:
                return True
            if len(inputs) > 1 or node.op.role is not Role.PLAIN:
                return False
            (value,) = inputs
        return False

    @cached_property
    def dominators(self) -> dict[str, str]:
        """The last value that every path from x to each value passes before it."""
        depth, above = {INPUT: 0}, dict[str, str]()
        for name, inputs in self.reads.items():
            meet = inputs[0]
            for other in inputs[1:]:
                while meet != other:
                    if depth[meet] < depth[other]:
                        other = above[other]
                    else:
                        meet = above[meet]
            above[name], depth[name] = meet, depth[meet] + 1
        return above

    def node(self, name: str) -> Node:
        return self.steps[name][0]

    def nodes(self, names: Collection[str]) -> tuple[Node, ...]:
        """In reading order."""
        return tuple(node for name, (node, _) in self.steps.items() if name in names)

    def spine(self) -> list[str]:
        """The values that every path from x to `out` passes, in order, x first."""
        names = [self.output]
        while names[-1] != INPUT:
            names.append(self.dominators[names[-1]])
        return names[::-1]

    def needed(self, values: Iterable[str]) -> set[str]:
        """The nodes that the values are computed from, their own among them."""
        return self._reached(values, lambda name: self.reads[name])

    def _reached(
        self, values: Iterable[str], before: Callable[[str], tuple[str, ...]]
    ) -> set[str]:
        found, left = set[str](), [v for v in values if v != INPUT]
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += [i for i in before(name) if i != INPUT]
        return found

    def shortcut(
        self, split: str, operands: Sequence[str]
    ) -> tuple[str, tuple[str, ...]]:
        """Which of an addition's operands is h, and the others."""
        costs = self._costs(split)
        keys = [(costs[o][0][0], costs[o][0][1] > 0, i) for i, o in enumerate(operands)]
        (_, _, best) = min(keys)
        return operands[best], (*operands[:best], *operands[best + 1 :])

    def cheapest(self, start: str, end: str) -> tuple[Node, ...]:
        """The nodes after `start` up to `end`, along the path of fewest weight layers."""
        costs, names = self._costs(start), [end]
        while names[-1] != start:
            names.append(costs[names[-1]][1])
        return tuple(self.node(name) for name in names[-2::-1])

    def beside(self, route: Sequence[Node]) -> dict[str, tuple[str, ...]]:
        """What each node of a path from x reads, without the value that the path brings."""
        others, along = dict[str, tuple[str, ...]](), INPUT
        for node in route:
            rest = [*self.reads[node.name]]
            rest.remove(along)
            others[node.name], along = tuple(rest), node.name
        return others

    def _costs(self, start: str) -> dict[str, tuple[tuple[int, int], str]]:
        """(weight layers, nodes that break the identity) from `start`, and the value before."""
        costs = {start: ((0, 0), start)}
        for name, (node, inputs) in self.steps.items():
            known = [(costs[i][0], i) for i in inputs if i in costs]
            if known and name != start:
                (weights, breaks), before = min(known, key=lambda pair: pair[0])
                weights += node.op.role is Role.WEIGHT
                costs[name] = ((weights, breaks + (name in self.breaking)), before)
        return costs


def _breaks(step: Step, shapes: Mapping[str, Shape] | None) -> bool:
    node, inputs = step
    return node.op.gain(*(shapes[i] for i in inputs) if shapes else ()) != 1.0
