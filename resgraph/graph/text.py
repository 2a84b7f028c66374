"""The graph as text: what `resgraph show --emit graph` prints and what the digest is of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from resgraph.expr import written
from resgraph.graph.ir import Graph, Slot, Unit


def text(graph: Graph) -> str:
    """One line per op of each distinct unit, one line per slot of each stage."""
    return "\n".join([f"network {graph.name}", *_lines(graph)]) + "\n"


def digest(graph: Graph) -> str:
    """`sha256:` and 64 hex digits of the topology: names of layers count, of networks don't."""
    body = "\n".join(_lines(graph)).encode()
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def used_units(graph: Graph) -> list[Unit]:
    """The units that the stages use, in the spec's order."""
    used = {slot.unit for stage in graph.stages for slot in stage}
    return [unit for name, unit in graph.units.items() if name in used]


def _lines(graph: Graph) -> Iterator[str]:
    yield f"input {list(graph.input)}"
    for unit in used_units(graph):
        yield ""
        yield f"unit {unit.name}({_params(unit)})"
        yield from _ops(unit)
    yield ""
    yield "stem"
    yield from _ops(graph.stem)
    for number, stage in enumerate(graph.stages, 1):
        yield f"stage{number}"
        yield from (f"  {slot_text(slot)}" for slot in stage)
    yield "head"
    yield from _ops(graph.head)


def _params(unit: Unit) -> str:
    return ", ".join(
        p.name if p.default is None else f"{p.name}={written(p.default)}"
        for p in unit.params
    )


def _ops(unit: Unit) -> Iterator[str]:
    for _, node, inputs in unit.steps():
        attributes = [f"{k}={v}" for k, v in node.op.attributes().items()]
        yield f"  {node.name} = {node.op.kind}({', '.join([*inputs, *attributes])})"
    yield f"  return {unit.output}"


def slot_text(slot: Slot) -> str:
    """A slot as in the text form: `body(width=16) x 17`."""
    args = ", ".join(f"{name}={written(value)}" for name, value in slot.args.items())
    repeat = f" x {slot.repeat}" if slot.repeat > 1 else ""
    return f"{slot.unit}({args}){repeat}"
