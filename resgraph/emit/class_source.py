"""A block as a class: layers in `__init__`, named values in `forward`.

A unit is one, with its parameters as arguments and formulas over them; so is the network,
in which all is a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from typing import Any

from resgraph.emit.body import CHAIN, Body, Chain
from resgraph.emit.formulas import Formula, Formulas
from resgraph.emit.forward import Forward
from resgraph.emit.layers import Layers
from resgraph.emit.layout import signature
from resgraph.emit.rows import Parameter, Rows, shown
from resgraph.emit.variants import unique
from resgraph.expr import Expr
from resgraph.graph import Node, Part, Row, Style
from resgraph.graph.uses import POSITION
from resgraph.names import variable
from resgraph.ops import Op, Start
from resgraph.ops.source import real, whole
from resgraph.syntax import (
    Call,
    Name,
    Subscript,
    Syntax,
    call,
    free_names,
    names,
    replaced,
    walk,
)
from resgraph.values import Value


class ClassSource:
    """The statements of one class's `__init__` and `forward`, and what it takes and makes."""

    def __init__(
        self,
        name: str,
        returns: str,
        formulas: Formulas,
        rows: Rows,
        in_loop: Mapping[str, Start],
    ) -> None:
        """Raises `NoFormulaError` where one class cannot serve all instances.

        `returns` is the type of what `forward` makes. `in_loop` has the torch classes whose
        weight the network starts in its loop over modules, and how.
        """
        self.name, self.returns, self.in_loop = name, returns, in_loop
        self.formulas, self.rows, self.variant = formulas, rows, formulas.variant
        self.bodies: Sequence[Body] = formulas.bodies
        self.params = formulas.params
        self.written: list[Syntax] = []
        """Every expression of the lines, as it is written."""
        self.stored: dict[str, str] = {}
        """By a name of the constructor, the attribute that keeps it for `forward`."""
        self.there = frozenset[str]().union(*(body.present for body in self.bodies))
        """The nodes that are there in some instance."""
        self.ops = {
            node.name: formulas.op(node)
            for node in self.bodies[0].nodes
            if isinstance(node, Node) and node.name in self.there
        }
        self.chains = [*self._present()]
        self.nodes = [node for chain in self.chains for node in chain.nodes]
        self._note_channels()
        self.made = dict(self._layers_of_ops())
        """By op with a layer, the constructor call of that."""
        of_rows = {node.name for node in self.nodes if isinstance(node, Row)}
        self.attributes = {*self.made, *of_rows}
        self.flags = self._flags()
        self.variables = self._variables()
        self.inputs = [self.variables[name] for name in formulas.inputs]
        self.forward = [*Forward(self).statements()]
        layers = Layers(self)
        self.layers = [*layers.statements()]
        self.written += layers.written
        read = {name for tree in layers.written for name in free_names(tree)}
        self.takes = [p for p in self.parameters if p.name in read]

    def _present(self) -> Iterator[Chain]:
        """The chains with the nodes that are there in some instance, and do something."""
        for chain in self.bodies[0].chains:
            nodes = [node for node in chain.nodes if node.name in self.there]
            idle = [node for node in nodes if self._is_idle(node)]
            if len(idle) < len(nodes):
                idle = [node for node in idle if node.when is not None]
            kept = tuple(node for node in nodes if node not in idle)
            # What is left out stands for the last value that it reads.
            sources = (
                chain.sources if kept[:1] == chain.nodes[:1] else chain.sources[-1:]
            )
            yield replace(chain, nodes=kept, sources=sources)

    def _is_idle(self, node: Part) -> bool:
        """Whether it is its input, as an identity is."""
        if isinstance(node, Row):
            return False
        op, value = self.ops[node.name], Name("x")
        if len(node.inputs) > 1:
            return False
        made = op.torch_call(Name("self"), value, number=partial(number_of, op))
        return made == value and op.torch_layer(value) is None

    # --- values -----------------------------------------------------------------------

    def _note_channels(self) -> None:
        there, channels = {node.name for node in self.nodes}, self.formulas.channels
        for node in self.bodies[0].nodes:
            if node.name not in there:
                channels[node.name] = channels[node.inputs[-1]]
            elif isinstance(node, Row):
                self.rows.note(node)
            else:
                given = [channels[i] for i in node.inputs]
                claims = [self.ops[node.name].channels_out(given)]
                claims += given[-1:] * (node.when is not None)
                self.formulas.note(node.name, claims, node.inputs[0])

    @cached_property
    def heavy(self) -> frozenset[str]:
        """The nodes that multiply, as convolutions do."""
        return frozenset[str]().union(*(body.heavy for body in self.bodies))

    @property
    def outputs(self) -> dict[str, Formula]:
        """By the name of each output, its channels."""
        instance = self.bodies[0].instance
        results = (instance.source or instance.block).results
        return {name: self.formulas.channels[value] for name, value in results.items()}

    def _layers_of_ops(self) -> Iterator[tuple[str, Call]]:
        for node in self.nodes:
            if isinstance(node, Node):
                given = (self.formulas.channels[i] for i in node.inputs)
                made = self.ops[node.name].torch_layer(*given)
                yield from () if made is None else ((node.name, made),)

    def number(self, op: Op, name: str) -> Syntax:
        """An attribute that `forward` reads: a parameter is kept on the module for it."""
        value, field = getattr(op, name), op.numbers()[name]
        if not isinstance(value, Expr):
            return number_of(op, name)
        for each in value.names:
            taken = {*self.attributes, *self.flags.values()}
            self.stored.setdefault(each, unique(each, taken))
        kept = {each: Name(f"self.{self.stored[each]}") for each in value.names}
        return replaced(value.syntax(whole=field.whole), kept)

    def outputs_of(self, node: Part) -> list[str]:
        """The names of the outputs of a row, or none for a node of one value."""
        if not isinstance(node, Row):
            return []
        (*_, (last, _)) = self.rows.callees(node)
        return [*last.outputs] if len(last.outputs) > 1 else []

    def sequential(self, row: Row) -> bool:
        """Whether each of its units takes and makes one value, but for what the last makes."""
        callees = [callee for callee, _ in self.rows.callees(row)]
        one = all(len(callee.inputs) == 1 for callee in callees)
        last_of_several = len(callees) > 1 or self.rows.callees(row)[0][1] == 1
        before = callees[:-1] if last_of_several else callees
        return one and all(len(callee.outputs) == 1 for callee in before)

    # --- names ------------------------------------------------------------------------

    def flag(self, node: Part) -> str | None:
        """The flag without which the node is not there."""
        if node.when is None:
            return None
        return self.flags.get(str(self.formulas.condition(node.when)))

    def _flags(self) -> dict[str, str]:
        """By each condition that not all instances decide alike, the attribute with it."""
        found: dict[str, str] = {}
        for chain in self.chains:
            for node in chain.nodes:
                if node.when is None or all(
                    node.name in b.present for b in self.bodies
                ):
                    continue
                text = str(self.formulas.condition(node.when))
                every = all(str(n.when) == str(node.when) for n in chain.nodes)
                wanted = f"has_{chain.wanted if every else node.name}"
                taken = {
                    *self.attributes,
                    *found.values(),
                    *self.formulas.local.values(),
                }
                found.setdefault(text, unique(wanted, taken))
        return found

    def _variables(self) -> dict[str, str]:
        """By input and chain, the variable that holds its value."""
        found = {name: variable(name) for name in self.formulas.inputs}
        own = [chain for chain in self.chains if chain.wanted in (CHAIN, chain.section)]
        rest = [chain for chain in self.chains if chain not in own]
        for chain in [
            *own,
            *rest,
        ]:  # stages have their names before what is in the stem
            same = self.variant is None and chain.wanted == CHAIN
            taken = {*found.values(), *self.formulas.classes} - (
                {CHAIN} if same else set()
            )
            found[chain.name] = unique(chain.wanted, taken)
        return found

    # --- what the constructor takes ---------------------------------------------------

    def input_of(self, key: str) -> tuple[int, str]:
        """The input, by its place, of which it is a side, and its axis."""
        what, _, axis = key.partition(".")
        return (0 if what == "in" else self.formulas.inputs.index(what)), axis or "c"

    def side(self, place: int, axis: str) -> str:
        """What the class calls a side of that input."""
        return self.formulas.local[
            self.formulas.side(self.formulas.inputs[place], axis)
        ]

    def arguments(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the values that no shape decides: parameters, and positions."""
        keys = {p.name: p.key for p in self.parameters}
        return {
            name: value
            for name, value in values.items()
            if keys[name] in self.params or keys[name].removeprefix("@") in POSITION
        }

    @cached_property
    def parameters(self) -> list[Parameter]:
        """All that its constructor may take: sides, parameters, positions, and last those
        with a default."""
        local = self.formulas.local
        around = [
            Parameter(k, n, "int") for k, n in local.items() if k not in self.params
        ]
        params = self.variant.block.params if self.variant else ()
        own = [
            Parameter(p.name, local[p.name], self._kind(p.name), _constant(p.default))
            for p in params
            if p.name in local
        ]
        return sorted([*around, *own], key=self._rank)

    def _rank(self, parameter: Parameter) -> int:
        if parameter.default is not None:
            return 3
        if parameter.key in self.params:
            return 1
        return 2 if parameter.key.removeprefix("@") in POSITION else 0

    def _kind(self, param: str) -> str:
        values: list[Any] = [body.instance.args[param] for body in self.bodies]
        listed = any(isinstance(value, tuple) for value in values)
        numbers: list[Fraction] = [n for v in values for n in v] if listed else values
        name, uses = self.formulas.local[param], self._uses
        read = {is_whole for tree, is_whole in uses if name in names(tree)}
        unsure = not read and all(number.denominator == 1 for number in numbers)
        kind = "int" if True in read or unsure else "float"
        return f"list[{kind}]" if listed else kind

    @cached_property
    def _uses(self) -> list[tuple[Syntax, bool]]:
        """The expressions that are written, and whether they must come out whole."""
        found: list[tuple[Syntax, bool]] = []
        for op in self.ops.values():
            values = ((getattr(op, name), kind) for name, kind in op.numbers().items())
            found += ((v.tree, kind.whole) for v, kind in values if isinstance(v, Expr))
        for row in (node for node in self.nodes if isinstance(node, Row)):
            if row.style is Style.NUMBERED:
                found.append((self.rows.repeat(row), True))
            for segment in self.rows.segments(row):
                given = (
                    (segment.values[p.name], p.whole) for p in segment.callee.takes
                )
                found += (
                    (v.tree, is_whole) for v, is_whole in given if isinstance(v, Expr)
                )
        items = (item for tree, _ in [*found] for item in walk(tree))
        return found + [
            (item.index, True) for item in items if isinstance(item, Subscript)
        ]

    def signature(self) -> list[str]:
        """`def __init__(self, in_channels: int, width: int) -> None:`"""
        items = ["self", *map(str, self.takes)]
        return signature("def __init__(", items, ") -> None:", 4)

    def construction(self, values: Mapping[str, Any]) -> Call:
        """Its constructor as a row calls it; defaults are left out."""
        positional, named = list[Syntax](), dict[str, Syntax]()
        for parameter in self.takes:
            value = values[parameter.name]
            if parameter.key == "in":
                positional.append(shown(value, whole=True))
            elif value != parameter.default:
                named[parameter.name] = shown(value, parameter.whole)
        return call(self.name, *positional, **named)


def _constant(default: Value | Expr | None) -> Value | None:
    """A default that a signature can have: no list, and nothing that reads other names.

    Whoever constructs the unit gives those.
    """
    return None if isinstance(default, Expr | tuple | Op) else default


def number_of(op: Op, name: str) -> Syntax:
    """An attribute as `forward` reads it; each parameter is an attribute of the module."""
    value, field = getattr(op, name), op.numbers()[name]
    if isinstance(value, Expr):
        return value.syntax(prefix="self.", whole=field.whole)
    return whole(value) if field.whole else real(value)
