"""A unit taken apart into the paper's h, F and f, Eq. (1): y = h(x) + F(x), x_next = f(y)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from resgraph.graph import Instance, Node
from resgraph.ops import Role
from resgraph.prove.routes import Routes


@dataclass(frozen=True)
class Parts:
    """What stands where in a residual unit. Nodes are in reading order.

    A value is named by the node that makes it, or by the input that it is. So, with numbers
    for the values, y = value[h_value] + the sum of value[v] for v in F_values, and the
    unit returns f(y). Of several inputs x is one, and of several outputs `out`.
    """

    x: str
    """The input that the shortcut starts from."""
    out: str
    """The value that it leads to."""
    y: Node
    """The last addition that every path from x to `out` passes."""
    split: str
    """The last value before y that all these paths share: x, or a shared activation. It is x
    where what is added comes from other inputs alone."""
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

    @property
    def weights(self) -> int:
        """How many weight layers are on the route."""
        return sum(node.op.role is Role.WEIGHT for node in self.route)

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


def decompose(instance: Instance) -> Parts | None:
    """The unit's h, F and f, for its first input that has some; None where no addition is on
    every path from an input to an output."""
    return next(iter(shortcuts(instance)), None)


def shortcuts(instance: Instance) -> tuple[Parts, ...]:
    """The unit's h, F and f, for each input that its shortcut may start from: of those from
    which every path passes an addition the ones with fewest weight layers on the way."""
    found = ways(instance)
    fewest = min((parts.weights for parts in found), default=0)
    return tuple(parts for parts in found if parts.weights == fewest)


def ways(instance: Instance) -> tuple[Parts, ...]:
    """The unit's h, F and f, for each input from which every path passes an addition.

    Of several outputs it is the first one that the input reaches as it is; else the first.
    Ops of the units in it are among them. What depends on shapes that are not known counts
    as breaking the identity.
    """
    routes = Routes.through(instance)
    found = []
    for x in routes.inputs:
        ends = [parts for out in routes.outputs if (parts := _parts(routes, x, out))]
        ends.sort(key=lambda parts: not parts.is_identity)
        found += ends[:1]
    return tuple(found)


def _parts(routes: Routes, x: str, out: str) -> Parts | None:
    """What leads from x to `out`, if every way does through an addition.

    y is the last such addition. h is the operand of y with fewest weight layers between
    the split and y, counted along the operand's best path; among equals an identity, then
    the one written first.
    """
    above = routes.dominators(x)
    sums = [
        name
        for name in routes.spine(x, out)
        if name != x and routes.nodes[name].op.sums and len(routes.reads[name]) > 1
    ]
    if not sums:
        return None
    y = sums[-1]
    split = above[y] if routes.parts(x, above[y], y) else x
    h_value, others = routes.shortcut(split, routes.reads[y])
    shared = routes.needed([split])
    route = (
        *routes.cheapest(x, split),
        *routes.cheapest(split, h_value),
        routes.nodes[y],
        *routes.cheapest(y, out),
    )
    return Parts(
        x=x,
        out=out,
        y=routes.nodes[y],
        split=split,
        h_value=h_value,
        F_values=others,
        before=routes.chosen(shared),
        h=routes.chosen(routes.needed([h_value]) - shared),
        F=routes.chosen(routes.needed(others) - shared),
        f=routes.chosen(routes.needed([out]) - routes.needed([y])),
        route=route,
        broken=frozenset(n.name for n in route if n.name in routes.breaking),
        beside=routes.beside(x, route),
    )


def passed_by_all(instance: Instance) -> tuple[Node, ...]:
    """The nodes that change the value and that every path through the unit passes."""
    routes = Routes.through(instance)
    spines = [routes.spine(x, out) for x in routes.inputs for out in routes.outputs]
    shared = set.intersection(*({*way} for way in spines if way))
    return routes.chosen(shared & routes.breaking)


def is_identity(instance: Instance) -> bool:
    """Whether a path through it passes nothing but identities and sums."""
    routes = Routes.through(instance)
    return any(routes.carries(x, out) for x in routes.inputs for out in routes.outputs)


@dataclass(frozen=True)
class Stacking:
    """What puts inputs of a dense unit as they are beside other channels."""

    node: Node
    inputs: tuple[str, ...]
    alone: bool
    """Whether they are all that the unit reads."""


def stacking(instance: Instance) -> Stacking | None:
    """What puts inputs as they are beside other channels on their way to `out`."""
    routes = Routes.through(instance)
    stacks: dict[str, Node | None] = dict.fromkeys(routes.inputs)
    kept = {x: frozenset({x}) for x in routes.inputs}
    for name, node in routes.nodes.items():
        before = [i for i in routes.reads[name] if i in kept]
        if before and (node.op.keeps or name not in routes.breaking):
            stacks[name] = stacks[before[0]] or (node if node.op.keeps else None)
            kept[name] = frozenset[str]().union(*(kept[i] for i in before))
    stack = stacks.get(routes.output)
    if stack is None:
        return None
    inputs = tuple(x for x in routes.inputs if x in kept[routes.output])
    return Stacking(stack, inputs, len(routes.inputs) == 1)


def longest(instance: Instance) -> int:
    """Weight layers on the path through it that has most of them.

    Those of a gate do not count: SE-ResNet-50 has 50, as ResNet-50 has.
    """
    return max(count or 0 for way in lengths(instance) for count in way)


def lengths(instance: Instance) -> list[list[int | None]]:
    """For each output, the weight layers on the longest path from each input, if there is one."""
    routes = Routes.through(instance)
    counts = [routes.longest(x) for x in routes.inputs]
    return [[count.get(out) for count in counts] for out in routes.outputs]
