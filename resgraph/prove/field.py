"""The receptive field: which input pixels a position of a map can see, counted in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from resgraph.diagnostics import Span
from resgraph.graph import Graph, Instance, Node
from resgraph.ops import POINT, Reach, Shape
from resgraph.prove.finding import Finding, Level, Topic
from resgraph.prove.sites import Site


@dataclass(frozen=True)
class _Blame:
    """The op at which the receptive field can no longer be told, and why."""

    node: Node
    why: str


_LARGEST = 2**60
"""A stride beyond this is as good as any, and keeps the numbers small."""

Field = Reach | _Blame
"""What a position of a value sees of the network's input, in pixels."""


@dataclass(frozen=True)
class _View:
    """A map and what a position of it sees; `place` says where the map is."""

    place: str
    field: Field
    shape: Shape
    span: Span


def receptive_field(graph: Graph, found: Sequence[Site]) -> Iterator[Finding]:
    """Findings on what a position sees: at each stage's exit, and before the pooling."""
    field: Field = _through(graph.stem, POINT) if graph.stem else POINT
    views: list[_View] = []
    for number, site in enumerate(found):
        field = _repeated(site, field)
        if number + 1 == len(found) or found[number + 1].stage != site.stage:
            place = f"at the exit of {site.stage}"
            views.append(_View(place, field, site.instance.output, site.call.span))
    if (pooled := _before_pooling(graph, field)) is not None:
        if views and (views[-1].field, views[-1].shape) == (pooled.field, pooled.shape):
            last = views.pop()
            pooled = replace(pooled, place=f"{last.place}, and {pooled.place}")
        views.append(pooled)
    for view in views:
        message = f"{view.place}: {_told(view, graph.input)}"
        yield Finding(Level.FACT, Topic.FIELD, message, view.span)


def _before_pooling(graph: Graph, field: Field) -> _View | None:
    """The head's map before the first op that sees all of it, if there is one."""
    if (head := graph.head) is None:
        return None
    fields = _fields(head, field)
    for node in head.steps:
        reach, shape = node.op.reach(), head.flat.shapes[node.inputs[0]]
        if reach is not None and math.isinf(reach.last):
            view = _View(
                f"before {node.name}", fields[node.inputs[0]], shape, node.span
            )
            return view if len(shape) == 3 else None
    return None


def _told(view: _View, image: Shape) -> str:
    """The field's extent in pixels, and how much of the image it covers."""
    field, sides = view.field, image[1:]
    whole = f"all of the {sides[0]} x {sides[1]} input"
    if isinstance(field, _Blame):
        return f"not known, since {field.node.name} {field.why}"
    if math.isinf(field.last):
        return f"every position sees {whole}"
    extent = int(field.last - field.first) + 1
    seen = min(
        _covering(field, positions, pixels)
        for positions, pixels in zip(view.shape[1:], sides, strict=True)
    )
    who = ("no position sees", "some positions see", "every position sees")[seen]
    # Where a stride was cut off at _LARGEST, the extent is a lower bound and no number.
    size = f"{extent} x {extent}" if extent < _LARGEST else "more than 10^18 x 10^18"
    return f"{size} pixels; {who} {whole}"


def _covering(field: Reach, positions: int, pixels: int) -> int:
    """How many positions of a side see all the input: 0 for none, 1 for some, 2 for all."""
    first = max(0, math.ceil((pixels - 1 - field.last) / field.stride))
    last = min(positions - 1, math.floor(-field.first / field.stride))
    if first > last:
        return 0
    return 2 if (first, last) == (0, positions - 1) else 1


def _repeated(site: Site, field: Field) -> Field:
    """The field after all the units of a site: a stride of 1 adds up, without a walk.

    A larger one outgrows every image in a few steps, or stands still on a 1x1 map.
    """
    one = _through(site.instance, POINT)
    if isinstance(one, _Blame) or isinstance(field, _Blame):
        return field if isinstance(field, _Blame) else one
    if one.stride == 1:
        return _then(field, Reach(one.first * site.count, one.last * site.count))
    for _ in range(min(site.count, _LARGEST.bit_length())):
        field = _then(field, one)
    return field


def _through(instance: Instance, field: Field) -> Field:
    """The field of a unit's output, from that of its input."""
    return _fields(instance, field)[instance.flat.block.output]


def _fields(instance: Instance, field: Field) -> dict[str, Field]:
    fields: dict[str, Field] = dict.fromkeys(instance.block.inputs, field)
    for node in instance.steps:
        fields[node.name] = _after(node, [fields[i] for i in node.inputs])
    return fields


def _after(node: Node, inputs: Sequence[Field]) -> Field:
    known = [field for field in inputs if isinstance(field, Reach)]
    if len(known) < len(inputs):
        return next(field for field in inputs if isinstance(field, _Blame))
    reach = node.op.reach()
    if reach is None:
        return _Blame(node, "does not state what it sees")
    strides = {field.stride for field in known if not math.isinf(field.last)}
    if len(strides) > 1:
        return _Blame(node, "merges branches of different strides")
    stride = strides.pop() if strides else known[0].stride
    first = min(field.first for field in known)
    last = max(field.last for field in known)
    return _then(Reach(first, last, stride), reach)


def _then(field: Reach, reach: Reach) -> Reach:
    """The field behind an op, from that of its input."""
    step = field.stride
    return Reach(
        field.first + step * reach.first,
        field.last + step * reach.last,
        min(step * reach.stride, _LARGEST),
    )
