"""A unit and its ops as facts for the page; what is not known of a draft is None, or empty."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from resgraph.diagnostics import visible
from resgraph.draw.labels import sign
from resgraph.emit.element import FLOAT32
from resgraph.emit.nodes import Constants, Made, NodeBuilder
from resgraph.expr import literal
from resgraph.graph import Instance, Node
from resgraph.ops import Shape
from resgraph.plan.memory import kept
from resgraph.report.places import Files
from resgraph.values import show

ELEMENT = 4
"""Bytes of an activation's element, float32."""
Facts = dict[str, Any]


def unit(instance: Instance, files: Files, typed: bool) -> Facts:
    """The unit's facts; costs are those with all units in it, bytes those kept for one
    image."""
    block = instance.block
    facts: Facts = {
        "name": block.name,
        "title": visible(block.title),
        "args": ", ".join(f"{k}={show(v)}" for k, v in instance.args.items()),
        "inputs": [[name, sides(instance, name)] for name in block.inputs],
        "outputs": [[n, sides(instance, v)] for n, v in block.results.items()],
        "place": files.place(block.span),
        "ops": [_op(instance, node, files) for node in block.ops],
        **costs(None),
        "kept": None,
    }
    if typed:
        for op, numbers in zip(facts["ops"], _numbers(instance), strict=True):
            op |= numbers
        facts |= costs(instance) | {"kept": _kept(instance)}
    return facts


def costs(what: Any) -> Facts:
    """Parameters and multiply-adds of what has a `total`; of None, not known."""
    names = ("parameters", "multiply_adds")
    return {name: None if what is None else int(what.total(name)) for name in names}


def sides(instance: Instance, value: str) -> list[int] | None:
    """The shape of a value."""
    return [*instance.shapes[value]] if value in instance.shapes else None


def _kept(instance: Instance) -> int:
    cost = kept(instance, bn_relu=False)
    shared = sum(cost.shared[value] for value in cost.held)
    return cost.inside(1, ELEMENT) + shared * ELEMENT


def _op(instance: Instance, node: Node, files: Files) -> Facts:
    return {
        "name": node.name,
        "kind": node.op.kind,
        "role": node.op.role.value,
        "symbol": sign(node.op),
        "path": node.path,
        "inputs": [*node.inputs],
        "in": [sides(instance, value) for value in node.inputs],
        "out": sides(instance, node.name),
        "attributes": [
            [name, _shown(value)] for name, value in node.op.attributes().items()
        ],
        "place": files.place(node.span),
        "parameters": None,
        "multiply_adds": None,
        "weights": [],
        "onnx": [],
        "keeps": [],
    }


def _shown(value: Any) -> str:
    """As YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(literal(value)) if isinstance(value, (int, float)) else str(value)


def _numbers(instance: Instance) -> Iterator[Facts]:
    """Of each op, in reading order, what needs shapes; keys as in `_op`."""
    nodes, held = onnx_nodes(instance), keeps(instance)
    for node in instance.block.ops:
        given = [instance.shapes[i] for i in node.inputs]
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
    found: dict[str, list[list[str]]] = {}
    constants = Constants(FLOAT32)
    for node in instance.block.ops:
        made: list[Made] = []
        builder = NodeBuilder(node.name, made, set(), constants)
        shapes = [instance.shapes[i] for i in node.inputs]
        builder.name_last(node.op.onnx(builder, *node.inputs, shapes=shapes))
        found[node.name] = [[each.proto.op_type, each.name] for each in made]
    return found


def keeps(instance: Instance) -> dict[str, list[list[Any]]]:
    """By op, what PyTorch keeps of it for the gradient: (kind, value, bytes for one image).

    The kinds: a `value`, tensors of its `own`, statistics of a `batch`. A value that
    several ops keep is in memory once; it stands at each of them.
    """
    shapes: dict[str, Shape] = dict(instance.shapes)
    memory: dict[str, str] = {value: value for value in shapes}
    found: dict[str, list[list[Any]]] = {}
    for node in instance.block.ops:
        saved = node.op.saved(*(shapes[i] for i in node.inputs))
        if saved.view:  # it lies in the memory of what it reads
            memory[node.name] = memory[node.inputs[0]]
        values = [memory[i] for i in saved.those(node.inputs)]
        values += [memory[node.name]] if saved.output else []
        own = saved.elements * ELEMENT + saved.bytes
        found[node.name] = [
            *(["value", v, prod(shapes[v]) * ELEMENT] for v in dict.fromkeys(values)),
            *([["own", "", own]] if own else []),
            *([["batch", "", saved.fixed]] if saved.fixed else []),
        ]
    return found
