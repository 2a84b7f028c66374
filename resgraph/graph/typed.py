"""A network with shapes: each block at given arguments and inputs, once, whatever the depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from itertools import groupby
from math import prod
from typing import Any

from resgraph.allow import Allow
from resgraph.diagnostics import Span
from resgraph.graph.ir import (
    HEAD,
    STEM,
    Block,
    Call,
    Node,
    Part,
    Program,
    Row,
    row_values,
)
from resgraph.graph.scope import Position, evaluated, scope
from resgraph.graph.uses import OWN, POSITION, read
from resgraph.names import LOGITS, RESULT
from resgraph.ops import Op, OpError, Shape, Weight
from resgraph.ops.fields import NumberField
from resgraph.values import Value


@dataclass(frozen=True)
class Instance:
    """A block at given arguments and input shapes, with the shape of every value.

    `block` has numbers in the place of expressions, and only the nodes that are there;
    `source` is the block as it is written. `scope` has all that its expressions may read.
    """

    block: Block
    args: Mapping[str, Value]
    shapes: Mapping[str, Shape]
    runs: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    """By the name of each of its rows."""
    source: Block | None = None
    scope: Mapping[str, Value] = field(default_factory=dict)

    @property
    def input(self) -> Shape:
        """The shape of its first input."""
        return self.shapes[self.block.inputs[0]]

    @property
    def output(self) -> Shape:
        """The shape of its first output."""
        return self.shapes[self.block.output]

    @cached_property
    def outputs(self) -> dict[str, Shape]:
        """By the name of each output, its shape."""
        return {name: self.shapes[v] for name, v in self.block.results.items()}

    @property
    def fixed(self) -> dict[str, Value]:
        """The parameters whose values are no numbers, in the order of the unit."""
        given = {
            param.name: self.args.get(param.name, param.default)
            for param in (self.source or self.block).params
        }
        return {n: v for n, v in given.items() if isinstance(v, bool | str | Op)}

    @cached_property
    def form(self) -> str:
        """What it has in common with those that differ from it in numbers of channels alone,
        and in numbers that no shape depends on: a digest of its ops, and of those in it."""
        parts = [self._form(part) for part in self.block.nodes]
        said = repr((self.block.name, parts, self.block.results))
        return sha256(said.encode()).hexdigest()

    def _form(self, part: Part) -> tuple[object, ...]:
        if isinstance(part, Node):
            return (part.name, part.inputs, part.op.kind, _sizes(part.op))
        forms = [
            (instance.form, run.count if len(run.instances) == 1 else 1)
            for run in self.runs.get(part.name, ())
            for instance in run.instances
        ]
        several = groupby(forms, lambda one: one[0])
        counted = [(form, sum(n for _, n in group)) for form, group in several]
        return (part.name, part.inputs, counted)

    @cached_property
    def flat(self) -> Instance:
        """The same with the nodes of its rows in their places: a graph of ops alone.

        A name is then as in the state_dict: `se.conv1`, `body.2.conv1`.
        """
        return _flattened(self) if any(self.block.rows) else self

    @property
    def steps(self) -> tuple[Node, ...]:
        """All its ops, those of its rows among them, in reading order."""
        return tuple(self.flat.block.ops)

    def parts(self) -> Iterator[tuple[str, Instance]]:
        """The instances of its rows, in order, each with its prefix in the state_dict."""
        for row in self.block.rows:
            yield from row_parts(row, self.runs[row.name])

    def values(self, row: Row) -> tuple[str, ...]:
        """What the values of one of its rows are called."""
        return row_values(row.name, self.runs[row.name][-1].instances[-1].block.results)

    @cached_property
    def weights(self) -> tuple[tuple[str, Weight], ...]:
        """Every tensor of the state_dict as (layer, weight), in the order of the layers."""
        found: list[tuple[str, Weight]] = []
        for node in self.block.nodes:
            if isinstance(node, Node):
                weights = node.op.weights(*_given(self, node))
                found += ((node.name, weight) for weight in weights)
            else:
                for prefix, inner in row_parts(node, self.runs[node.name]):
                    found += ((prefix + layer, w) for layer, w in inner.weights)
        return tuple(found)

    def tensors(self, prefix: str = "") -> Iterator[tuple[str, Weight]]:
        """The same by name, where the block stands at `prefix`."""
        return ((f"{prefix}{layer}.{w.name}", w) for layer, w in self.weights)

    def total(self, quantity: str) -> int:
        """The sum of a quantity of ops over all of them, without walking the depth."""
        own = sum(int(_QUANTITIES[quantity](self, node)) for node in self.block.ops)
        runs = (run for row in self.block.rows for run in self.runs[row.name])
        return own + sum(run.total(quantity) for run in runs)

    @cached_property
    def parameters(self) -> int:
        """Trainable numbers."""
        return self.total("parameters")

    @cached_property
    def numbers(self) -> int:
        """All numbers of the state_dict, running statistics included."""
        return self.total("numbers")

    @cached_property
    def nodes(self) -> int:
        """Ops."""
        return self.total("nodes")

    @cached_property
    def multiply_adds(self) -> int:
        """Per image."""
        return self.total("multiply_adds")


def _sizes(op: Op) -> dict[str, object]:
    """The attributes on which shapes depend, with their values but for numbers of channels."""
    found: dict[str, object] = {}
    for name, value in op.attributes().items():
        kind = op.numbers().get(name)
        if isinstance(kind, NumberField):
            if kind.whole:
                found[name] = None if kind.channels else value
        else:
            found[name] = value
    return found


def _given(instance: Instance, node: Node) -> Iterator[Shape]:
    return (instance.shapes[i] for i in node.inputs)


def _numbers(instance: Instance, node: Node, trainable: bool = False) -> int:
    weights = node.op.weights(*_given(instance, node))
    return sum(prod(w.shape) for w in weights if w.trainable or not trainable)


_QUANTITIES: Mapping[str, Any] = {
    "parameters": lambda instance, node: _numbers(instance, node, trainable=True),
    "numbers": _numbers,
    "nodes": lambda instance, node: 1,
    "multiply_adds": lambda i, n: n.op.multiply_adds(*_given(i, n)),
}


@dataclass(frozen=True)
class Run:
    """Blocks of one call that follow one another: one instance `count` times, or `count`
    instances of one form whose input channels grow by a constant step (dense connections)."""

    call: Call
    instances: tuple[Instance, ...]
    count: int
    place: Position
    first: int = 0
    """The number of its first block in the row."""
    each: Each | None = None
    """What they differ in otherwise, if in anything."""

    def __iter__(self) -> Iterator[Instance]:
        for i in range(self.count):
            yield self[i]

    def __getitem__(self, i: int) -> Instance:
        instance = self.instances[i % len(self.instances)]
        return self.each(instance, self.first + i) if self.each else instance

    def total(self, quantity: str) -> int:
        """The sum of an instance's quantity over the run."""
        each = sum(getattr(instance, quantity) for instance in self.instances)
        return int(each) * (self.count // len(self.instances))


@dataclass(frozen=True)
class Each:
    """What the blocks of a run differ in beside their shapes: what reads their number."""

    place: Position

    def __call__(self, instance: Instance, index: int) -> Instance:
        """The instance at another number of the same run."""
        sides = {n: v for n, v in instance.scope.items() if n not in POSITION}
        names = self.place.names_at(index, sides)
        args = dict(instance.args)
        for name, value in self.place.call.args.items():
            if read(value) and all(n in names for n in read(value)):
                args[name] = evaluated(value, names)
            if name in args:
                names[OWN + name] = args[name]
        return renewed(instance, args, self.place.context_at(index))


def renewed(
    instance: Instance, args: Mapping[str, Value], position: Mapping[str, Value]
) -> Instance:
    """The instance with other arguments, at another place, where these change no shape.

    Raises `NodeError` for a value that an op cannot have.
    """
    source = instance.source or instance.block
    params = {param.name for param in source.params}
    context = {n: v for n, v in instance.scope.items() if n not in params} | dict(
        position
    )
    names = scope(source, args, context)
    written = {part.name: part for part in source.nodes}
    nodes: list[Part] = []
    runs: dict[str, tuple[Run, ...]] = {}
    for part in instance.block.nodes:
        node = written[part.name]
        if isinstance(node, Node) and isinstance(part, Node):
            part = _computed(part, node, names)
        elif isinstance(part, Row):
            runs[part.name] = tuple(
                _moved(run, names, context) for run in instance.runs[part.name]
            )
        nodes.append(part)
    block = replace(instance.block, nodes=tuple(nodes))
    return replace(instance, block=block, args=args, runs=runs, scope=names)


class NodeError(ValueError):
    """A node of which an attribute cannot be what it would be at some place."""

    def __init__(self, node: Node, error: OpError) -> None:
        super().__init__(error.message)
        self.node, self.error = node, error


def _computed(part: Node, written: Node, names: Mapping[str, Value]) -> Node:
    """The node with its attributes computed; as it was where it is not known of what."""
    if not all(n in names for n in read(tuple(written.op.attributes().values()))):
        return part
    try:
        return replace(part, op=written.op.resolve(names))
    except OpError as error:
        raise NodeError(part, error) from None


def _moved(run: Run, outer: Mapping[str, Value], context: Mapping[str, Value]) -> Run:
    """The run inside a block whose scope is another."""
    each = Each(replace(run.place, outer=outer, context=context))
    instances = tuple(
        each(instance, run.first + i) for i, instance in enumerate(run.instances)
    )
    return replace(run, instances=instances, place=each.place, each=run.each and each)


def row_parts(row: Row, runs: tuple[Run, ...]) -> Iterator[tuple[str, Instance]]:
    """The instances of a row, each with its prefix."""
    return ((prefix, instance) for prefix, instance, _ in places(row, runs))


def places(row: Row, runs: tuple[Run, ...]) -> Iterator[tuple[str, Instance, bool]]:
    """The same, and whether an instance serves several places: it is not made for one."""
    index = 0
    for run in runs:
        for instance in run:
            yield row.prefix(index), instance, run.each is None
            index += 1


# --- without rows ------------------------------------------------------------------------


def _flattened(instance: Instance) -> Instance:
    nodes: list[Node] = []
    alias = {name: name for name in instance.block.inputs}
    own = {*instance.block.inputs, *(node.name for node in instance.block.ops)}
    shapes = {name: shape for name, shape in instance.shapes.items() if name in own}
    for part in instance.block.nodes:
        given = tuple(alias[i] for i in part.inputs)
        if isinstance(part, Node):
            nodes.append(replace(part, inputs=given))
            alias[part.name] = part.name
            continue
        values = given
        for prefix, inner in row_parts(part, instance.runs[part.name]):
            flat = inner.flat
            names = dict(zip(flat.block.inputs, values, strict=True))
            for node in flat.steps:
                names[node.name] = prefix + node.name
                read = tuple(names[i] for i in node.inputs)
                moved = replace(
                    node, name=prefix + node.name, inputs=read, path=part.path
                )
                nodes.append(moved)
                if node.name in flat.shapes:  # of a draft, some are not known
                    shapes[moved.name] = flat.shapes[node.name]
            values = tuple(names[v] for v in flat.block.results.values())
        alias |= zip(instance.values(part), values, strict=True)
    block = instance.block
    results = {name: alias[value] for name, value in block.results.items()}
    flat_block = replace(block, nodes=tuple(nodes), outputs=results)
    return replace(instance, block=flat_block, shapes=shapes, runs={})


# --- the network -------------------------------------------------------------------------


@dataclass(frozen=True)
class Graph:
    """A network: what is emitted, trained and verified.

    Of a draft, a spec with findings, it may lack shapes.
    """

    program: Program
    network: Instance

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def title(self) -> str:
        return self.program.title

    @property
    def file(self) -> str:
        return self.program.file

    @property
    def input(self) -> Shape:
        """The shape of one image, without the batch."""
        return self.program.input

    @property
    def units(self) -> Mapping[str, Block]:
        """The spec's units by name, symbolic."""
        return self.program.blocks

    @property
    def recipe(self) -> Mapping[str, Any]:
        return self.program.recipe

    @property
    def classes(self) -> int | None:
        return self.program.classes

    @property
    def span(self) -> Span:
        return self.program.span

    @property
    def options(self) -> str:
        return self.program.options

    @property
    def allow(self) -> tuple[Allow, ...]:
        return self.program.allow

    @property
    def outputs(self) -> dict[str, str]:
        """By the name of each output of its ONNX model, the network's value."""
        results = self.network.block.results
        if len(results) > 1:
            return dict(results)
        (value,) = results.values()
        is_vector = len(self.network.shapes[value]) == 1
        return {LOGITS if is_vector else RESULT: value}

    def parts(self) -> Iterator[tuple[str, Instance]]:
        """Every block of the network's rows with its prefix in the state_dict, in order of
        execution. This alone walks the depth."""
        return self.network.parts()

    def tensors(self) -> dict[str, Weight]:
        """Every tensor of the state_dict by its name, in order, wherever its block stands."""
        parts = (instance.tensors(prefix) for prefix, instance in self.parts())
        return {name: weight for part in parts for name, weight in part}

    def total(self, quantity: str) -> int:
        """The sum of a quantity over the network, without walking the depth."""
        return self.network.total(quantity)

    def end(self, name: str) -> Instance | None:
        """The stem or the head."""
        runs = self.network.runs.get(name)
        return runs[0].instances[0] if runs else None

    @property
    def stem(self) -> Instance | None:
        return self.end(STEM)

    @property
    def head(self) -> Instance | None:
        return self.end(HEAD)

    @property
    def stages(self) -> tuple[tuple[Row, tuple[Run, ...]], ...]:
        """The rows of units between stem and head."""
        rows = (row for row in self.network.block.rows if row.name not in (STEM, HEAD))
        return tuple((row, self.network.runs[row.name]) for row in rows)
