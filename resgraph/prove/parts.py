"""A unit taken apart into the paper's h, F and f, Eq. (1): y = h(x) + F(x), x_next = f(y)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from resgraph.graph import INPUT, Instance, Node, Unit
from resgraph.ops import Role
from resgraph.prove.dag import Dag


@dataclass(frozen=True)
class Parts:
    """What stands where in a residual unit. Nodes are in reading order.

    A value is named by the node that makes it; the unit's input is `x`. So, with numbers
    for the values, y = value[h_value] + the sum of value[v] for v in F_values, and the
    unit returns f(y).
    """

    y: Node
    """The last addition that every path to `out` passes."""
    split: str
    """The last value before y that all paths share: `x`, or a shared activation."""
    h_value: str
    """The operand of y that the shortcut brings."""
    F_values: tuple[str, ...]
    """The other operands of y."""
    before: tuple[Node, ...]
    """Nodes from x to the split, which h and F share."""
    h: tuple[Node, ...]
    """Nodes that h_value needs, from the split on; none where h(x) = x. A gate on the
    shortcut is among them; one that acts on both branches is in h and in F."""
    F: tuple[Node, ...]
    """Nodes that F_values need, from the split on."""
    f: tuple[Node, ...]
    """Nodes after y."""
    route: tuple[Node, ...]
    """The shortcut itself, from x to `out`: a path through before, h, y and f with as few
    weight layers as there can be, and then as few nodes that change the value."""
    broken: frozenset[str]
    """The nodes of the route that change the value."""
    beside: Mapping[str, tuple[str, ...]]
    """The other values that each node of the route reads: what a sum adds to the shortcut,
    or a gate multiplies it by."""

    @cached_property
    def breaks_before(self) -> tuple[Node, ...]:
        """Nodes before the split, on the route, that change the value."""
        return self._broken(self.before)

    @cached_property
    def breaks_h(self) -> tuple[Node, ...]:
        """Nodes of h, on the route, that change the value."""
        return self._broken(self.h)

    @cached_property
    def breaks_f(self) -> tuple[Node, ...]:
        """Nodes of f, on the route, that change the value."""
        return self._broken(self.f)

    @property
    def is_identity_before(self) -> bool:
        """Whether x reaches the split as it is."""
        return not self.breaks_before

    @property
    def is_identity_h(self) -> bool:
        """Whether h is the identity, of the value at the split."""
        return not self.breaks_h

    @property
    def is_identity_f(self) -> bool:
        """Whether f is the identity."""
        return not self.breaks_f

    @property
    def is_identity(self) -> bool:
        """Whether x reaches `out` as it is, as a term of sums: Eq. (2) holds."""
        return not self.broken

    def _broken(self, nodes: Iterable[Node]) -> tuple[Node, ...]:
        on_route = {node.name for node in self.route} & self.broken
        return tuple(node for node in nodes if node.name in on_route)


def decompose(unit: Unit | Instance) -> Parts | None:
    """The unit's h, F and f; None where no addition is on every path from x to `out`.

    y is the last such addition. h is the operand of y with fewest weight layers between
    the split and y, counted along the operand's best path; among equals an identity, then
    the one written first. An `Instance` is judged with its shapes; a `Unit` without, so
    that an op which is the identity only at some shapes counts as breaking it.
    """
    graph = Dag.of(unit)
    sums = [
        name
        for name in graph.spine()
        if name != INPUT and graph.node(name).op.sums and len(graph.reads[name]) > 1
    ]
    if not sums:
        return None
    y = sums[-1]
    split = graph.dominators[y]
    h_value, others = graph.shortcut(split, graph.reads[y])
    shared = graph.needed([split])
    route = (
        *graph.cheapest(INPUT, split),
        *graph.cheapest(split, h_value),
        graph.node(y),
        *graph.cheapest(y, graph.output),
    )
    return Parts(
        y=graph.node(y),
        split=split,
        h_value=h_value,
        F_values=others,
        before=graph.nodes(shared),
        h=graph.nodes(graph.needed([h_value]) - shared),
        F=graph.nodes(graph.needed(others) - shared),
        f=graph.nodes(graph.steps.keys() - graph.needed([y])),
        route=route,
        broken=frozenset(n.name for n in route if n.name in graph.breaking),
        beside=graph.beside(route),
    )


def passed_by_all(unit: Unit | Instance) -> tuple[Node, ...]:
    """The nodes that change the value and that every path from x to `out` passes."""
    graph = Dag.of(unit)
    return graph.nodes({*graph.spine()} & graph.breaking)


def is_identity(unit: Unit | Instance) -> bool:
    """Whether a path from x to `out` passes nothing but identities and sums."""
    parts = decompose(unit)
    if parts is not None:
        return parts.is_identity
    return not Dag.of(unit).breaking


def stacking(unit: Unit | Instance) -> Node | None:
    """What puts x as it is beside other channels on its way to `out`, in a dense unit."""
    graph = Dag.of(unit)
    kept: dict[str, Node | None] = {INPUT: None}
    for name, (node, inputs) in graph.steps.items():
        before = next((i for i in inputs if i in kept), None)
        if before is not None and (node.op.keeps or name not in graph.breaking):
            kept[name] = kept[before] or (node if node.op.keeps else None)
    return kept.get(graph.output)


def longest(unit: Unit | Instance) -> int:
    """Weight layers on the path from x to `out` that has most of them.

    Those of a gate do not count: SE-ResNet-50 has 50, as ResNet-50 has.
    """
    graph, count = Dag.of(unit), {INPUT: 0}
    for name, (node, _) in graph.steps.items():
        own = node.op.role is Role.WEIGHT
        count[name] = max(count[i] for i in graph.values(name)) + own
    return count[graph.output]
