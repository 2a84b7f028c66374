"""What holds of every program and every graph: a validator, to be run between passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from resgraph.graph import Block, Graph, Instance, Node, Part, Program, Row
from resgraph.graph.ir import row_values
from resgraph.ops import Shape
from resgraph.passes.base import Fact, Pass
from resgraph.passes.edit import Weighted


def faults(program: Program | Graph | Weighted) -> list[str]:
    """What is wrong with a program that has no findings, with shapes or without."""
    if isinstance(program, Weighted):
        return [*_graph(program.graph), *_origins(program)]
    return [*(_graph(program) if isinstance(program, Graph) else _program(program))]


def between(each: Pass[Any, Any, Any], before: Any, after: Any) -> None:
    """Hold a pass to what it says of itself, and the program after it to being sound."""
    assert not faults(after), (each.name, faults(after))
    if Fact.SHAPES in each.gives:
        assert isinstance(after, Graph), each.name
    if isinstance(before, Weighted) and Fact.LAYERS in each.keeps:
        assert layers(before.graph) == layers(after.graph), each.name
    if not each.gives - {Fact.CHECKED, Fact.SIZED} and isinstance(
        before, Program | Graph
    ):
        assert after is before, f"{each.name} only tells"


def layers(graph: Graph) -> list[str]:
    """The tensors of the state_dict."""
    return [n for prefix, part in graph.parts() for n, _ in part.tensors(prefix)]


# --- without shapes ---------------------------------------------------------------------


def _program(program: Program) -> Iterator[str]:
    for block in (*program.blocks.values(), *program.ends.values(), program.network):
        counts = _counts(block, program)
        yield from _block(block, counts)
        for row in block.rows:
            given = len(row.inputs)
            for call in row.calls:
                called = program.find(call)
                if called is None:
                    yield f"{block.name}: {row.name} is of {call.block}, which is not there"
                    continue
                if given != len(called.inputs):
                    yield f"{block.name}: {row.name} gives {called.name} {given} values"
                given = len(called.results)


def _counts(block: Block, program: Program) -> dict[str, tuple[str, ...]]:
    """By name of each row, its values."""
    found = {}
    for row in block.rows:
        last = program.find(row.calls[-1])
        found[row.name] = row_values(row.name, last.results if last else ())
    return found


def _block(block: Block, rows: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    """Names are distinct, and what is read is there."""
    known = {*block.inputs}
    if len(known) < len(block.inputs):
        yield f"{block.name}: two inputs of one name"
    for name, count in Counter(node.name for node in block.nodes).items():
        if count > 1 or name in known:
            yield f"{block.name}: {name} is there {count + (name in known)} times"
    for node in block.nodes:
        for value in node.inputs:
            if value not in known:
                yield f"{block.name}: {node.name} reads {value}, which is not above it"
        known |= {*_values(node, rows)}
    for name, value in block.results.items():
        if value not in known:
            yield f"{block.name}: the output {name} is {value}, which is not there"


def _values(node: Part, rows: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return (node.name,) if isinstance(node, Node) else rows[node.name]


# --- with shapes ------------------------------------------------------------------------


def _graph(graph: Graph) -> Iterator[str]:
    if graph.network.input != graph.input:
        yield f"the network is typed for {graph.network.input}"
    yield from _instance(graph.network, set())
    for name, count in Counter(layers(graph)).items():
        if count > 1:
            yield f"{name} is there {count} times"
    for name, value in graph.network.block.results.items():
        if value not in graph.network.shapes:
            yield f"the output {name} is {value}, which has no shape"


def _instance(instance: Instance, seen: set[int]) -> Iterator[str]:
    """The instance and those in it, each distinct one once."""
    if id(instance) in seen:
        return
    seen.add(id(instance))
    block, shapes = instance.block, instance.shapes
    if block.rows and {*instance.runs} != {row.name for row in block.rows}:
        yield f"{block.name}: runs of {sorted(instance.runs)}"
    rows = {row.name: instance.values(row) for row in block.rows}
    wrong = [*_block(block, rows)]
    read = {v for node in block.nodes for v in (*node.inputs, *_values(node, rows))}
    wrong += (f"{block.name}: {v} has no shape" for v in sorted(read - {*shapes}))
    yield from wrong
    for node in block.nodes if not wrong else ():
        given = [shapes[value] for value in node.inputs]
        if isinstance(node, Node):
            if node.op.shape(*given) != shapes[node.name]:
                yield f"{block.name}: {node.name} is {shapes[node.name]}"
        else:
            made = {value: shapes[value] for value in rows[node.name]}
            yield from _row(block, node, instance, given, made, seen)


def _row(
    block: Block,
    row: Row,
    outer: Instance,
    given: list[Shape],
    made: Mapping[str, Shape],
    seen: set[int],
) -> Iterator[str]:
    runs = outer.runs[row.name]
    for run in runs:
        for instance in run.instances:
            yield from _instance(instance, seen)
        if run.count % len(run.instances):
            yield f"{block.name}: {row.name} has {run.count} of {len(run.instances)}"
        for each in run:
            found = [each.shapes[name] for name in each.block.inputs]
            if found != given:
                yield f"{block.name}: {row.name} gives {given}, and {found} is taken"
            given = [*each.outputs.values()]
    if given != [*made.values()]:
        yield f"{block.name}: {row.name} makes {given}, and not {made}"


def _origins(network: Weighted) -> Iterator[str]:
    """Every new layer is there, and every tensor has the shape that its layer wants."""
    names = {name.rpartition(".")[0] for name in layers(network.graph)}
    yield from (f"no layer {name}" for name in network.origins if name not in names)
    for prefix, instance in network.graph.parts():
        for name, weight in instance.tensors(prefix):
            if network.weights(name, weight).shape != weight.shape:
                yield f"{name} is not {weight.shape}"
