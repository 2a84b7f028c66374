"""Infer every shape: each distinct unit instance once, whatever the depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice, pairwise, product
from typing import Any

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Note, Span
from resgraph.expr import Expr
from resgraph.graph import INPUT, OUTPUT, Graph, Instance, Node, Run, Slot, Unit
from resgraph.graph.text import slot_text
from resgraph.limits import DISTINCT_OPS, DISTINCT_UNITS
from resgraph.ops import Op, OpError, Shape
from resgraph.ops.unknown import doubted
from resgraph.passes.output import check_output
from resgraph.passes.sides import (
    Shapes,
    Side,
    any_map,
    anything,
    common,
    fewest,
    known,
    merged,
    output,
    same,
)

MOST_COMBINATIONS = 64


def infer_shapes(graph: Graph) -> tuple[Graph, list[Diagnostic]]:
    """The graph with `stem_run`, `runs` and `head_run`, and a finding per op that does
    not fit its inputs.

    Of a draft, and after a finding, some shapes are not known: an instance then lacks them,
    and nothing is told of what depends on them alone.
    """
    inference = _Inference(graph)
    return inference.network(), inference.findings


@dataclass(frozen=True)
class _Typed:
    """An instance, and the shapes that its output may have."""

    instance: Instance
    output: Shapes


@dataclass(frozen=True)
class _Value:
    """What an op reads: its name and place, and the shapes that it may have."""

    name: str
    span: Span | None
    shapes: Shapes


@dataclass
class _Inference:
    graph: Graph
    findings: list[Diagnostic] = field(default_factory=list)
    blamed: set[tuple[Any, ...]] = field(default_factory=set)
    failed: set[Span] = field(default_factory=set)
    typed: dict[tuple[Any, ...], _Typed] = field(default_factory=dict)
    ops: int = 0
    full: bool = False

    def network(self) -> Graph:
        graph = self.graph
        shapes: Shapes = (graph.input or any_map(),)
        stem = self._instance(graph.stem, {}, shapes, None)
        shapes, stages = stem.output, []
        for number, stage in enumerate(graph.stages, 1):
            runs: list[Run] = []
            for slot in stage:
                note = Note(f"in stage {number}: {slot_text(slot)}", slot.span)
                more, shapes = self._runs(slot, shapes, note)
                runs += more
            stages.append(tuple(runs))
        head = self._instance(graph.head, {}, shapes, None)
        self.findings += check_output(graph, head.output)
        return replace(
            graph,
            stem_run=stem.instance,
            runs=tuple(stages),
            head_run=head.instance,
        )

    def _runs(self, slot: Slot, shapes: Shapes, note: Note) -> tuple[list[Run], Shapes]:
        """One run where the shape is kept; else instance by instance until it is."""
        changing: list[Instance] = []
        unit = self.graph.units[slot.unit]
        while len(changing) < slot.repeat:
            if self._is_full(slot):
                untyped = Instance(unit, slot.args, {})
                return [Run(slot, (untyped,), 1)], anything()
            given = shapes
            typed = self._instance(unit, slot.args, given, note)
            shapes = typed.output
            kept, lost = same(given, shapes), len(given) > 1 < len(shapes)
            if kept or lost or slot.endless:
                left = slot.repeat - len(changing)
                run = Run(slot, (typed.instance,), left)
                return [*_grouped(slot, changing), run], shapes if kept else anything()
            changing.append(typed.instance)
        return _grouped(slot, changing), shapes

    def _is_full(self, slot: Slot) -> bool:
        """Whether there are as many distinct units as are taken; a finding the first time."""
        units, ops = len(self.typed), self.ops
        full = units > DISTINCT_UNITS or ops > DISTINCT_OPS
        if full and not self.full:
            message = (
                f"more than {DISTINCT_UNITS:,} units that differ in arguments or input shape"
                if units > DISTINCT_UNITS
                else f"more than {DISTINCT_OPS:,} ops in distinct units"
            )
            self.findings.append(Diagnostic(codes.TOO_LARGE, message, slot.span))
        self.full = full
        return full

    def _instance(
        self,
        unit: Unit,
        args: Mapping[str, Fraction],
        shapes: Shapes,
        note: Note | None,
    ) -> _Typed:
        key = (id(unit), *args.items(), *map(fewest, shapes))
        if key not in self.typed:
            self.typed[key] = self._infer(unit, args, shapes, note)
            self.ops += self.typed[key].instance.nodes
        return self.typed[key]

    def _infer(
        self,
        unit: Unit,
        args: Mapping[str, Fraction],
        shapes: Shapes,
        note: Note | None,
    ) -> _Typed:
        inside = _Inside(self, unit, args, note)
        values = {INPUT: _Value(INPUT, None, shapes)}
        paths = []
        for path in unit.paths:
            given = [values.get(s) or _Value(s, None, anything()) for s in path.sources]
            nodes = []
            for node in path.nodes:
                resolved = inside.resolved(node)
                found = inside.output(resolved, given)
                whole = resolved.op.known and not inside.unread(node.op)
                nodes.append(resolved if whole else node)
                given = [_Value(path.name, node.span, found)]
            values.setdefault(path.name, given[0])
            paths.append(replace(path, nodes=tuple(nodes)))
        unit = replace(unit, paths=tuple(paths))
        instance = Instance(unit, args, inside.known(shapes))
        if unit.paths:
            shapes = values[OUTPUT].shapes if OUTPUT in values else anything()
        return _Typed(instance, shapes)


@dataclass
class _Inside:
    """The inference of one unit at given arguments."""

    inference: _Inference
    unit: Unit
    args: Mapping[str, Fraction]
    note: Note | None
    shapes: dict[str, Shapes] = field(default_factory=dict)

    def known(self, given: Shapes) -> dict[str, Shape]:
        """The shapes that are known, by value."""
        found = {INPUT: given} | self.shapes
        return {name: shape for name, s in found.items() if (shape := known(s))}

    def resolved(self, node: Node) -> Node:
        """The node with plain numbers; an unknown op, after findings, where some are wrong.

        A number that is computed from what has no value here is any number.
        """
        op = node.op.having({name: Side(object()) for name in self.unread(node.op)})
        while True:
            try:
                return replace(node, op=op.resolve(self.args))
            except OpError as error:
                self._blame(error, node, ())
                op = doubted(op, [str(error.field)])

    def unread(self, op: Op) -> list[str]:
        """The attributes that read what has no value here."""
        return [
            name
            for name, value in op.attributes().items()
            if isinstance(value, Expr) and not self.args.keys() >= {*value.names}
        ]

    def output(self, node: Node, given: Sequence[_Value]) -> Shapes:
        """The shapes that the node's value may have; a finding where there can be none."""
        found = self._output(node, given)
        self.shapes.setdefault(node.name, found)
        return found

    def _output(self, node: Node, given: Sequence[_Value]) -> Shapes:
        low, high = node.op.inputs
        fits = low <= len(given) and (high is None or len(given) <= high)
        if not node.op.known or not fits:
            return anything()
        several = product(*(value.shapes for value in given))
        errors: list[tuple[OpError, tuple[Shape, ...]]] = []
        found: list[Shape] = []
        for inputs in islice(several, MOST_COMBINATIONS):
            try:
                found += output(node.op, inputs)
            except OpError as error:
                errors.append((error, inputs))
        if found:
            failed = node.span in self.inference.failed  # elsewhere
            return anything() if failed else merged(found)
        self._blame_all(node, given, *errors[0])
        return (
            common([value.shapes for value in given]) if len(given) > 1 else anything()
        )

    def _blame_all(
        self,
        node: Node,
        given: Sequence[_Value],
        error: OpError,
        inputs: tuple[Shape, ...],
    ) -> None:
        """A finding, and one more for each other attribute that does not fit either."""
        op = node.op
        while True:
            notes = [
                self._origin(v, shape) for v, shape in zip(given, inputs, strict=True)
            ]
            self._blame(error, node, notes if len(given) > 1 else ())
            default = type(op).model_fields[error.field or "name"].default
            if not error.field or type(op).model_fields[error.field].is_required():
                return
            op = op.model_copy(update={error.field: default})
            try:
                op.shape(*inputs)
            except OpError as another:
                error = another
            else:
                return

    def _origin(self, value: _Value, shape: Shape) -> Note:
        if value.span is not None:
            return Note(f"{value.name} is {list(shape)}, from here", value.span)
        what = (
            f"{value.name}, the input of '{self.unit.name}',"
            if value.name == INPUT
            else value.name
        )
        return Note(f"{what} is {list(shape)}")

    def _blame(self, error: OpError, node: Node, origins: Sequence[Note]) -> None:
        """A finding at the op, the first time that it fails in this way."""
        self.inference.failed.add(node.span)
        key = (node.span, error.code, error.field)
        if key in self.inference.blamed:
            return
        self.inference.blamed.add(key)
        span = node.fields.get(error.field or "", node.span)
        notes = (*origins, *([self.note] if self.note else []))
        self.inference.findings.append(
            Diagnostic(error.code, error.message, span, error.hint, notes)
        )


def _grouped(slot: Slot, instances: list[Instance]) -> list[Run]:
    """Instances whose input channels grow by one constant step as one run, else each its own."""
    channels = [i.input[0] for i in instances if INPUT in i.shapes]
    steps = {b - a for a, b in pairwise(channels)}
    grow = len(channels) == len(instances) and len(steps) == 1 and 0 not in steps
    if len(instances) > 2 and grow:
        return [Run(slot, tuple(instances), len(instances))]
    return [Run(slot, (instance,), 1) for instance in instances]
