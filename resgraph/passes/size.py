"""Check that a network is of a size that can be computed: ops, maps, weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Note, Span, so_often
from resgraph.expr import Expr
from resgraph.graph import Graph, Instance, Node, Row, Run, Style
from resgraph.limits import NETWORK_NUMBERS, NETWORK_OPS, VALUE_NUMBERS
from resgraph.passes.blame import used


def check_size(graph: Graph) -> list[Diagnostic]:
    """Findings on a graph with shapes; of what is not known, none."""
    findings = [*_values(graph)]
    findings += _ops(graph)
    return findings or [*_weights(graph)]


Notes = tuple[Note, ...]


def distinct(network: Instance) -> Iterator[tuple[Instance, Notes]]:
    """The network and all in it, each distinct instance with how it is used first."""
    yield network, ()
    yield from _within(network, (), {id(network)}, True)


def _within(
    instance: Instance, notes: Notes, seen: set[int], network: bool = False
) -> Iterator[tuple[Instance, Notes]]:
    for row, run in _runs(instance):
        stands = row.style is not Style.INLINE  # of stem and head all is said
        here = (used(instance.block, row, run.call, network),) if stands else ()
        for each in run.instances:
            if id(each) not in seen:
                seen.add(id(each))
                yield each, (*here, *notes)
                yield from _within(each, (*here, *notes), seen)


def _runs(instance: Instance) -> Iterator[tuple[Row, Run]]:
    """Those of its own rows."""
    return ((r, run) for r in instance.block.rows for run in instance.runs[r.name])


def _values(graph: Graph) -> Iterator[Diagnostic]:
    """Values that are too large, each op once; what follows from them is not told."""
    told = set[Span]()
    for instance, notes in distinct(graph.network):
        for node in instance.block.ops:
            names = (*node.inputs, node.name)
            there = [prod(instance.shapes.get(i, ())) for i in names]
            if there[-1] <= VALUE_NUMBERS or node.span in told:
                continue
            told.add(node.span)
            if max(there[:-1], default=0) <= VALUE_NUMBERS:
                shape = [*instance.shapes[node.name]]
                message = (
                    f"{node.op.kind} makes {shape} of each image, {there[-1]:,} numbers, "
                    f"and up to {VALUE_NUMBERS:,} are taken"
                )
                yield Diagnostic(codes.TOO_LARGE, message, node.span, notes=notes)
    if prod(graph.input or (0,)) > VALUE_NUMBERS:
        message = (
            f"the input has {prod(graph.input):,} numbers, and up to "
            f"{VALUE_NUMBERS:,} are taken"
        )
        yield Diagnostic(codes.TOO_LARGE, message, graph.span)


def _ops(graph: Graph) -> Iterator[Diagnostic]:
    runs = [run for _, runs in graph.stages for run in runs]
    count = sum(run.total("nodes") for run in runs)
    if count > NETWORK_OPS:
        most = max(runs, key=lambda run: run.total("nodes"))
        message = f"the network has {count:,} ops, and up to {NETWORK_OPS:,} are taken"
        hint = (
            f"{most.total('nodes'):,} of them are of this unit, {so_often(most.count)}"
        )
        yield Diagnostic(codes.TOO_LARGE, message, most.call.span, hint)


def _weights(graph: Graph) -> Iterator[Diagnostic]:
    """The place is the op that has most of them."""
    total, most = 0, (0, graph.span)
    counts = Counter[int]()
    _count(graph.network, 1, counts)
    for instance, _ in distinct(graph.network):
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


def _count(instance: Instance, times: int, counts: Counter[int]) -> None:
    """How often each distinct instance stands in the network."""
    order: list[Instance] = []
    below: dict[int, list[tuple[Instance, int]]] = {}
    waiting = [(instance, False)]
    while waiting:
        each, read = waiting.pop()
        if read:
            order.append(each)
        elif id(each) not in below:
            below[id(each)] = [*_inside(each)]
            waiting.append((each, True))
            waiting += [(inner, False) for inner, _ in below[id(each)]]
    counts[id(instance)] = times
    for each in reversed(order):
        for inner, often in below[id(each)]:
            counts[id(inner)] += counts[id(each)] * often


def _inside(instance: Instance) -> Iterator[tuple[Instance, int]]:
    for _, run in _runs(instance):
        for each in run.instances:
            yield each, run.count // len(run.instances)


def _weighing(instance: Instance) -> Iterator[tuple[Node, int]]:
    """Its own ops with the numbers of their weights, of those of which all is known."""
    for node in instance.block.ops:
        settled = not any(isinstance(v, Expr) for v in node.op.attributes().values())
        if node.op.known and settled and all(i in instance.shapes for i in node.inputs):
            weights = node.op.weights(*(instance.shapes[i] for i in node.inputs))
            yield node, sum(prod(weight.shape) for weight in weights)
