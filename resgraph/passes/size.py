"""Check that a network is of a size that can be computed: ops, maps, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Note, Span
from resgraph.expr import Expr
from resgraph.graph import Graph, Instance, Node, Run
from resgraph.graph.text import slot_text
from resgraph.limits import NETWORK_NUMBERS, NETWORK_OPS, VALUE_NUMBERS


def check_size(graph: Graph) -> list[Diagnostic]:
    """Findings on a graph with shapes; of what is not known, none."""
    findings = [*_values(graph)]
    findings += _ops(graph)
    return findings or [*_weights(graph)]


def _instances(graph: Graph) -> Iterator[tuple[Instance, Run | None]]:
    """Each distinct one with the first run that has it."""
    seen = set[int]()
    found: list[tuple[Instance, Run | None]] = [
        (end, None) for end in (graph.stem_run, graph.head_run) if end
    ]
    for run in (run for stage in graph.runs for run in stage):
        found += [(instance, run) for instance in run.instances]
    for instance, where in found:
        if id(instance) not in seen:
            seen.add(id(instance))
            yield instance, where


def _values(graph: Graph) -> Iterator[Diagnostic]:
    """Values that are too large, each op once; what follows from them is not told."""
    told = set[Span]()
    for instance, run in _instances(graph):
        for _, node, inputs in instance.unit.steps():
            there = [prod(instance.shapes.get(i, ())) for i in (*inputs, node.name)]
            if there[-1] <= VALUE_NUMBERS or node.span in told:
                continue
            told.add(node.span)
            if max(there[:-1], default=0) <= VALUE_NUMBERS:
                shape = [*instance.shapes[node.name]]
                message = (
                    f"{node.op.kind} makes {shape} of each image, {there[-1]:,} numbers, "
                    f"and up to {VALUE_NUMBERS:,} are taken"
                )
                notes = (_in(run),) if run else ()
                yield Diagnostic(codes.TOO_LARGE, message, node.span, notes=notes)
    if prod(graph.input or (0,)) > VALUE_NUMBERS:
        message = (
            f"the input has {prod(graph.input):,} numbers, and up to "
            f"{VALUE_NUMBERS:,} are taken"
        )
        yield Diagnostic(codes.TOO_LARGE, message, graph.span)


def _in(run: Run) -> Note:
    return Note(f"in a stage: {slot_text(run.slot)}", run.slot.span)


def _ops(graph: Graph) -> Iterator[Diagnostic]:
    runs = [run for stage in graph.runs for run in stage]
    count = sum(run.total("nodes") for run in runs)
    if count > NETWORK_OPS:
        most = max(runs, key=lambda run: run.total("nodes"))
        message = f"the network has {count:,} ops, and up to {NETWORK_OPS:,} are taken"
        hint = f"{most.total('nodes'):,} of them are of this unit, {most.count:,} times"
        yield Diagnostic(codes.TOO_LARGE, message, most.slot.span, hint)


def _weights(graph: Graph) -> Iterator[Diagnostic]:
    """The place is the op that has most of them."""
    total, most = 0, (0, graph.span)
    counts = Counter(id(end) for end in (graph.stem_run, graph.head_run))
    for run in (run for stage in graph.runs for run in stage):
        for instance in run.instances:
            counts[id(instance)] += run.count // len(run.instances)
    for instance, _ in _instances(graph):
        count = counts[id(instance)]
        for node, own in _weighing(instance):
            total, most = total + count * own, max(most, (count * own, node.span))
    if total > NETWORK_NUMBERS:
        message = (
            f"the network has {total:,} weights, and up to {NETWORK_NUMBERS:,} are "
            f"taken ({total * 4 / 2**30:,.0f} GiB, and {NETWORK_NUMBERS * 4 >> 30})"
        )
        hint = f"{most[0]:,} of them are of this op"
        yield Diagnostic(codes.TOO_LARGE, message, most[1], hint)


def _weighing(instance: Instance) -> Iterator[tuple[Node, int]]:
    """Its ops with the numbers of their weights, of those of which all is known."""
    for _, node, inputs in instance.unit.steps():
        settled = not any(isinstance(v, Expr) for v in node.op.attributes().values())
        if node.op.known and settled and all(i in instance.shapes for i in inputs):
            weights = node.op.weights(*(instance.shapes[i] for i in inputs))
            yield node, sum(prod(weight.shape) for weight in weights)
