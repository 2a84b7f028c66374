"""Infer every shape: each distinct unit instance once, whatever the depth."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Note, Span
from resgraph.graph import INPUT, Graph, Instance, Node, Run, Slot, Unit
from resgraph.graph.text import slot_text
from resgraph.ops import Op, OpError, Shape

MAX_DISTINCT = 2_000


def infer_shapes(graph: Graph) -> tuple[Graph, list[Diagnostic]]:
    """The graph with `stem_run`, `runs` and `head_run`, and a finding per op that does
    not fit its inputs.

    With findings, units keep their expressions, shapes are the most plausible ones, and
    some may be missing: all of them where a stage cannot be passed.
    """
    inference = _Inference(graph)
    with suppress(_UnknownShapeError):
        graph = inference.network()
    return graph, inference.findings


class _UnknownShapeError(Exception):
    """A shape that later ones depend on is unknown; its finding is recorded."""


@dataclass
class _Inference:
    graph: Graph
    findings: list[Diagnostic] = field(default_factory=list)
    blamed: set[Span] = field(default_factory=set)
    known: dict[tuple[str, tuple[Fraction, ...], Shape], Instance] = field(
        default_factory=dict
    )

    def network(self) -> Graph:
        graph = self.graph
        stem = self._instance(graph.stem, {}, graph.input, None)
        shape, stages = stem.output, []
        for number, stage in enumerate(graph.stages, 1):
            runs: list[Run] = []
            for slot in stage:
                note = Note(f"in stage {number}: {slot_text(slot)}", slot.span)
                runs += self._runs(slot, shape, note)
                shape = runs[-1].instances[-1].output
            stages.append(tuple(runs))
        head = self._instance(graph.head, {}, shape, None)
        return replace(graph, stem_run=stem, runs=tuple(stages), head_run=head)

    def _runs(self, slot: Slot, shape: Shape, note: Note) -> list[Run]:
        """One run where the shape is kept; else instance by instance until it is."""
        changing: list[Instance] = []
        unit = self.graph.units[slot.unit]
        while len(changing) < slot.repeat:
            instance = self._instance(unit, slot.args, shape, note)
            shape = instance.output
            if shape == instance.input:
                left = slot.repeat - len(changing)
                return [*_grouped(slot, changing), Run(slot, (instance,), left)]
            changing.append(instance)
            if len(changing) > MAX_DISTINCT:
                message = f"more than {MAX_DISTINCT} units that each change the shape"
                self.findings.append(Diagnostic(codes.TOO_LARGE, message, slot.span))
                raise _UnknownShapeError
        return _grouped(slot, changing)

    def _instance(
        self, unit: Unit, args: Mapping[str, Fraction], shape: Shape, note: Note | None
    ) -> Instance:
        key = (unit.name, tuple(args.values()), shape)
        if key not in self.known:
            self.known[key] = self._typed(unit, args, shape, note)
        return self.known[key]

    def _typed(
        self, unit: Unit, args: Mapping[str, Fraction], shape: Shape, note: Note | None
    ) -> Instance:
        shapes: dict[str, Shape] = {INPUT: shape}
        ops: dict[str, Op] = {}
        for _, node, inputs in unit.steps():
            if any(i not in shapes for i in inputs):
                continue
            given = [shapes[i] for i in inputs]
            try:
                ops[node.name] = node.op.resolve(args)
                shapes[node.name] = ops[node.name].shape(*given)
            except OpError as error:
                self._blame(
                    error, unit, node, dict(zip(inputs, given, strict=True)), note
                )
                if len(inputs) > 1:
                    shapes[node.name] = max(given, key=len)
        if unit.output not in shapes:
            raise _UnknownShapeError
        resolved = unit if self.findings else _with_ops(unit, ops)
        return Instance(resolved, args, shapes)

    def _blame(
        self,
        error: OpError,
        unit: Unit,
        node: Node,
        given: Mapping[str, Shape],
        note: Note | None,
    ) -> None:
        """A finding at the op, the first time that it fails, with where its inputs are from."""
        if node.span in self.blamed:
            return
        self.blamed.add(node.span)
        names = {value: path for path, value in unit.values.items()}
        spans = {n.name: n.span for _, n, _ in unit.steps()}
        origins = [
            Note(f"{names.get(value, value)} is {list(shape)}, from here", spans[value])
            if value in spans
            else Note(f"{value}, the input of '{unit.name}', is {list(shape)}")
            for value, shape in given.items()
            if len(given) > 1
        ]
        span = node.fields.get(error.field or "", node.span)
        notes = (*origins, *([note] if note else []))
        self.findings.append(
            Diagnostic(error.code, error.message, span, error.hint, notes)
        )


def _with_ops(unit: Unit, ops: Mapping[str, Op]) -> Unit:
    paths = tuple(
        replace(path, nodes=tuple(replace(n, op=ops[n.name]) for n in path.nodes))
        for path in unit.paths
    )
    return replace(unit, paths=paths)


def _grouped(slot: Slot, instances: list[Instance]) -> list[Run]:
    """Instances whose input channels grow by one constant step as one run, else each its own."""
    channels = [instance.input[0] for instance in instances]
    steps = {b - a for a, b in pairwise(channels)}
    if len(instances) > 2 and len(steps) == 1 and 0 not in steps:
        return [Run(slot, tuple(instances), len(instances))]
    return [Run(slot, (instance,), 1) for instance in instances]
