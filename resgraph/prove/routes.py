"""The ways of a signal through a unit: gates told from values, and the way that changes least."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

from resgraph.graph import Instance, Node
from resgraph.graph.dag import Dag
from resgraph.ops import Role, Shape


@dataclass(frozen=True)
class Routes(Dag[Node]):
    """A unit's ops, those of the units in it among them.

    Without `shapes`, what depends on them counts as not the case.
    """

    shapes: Mapping[str, Shape] = field(default_factory=dict)

    @classmethod
    def through(cls, instance: Instance) -> Routes:
        """Those of a unit, with the shapes that are known of it."""
        flat = instance.flat
        dag = Dag[Node].of(flat.block)
        return cls(dag.nodes, dag.inputs, dag.results, flat.shapes)

    @cached_property
    def breaking(self) -> frozenset[str]:
        """The nodes that change a value on its way through them."""
        return frozenset(name for name in self.nodes if self._breaks(name))

    def _breaks(self, name: str) -> bool:
        given = [self.shapes.get(value) for value in self.reads[name]]
        known = [shape for shape in given if shape is not None]
        return (
            self.nodes[name].op.gain(*(known if len(known) == len(given) else ()))
            != 1.0
        )

    def carries(self, start: str, end: str) -> bool:
        """Whether a path passes nothing but identities and sums."""
        kept = {start}
        for name in self.nodes:
            if name not in self.breaking and not kept.isdisjoint(self.reads[name]):
                kept.add(name)
        return end in kept

    @cached_property
    def origins(self) -> dict[str, frozenset[str]]:
        """By value, the inputs that it is computed from."""
        found = {x: frozenset({x}) for x in self.inputs}
        for name, values in self.reads.items():
            found[name] = frozenset[str]().union(*(found[value] for value in values))
        return found

    def meets(self, name: str) -> bool:
        """Whether values that come from other inputs meet in the node."""
        read = [self.origins[value] for value in self.reads[name]]
        return any(a.isdisjoint(b) for a, b in combinations(read, 2))

    def parts(self, start: str, split: str, y: str) -> bool:
        """Whether several of an addition's operands come from the value before it."""
        from_split = self.reached(split) | {split}
        return start == split or len([v for v in self.reads[y] if v in from_split]) > 1

    @cached_property
    def gates(self) -> dict[str, frozenset[str]]:
        """By product, its operands that are gates: the others are the values they act on.

        A gate scales each channel as a whole, or it is squashed, or it is computed from
        what it acts on. Where all operands would be gates, none is: that is a product of
        values.
        """
        found = dict[str, frozenset[str]]()
        for name, node in self.nodes.items():
            if node.op.multiplies:
                operands = {*self.reads[name]}
                gates = {value for value in operands if self._is_gate(value, name)}
                found[name] = frozenset(gates if gates < operands else ())
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
        plain = {n for n, node in self.nodes.items() if node.op.role is Role.PLAIN}
        met = self.walked(values, lambda n: self.values(n) if n in plain else ())
        return self.chosen(met - plain)

    def only_scales(self, name: str) -> bool:
        """Whether the node is a product that scales one value's channels, each as a whole."""
        gates = self.gates.get(name, frozenset())
        return len(self.values(name)) == 1 and all(self._scales(g, name) for g in gates)

    @cached_property
    def trunk(self) -> frozenset[str]:
        """The nodes that its outputs are computed from if gates are left out: the rest make
        gates."""
        return frozenset(self.walked(self.outputs, self.values))

    def weights(self, gates: Iterable[str]) -> int:
        """How many weight layers make the gates: those that nothing else needs."""
        made = self.needed(gates) - self.trunk
        return sum(self.nodes[name].op.role is Role.WEIGHT for name in made)

    def _scales(self, operand: str, product: str) -> bool:
        """Whether the operand is [C, 1, 1], and the product is not."""
        if not (operand in self.shapes and product in self.shapes):
            return False
        return self.shapes[operand][1:] == (1, 1) != self.shapes[product][1:]

    def _squashed(self, value: str) -> bool:
        """Whether it comes from an op that squashes, with nothing but plain ops between."""
        while value in self.nodes:
            op, read = self.nodes[value].op, self.reads[value]
            if op.squashes:
                return True
            if len(read) > 1 or op.role is not Role.PLAIN:
                return False
            (value,) = read
        return False

    def shortcut(
        self, split: str, operands: Sequence[str]
    ) -> tuple[str, tuple[str, ...]]:
        """Which of an addition's operands is h, and the others."""
        costs = self._costs(split)
        keys = [
            (costs[o][0][0], costs[o][0][1] > 0, i)
            for i, o in enumerate(operands)
            if o in costs
        ]
        (_, _, best) = min(keys)
        return operands[best], (*operands[:best], *operands[best + 1 :])

    def cheapest(self, start: str, end: str) -> tuple[Node, ...]:
        """The nodes after `start` up to `end`, along the path of fewest weight layers."""
        costs, names = self._costs(start), [end]
        while names[-1] != start:
            names.append(costs[names[-1]][1])
        return tuple(self.nodes[name] for name in names[-2::-1])

    def beside(self, start: str, route: Sequence[Node]) -> dict[str, tuple[str, ...]]:
        """What each node of a path reads, without the value that the path brings."""
        others, along = dict[str, tuple[str, ...]](), start
        for node in route:
            rest = [*self.reads[node.name]]
            rest.remove(along)
            others[node.name], along = tuple(rest), node.name
        return others

    def longest(self, start: str) -> dict[str, int]:
        """By value that comes from `start`, the most weight layers on a way, gates aside."""
        count = {start: 0}
        for name, node in self.nodes.items():
            known = [count[i] for i in self.values(name) if i in count]
            if known and name != start:
                count[name] = max(known) + (node.op.role is Role.WEIGHT)
        return count

    def _costs(self, start: str) -> dict[str, tuple[tuple[int, int], str]]:
        """(weight layers, nodes that break the identity) from `start`, and the value before."""
        costs = {start: ((0, 0), start)}
        for name, node in self.nodes.items():
            known = [(costs[i][0], i) for i in self.reads[name] if i in costs]
            if known and name != start:
                (weights, breaks), before = min(known, key=lambda pair: pair[0])
                weights += node.op.role is Role.WEIGHT
                costs[name] = ((weights, breaks + (name in self.breaking)), before)
        return costs
