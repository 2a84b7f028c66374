"""A unit and its ops as facts for the page."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from resgraph.diagnostics import visible
from resgraph.emit.element import FLOAT32
from resgraph.emit.nodes import Constants, template_of
from resgraph.expr import literal
from resgraph.graph import INPUT, Instance
from resgraph.ops import Shape
from resgraph.plan.memory import kept
from resgraph.report.places import Files

ELEMENT = 4
"""Bytes of an activation's element, float32."""


def unit(instance: Instance, files: Files) -> dict[str, Any]:
    """The unit's facts; bytes are those kept for one image."""
    facts = draft(instance, files)
    for op, numbers in zip(facts["ops"], _numbers(instance), strict=True):
        op |= numbers
    cost = kept(instance, bn_relu=False)
    input_bytes = cost.entry(1, ELEMENT) if cost.keeps_input else 0
    return facts | {
        "parameters": instance.parameters,
        "multiply_adds": instance.multiply_adds,
        "kept": cost.total(1, ELEMENT) + input_bytes,
    }


def draft(instance: Instance, files: Files) -> dict[str, Any]:
    """What is known of a unit that may lack shapes and numbers: those are None, or empty."""
    return {
        "name": instance.unit.name,
        "title": visible(instance.unit.title),
        "args": ", ".join(f"{k}={literal(v)}" for k, v in instance.args.items()),
        "input": _sides(instance, INPUT),
        "output": _sides(instance, instance.unit.output),
        "parameters": None,
        "multiply_adds": None,
        "kept": None,
        "place": files.place(instance.unit.span),
        "ops": [
            {
                "name": node.name,
                "kind": node.op.kind,
                "role": node.op.role.value,
                "symbol": node.op.symbol,
                "path": path.name,
                "inputs": [*inputs],
                "in": [_sides(instance, value) for value in inputs],
                "out": _sides(instance, node.name),
                "attributes": [
                    [name, _shown(value)]
                    for name, value in node.op.attributes().items()
                ],
                "place": files.place(node.span),
                **_NOTHING,
            }
            for path, node, inputs in instance.unit.steps()
        ],
    }


_NOTHING: dict[str, Any] = {
    "parameters": None,
    "multiply_adds": None,
    "weights": [],
    "onnx": [],
    "keeps": [],
}


def _sides(instance: Instance, value: str) -> list[int] | None:
    return [*instance.shapes[value]] if value in instance.shapes else None


def _shown(value: Any) -> str:
    """As YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(literal(value)) if isinstance(value, (int, float)) else str(value)


def _numbers(instance: Instance) -> Iterator[dict[str, Any]]:
    """Of each op, in reading order, what needs shapes; keys as in `_NOTHING`."""
    nodes, held = onnx_nodes(instance), keeps(instance)
    for _, node, inputs in instance.unit.steps():
        given = [instance.shapes[i] for i in inputs]
        weights = node.op.weights(*given)
        yield {
            "parameters": sum(prod(w.shape) for w in weights if w.trainable),
            "multiply_adds": node.op.multiply_adds(*given),
            "weights": [[w.name, [*w.shape], w.trainable] for w in weights],
            "onnx": nodes[node.name],
            "keeps": held[node.name],
        }


def onnx_nodes(instance: Instance) -> dict[str, list[list[str]]]:
    """By op, its ONNX nodes as (type, name); none for an op that is its input."""
    template = template_of(instance, Constants(FLOAT32))
    found: dict[str, list[list[str]]] = {
        n.name: [] for _, n, _ in instance.unit.steps()
    }
    for proto, _, output in template.nodes:
        found[output.partition("/")[0]].append([proto.op_type, output])
    return found


def keeps(instance: Instance) -> dict[str, list[list[Any]]]:
    """By op, what PyTorch keeps of it for the gradient: (kind, value, bytes for one image).

    The kinds: a `value`, tensors of its `own`, statistics of a `batch`. A value that
    several ops keep is in memory once; it stands at each of them.
    """
    shapes: dict[str, Shape] = dict(instance.shapes)
    memory = {INPUT: INPUT}  # the value whose memory a value lies in
    found: dict[str, list[list[Any]]] = {}
    for _, node, inputs in instance.unit.steps():
        saved = node.op.saved(*(shapes[i] for i in inputs))
        memory[node.name] = memory[inputs[0]] if saved.view else node.name
        values = [memory[i] for i in inputs] if saved.inputs else []
        values += [memory[node.name]] if saved.output else []
        own = saved.elements * ELEMENT + saved.bytes
        found[node.name] = [
            *(["value", v, prod(shapes[v]) * ELEMENT] for v in dict.fromkeys(values)),
            *([["own", "", own]] if own else []),
            *([["batch", "", saved.fixed]] if saved.fixed else []),
        ]
    return found
