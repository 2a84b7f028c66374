"""A unit, the stem or the head as lines of Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from resgraph.emit.layout import WIDTH, commented, laid_out, signature, statement
from resgraph.expr import Expr, exact, literal
from resgraph.graph import INPUT, OUTPUT, Instance, Node, Param, Path, Unit
from resgraph.names import IN_CHANNELS, variable
from resgraph.ops import Op, Shape, Start
from resgraph.ops.source import real, whole
from resgraph.syntax import Call, Name, Syntax, call, names

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
    in_loop: Mapping[str, Start]
    """The torch classes whose weight the network starts in its loop over modules, and how."""
    symbolic: bool = True
    returns: bool = True
    channels: dict[str, Any] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)
    written: list[Syntax] = field(default_factory=list)
    """Every expression of the lines, as it is written."""

    def __post_init__(self) -> None:
        first = self.instances[0]
        given = Expr(Name(IN_CHANNELS))
        self.channels[INPUT] = given if self.symbolic else first.input[0]
        for _, node, inputs in self.unit.steps():
            channels = [self.channels[i] for i in inputs]
            self.channels[node.name] = self._channels(node, channels)
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
            env = {**instance.args, IN_CHANNELS: exact(instance.input[0])}
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
            made = node.op.torch_layer(*(self.channels[i] for i in inputs))
            if made is not None:
                self.written.append(made)
                lines += statement(f"self.{node.name} =", made, BODY)
                lines += self._starts(node, made)
        return lines

    def _starts(self, node: Node, made: Call) -> list[str]:
        """The statements for weights that neither torch nor the network's loop starts so."""
        lines = []
        for name, start in node.op.starts().items():
            looped = name == "weight" and self.in_loop.get(made.function) == start
            if start != node.op.torch_starts.get(name) and not looped:
                call = start.torch(Name(f"self.{node.name}.{name}"))
                self.written.append(call)
                lines += laid_out("", call, "", BODY)
        return lines

    @property
    def takes_channels(self) -> bool:
        """Whether some layer needs to know the unit's input channels."""
        return any(IN_CHANNELS in names(tree) for tree in self.written)

    def signature(self) -> list[str]:
        """`def __init__(self, in_channels: int, width: int) -> None:`"""
        given = [f"{IN_CHANNELS}: int"] if self.takes_channels else []
        params = sorted(self.unit.params, key=lambda p: p.default is not None)
        items = ["self", *given, *(self._parameter(p) for p in params)]
        return signature("def __init__(", items, ") -> None:", 4)

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
            values = [Name(variables[s]) for s in path.sources]
            lines += self._path(path, name, values)
            variables[path.name] = name
        return lines

    def _path(self, path: Path, name: str, value: Sequence[Syntax]) -> list[str]:
        lines = []
        groups = self._statements(path, name)
        for group in groups:
            tree = self._expression(group, value)
            last = path.name == OUTPUT and group is groups[-1] and self.returns
            if last or tree != Name(name):
                self.written.append(tree)
                made = statement("return" if last else f"{name} =", tree, BODY)
                lines += commented(made, self._comment(group[-1].name), BODY)
            value = [Name(name)]
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
        text = str(self._expression(group, [Name(name), Name(name)]))
        return len(text) <= min(STATEMENT, WIDTH - BODY - len(f"{name} = "))

    def _expression(self, nodes: Sequence[Node], value: Sequence[Syntax]) -> Syntax:
        for node in nodes:
            layer = Name(f"self.{node.name}")
            number = partial(self._number, node.op)
            value = [node.op.torch_call(layer, *value, number=number)]
        return value[0]

    def _number(self, op: Op, name: str) -> Syntax:
        """A number that `forward` reads: a parameter is kept on the module for it."""
        value = getattr(op, name)
        if isinstance(value, Expr):
            self.stored.update(value.names)
        return number_of(op, name)

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


def number_of(op: Op, name: str) -> Syntax:
    """An attribute as `forward` reads it; each parameter is an attribute of the module."""
    value, field = getattr(op, name), op.numbers()[name]
    if isinstance(value, Expr):
        return value.syntax(prefix="self.", whole=field.whole)
    return whole(value) if field.whole else real(value)


def show_shape(shape: Shape) -> str:
    """`[N, 64, 32, 32]`"""
    return f"[{', '.join(['N', *map(str, shape)])}]"


def construction(
    name: str, instance: Instance, unit: Unit, channels: Syntax | None
) -> Call:
    """A unit's constructor as a stage calls it; defaults are left out."""
    defaults: Mapping[str, Any] = {p.name: p.default for p in unit.params}
    given = [] if channels is None else [channels]
    args = {k: literal(v) for k, v in instance.args.items() if defaults[k] != v}
    return call(name, *given, **args)
