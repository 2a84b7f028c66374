"""A unit, the stem or the head as lines of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resgraph.emit.layout import call, commented, split_call, statement
from resgraph.expr import Expr, exact, literal
from resgraph.graph import INPUT, OUTPUT, Instance, Node, Param, Path, Unit
from resgraph.names import variable
from resgraph.ops import Shape
from resgraph.ops.base import source

IN_CHANNELS = Expr("in_channels")
BODY = 8
"""Columns before a statement of a method."""
STATEMENT = 56
"""Columns that nested calls may take in one statement."""


@dataclass
class UnitSource:
    """The lines of one unit's `__init__` and `forward`.

    `channels` holds each value's channel count as the source computes it: expressions over
    the unit's parameters and `in_channels`, or plain numbers in the stem and the head.
    """

    unit: Unit
    instances: Sequence[Instance]
    symbolic: bool = True
    returns: bool = True
    channels: dict[str, Any] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        first = self.instances[0]
        self.channels[INPUT] = IN_CHANNELS if self.symbolic else first.input[0]
        for _, node, inputs in self.unit.steps():
            given = [self.channels[i] for i in inputs]
            self.channels[node.name] = self._channels(node, given)
        self.heavy = {
            node.name
            for _, node, inputs in first.unit.steps()
            if node.op.multiply_adds(*(first.shapes[i] for i in inputs))
        }
        self.forward = self._forward()
        self.layers = self._layers()

    def _channels(self, node: Node, given: list[Any]) -> Any:
        """The op's own expression, or the plain number where that does not hold (flatten)."""
        value = node.op.channels_out(given)
        for instance in self.instances:
            actual = instance.shapes[node.name][0]
            env = {**instance.args, str(IN_CHANNELS): exact(instance.input[0])}
            claimed = value.evaluate(env) if isinstance(value, Expr) else value
            if claimed != actual:
                return actual
        return value

    # --- __init__ -------------------------------------------------------------------

    def _layers(self) -> list[str]:
        """The statements of `__init__`: parameters that `forward` reads, and layers."""
        lines = [
            f"self.{p.name} = {p.name}"
            for p in self.unit.params
            if p.name in self.stored
        ]
        for _, node, inputs in self.unit.steps():
            constructor = node.op.torch_layer(*(self.channels[i] for i in inputs))
            if constructor is not None:
                layer = f"self.{node.name}"
                lines += call(*split_call(f"{layer} = {constructor}"), BODY)
                lines += node.op.torch_init(layer)
        return lines

    @property
    def takes_channels(self) -> bool:
        """Whether some layer needs to know the unit's input channels."""
        return any("in_channels" in line for line in self.layers)

    def signature(self) -> list[str]:
        """`def __init__(self, in_channels: int, width: int) -> None:`"""
        given = ["in_channels: int"] if self.takes_channels else []
        params = sorted(self.unit.params, key=lambda p: p.default is not None)
        items = ["self", *given, *(self._parameter(p) for p in params)]
        return call("def __init__(", items, ") -> None:", 4)

    def _parameter(self, param: Param) -> str:
        kind = "int" if param.name in self._whole() else "float"
        default = "" if param.default is None else f" = {literal(param.default)}"
        return f"{param.name}: {kind}{default}"

    def _whole(self) -> set[str]:
        """The parameters that some attribute needs as whole numbers."""
        return {
            name
            for _, node, _ in self.unit.steps()
            for attribute, kind in node.op.numbers().items()
            if kind.whole and isinstance(getattr(node.op, attribute), Expr)
            for name in getattr(node.op, attribute).names
        }

    # --- forward --------------------------------------------------------------------

    def _forward(self) -> list[str]:
        """The statements of `forward`, the last one returning the unit's value."""
        lines: list[str] = []
        variables = {INPUT: "x"}
        for path in self.unit.paths:
            name = variable(path.name) if self.symbolic else "x"
            lines += self._path(path, name, [variables[s] for s in path.sources])
            variables[path.name] = name
        return lines

    def _path(self, path: Path, name: str, value: list[str]) -> list[str]:
        lines = []
        groups = self._statements(path, name)
        for group in groups:
            text = self._expression(group, value)
            last = path.name == OUTPUT and group is groups[-1] and self.returns
            if last or text != name:
                made = statement("return" if last else f"{name} =", text, BODY)
                lines += commented(made, self._comment(group[-1].name), BODY)
            value = [name]
        return lines

    def _statements(self, path: Path, name: str) -> list[list[Node]]:
        """The path's ops in groups of one statement each, with at most one weight layer.

        A path that starts with a weight layer reads as weight-BN-ReLU, any other one as
        BN-ReLU-weight: a statement ends before the next weight, or after its own. None
        grows longer than a reader takes in at once.
        """
        post = path.nodes[0].name in self.heavy
        groups: list[list[Node]] = []
        full = True
        for node in path.nodes:
            heavy = node.name in self.heavy
            if (
                not full
                and not (post and heavy)
                and self._fits([*groups[-1], node], name)
            ):
                groups[-1].append(node)
            else:
                groups.append([node])
            full = heavy and not post
        return groups

    def _fits(self, group: list[Node], name: str) -> bool:
        return len(self._expression(group, [name, name])) <= STATEMENT

    def _expression(self, nodes: Sequence[Node], value: list[str]) -> str:
        for node in nodes:
            text = node.op.torch_call(
                f"self.{node.name}", *value, attribute=self._attribute
            )
            value = [text]
        return value[0]

    def _attribute(self, value: Any) -> str:
        """A number that `forward` reads: a parameter is kept on the module for it."""
        if isinstance(value, Expr):
            self.stored.update(value.names)
            return value.source(prefix="self.", whole=False)
        return source(value, whole=False)

    def _comment(self, name: str) -> str:
        if not self.symbolic:
            return show_shape(self.instances[0].shapes[name])
        sides = [self._side(name, axis) for axis in range(1, self._rank(name))]
        return f"[{', '.join(['N', str(self.channels[name]), *sides])}]"

    def _rank(self, name: str) -> int:
        return len(self.instances[0].shapes[name])

    def _side(self, name: str, axis: int) -> str:
        """A map's side as a formula of the input's that holds in every instance."""
        letter = "HW"[axis - 1]
        sides = [(i.input[axis], i.shapes[name][axis], i.args) for i in self.instances]
        if all(before == after for before, after, _ in sides):
            return letter
        if all(after == 1 for _, after, _ in sides):
            return "1"
        for param in self.unit.params:
            if all(
                args[param.name] > 0 and -(-before // args[param.name]) == after
                for before, after, args in sides
            ):
                return f"{letter}/{param.name}"
        ratios = {before / after for before, after, _ in sides}
        ratio = ratios.pop()
        return (
            f"{letter}/{ratio:g}" if not ratios and ratio.is_integer() else f"{letter}'"
        )


def show_shape(shape: Shape) -> str:
    """`[N, 64, 32, 32]`"""
    return f"[{', '.join(['N', *map(str, shape)])}]"


def arguments(instance: Instance, unit: Unit, channels: str | None) -> list[str]:
    """The arguments of a unit's constructor in a stage; defaults are left out."""
    defaults: Mapping[str, Any] = {p.name: p.default for p in unit.params}
    given = [] if channels is None else [channels]
    return given + [
        f"{name}={literal(value)}"
        for name, value in instance.args.items()
        if defaults[name] != value
    ]
