"""The receptive field: which input pixels a position of a map can see, counted in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from resgraph.diagnostics import Span
from resgraph.graph import HEAD, STEM, Graph, Instance, Node
from resgraph.ops import POINT, ReceptiveField, Shape
from resgraph.prove.finding import Finding, Level, Topic
from resgraph.prove.sites import Site, Stage


@dataclass(frozen=True)
class _Blame:
    """The op at which the receptive field can no longer be told, and why."""

    node: Node
    why: str


_LARGEST = 2**60
"""A stride beyond this is as good as any, and keeps the numbers small."""

Field = ReceptiveField | _Blame
"""What a position of a value sees of the network's input, in pixels."""


@dataclass(frozen=True)
class _View:
    """A map and what a position of it sees; `place` says where the map is."""

    place: str
    field: Field
    shape: Shape
    span: Span


Fields = list[Field]
"""Those of a unit's inputs, or of its outputs."""


def receptive_field(graph: Graph, network: Sequence[Stage]) -> Iterator[Finding]:
    """Findings on what a position sees: at each stage's exit, and before the pooling.

    None where the input is no map: tokens and vectors have no pixels to be seen.
    """
    if len(graph.input) != 3:
        return
    made: dict[str, Field] = dict.fromkeys(graph.network.block.inputs, POINT)
    views: list[_View] = []
    for stage in network:
        row = stage.row
        given = [made[value] for value in row.inputs]
        if row.name == HEAD:
            views = _with(views, _before_pooling(stage.last, given))
        for site in stage.sites:
            given = _repeated(site, given)
        made |= zip(stage.values, given, strict=True)
        views += _exits(graph, stage, given)
    for view in views:
        message = f"{view.place}: {_told(view, graph.input)}"
        yield Finding(Level.FACT, Topic.FIELD, message, view.span)


def _exits(graph: Graph, stage: Stage, fields: Fields) -> Iterator[_View]:
    """The values of a stage, and the maps that the network returns."""
    row = stage.row
    returned = {value: name for name, value in graph.network.block.results.items()}
    for value, shape, field in zip(
        stage.values, stage.last.outputs.values(), fields, strict=True
    ):
        name = returned.get(value)
        called = f"the output {name}" if name and len(returned) > 1 else "the output"
        if row.name not in (STEM, HEAD):
            place = f"at the exit of {value}"
            place += f", {called}" if name else ""
        elif name and len(shape) == 3:
            place = f"at {called}"
        else:
            continue
        yield _View(place, field, shape, stage.sites[-1].call.span)


def _with(views: list[_View], pooled: _View | None) -> list[_View]:
    """The views and the one before the pooling, which may be the last one of them."""
    if pooled is None:
        return views
    if views and (views[-1].field, views[-1].shape) == (pooled.field, pooled.shape):
        place = f"{views[-1].place}, and {pooled.place}"
        return [*views[:-1], replace(pooled, place=place)]
    return [*views, pooled]


def _before_pooling(head: Instance, given: Fields) -> _View | None:
    """The head's map before the first op that sees all of it, if there is one."""
    fields = _fields(head, given)
    for node in head.steps:
        reach, shape = node.op.receptive_field(), head.flat.shapes[node.inputs[0]]
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
    # Where a stride was cut off at _LARGEST, the extent is a lower bound and no number.
    size = f"{extent} x {extent}" if extent < _LARGEST else "more than 10^18 x 10^18"
    if len(view.shape) != 3:  # whose elements stand where, the shape does not say
        return f"{size} pixels"
    seen = min(
        _covering(field, positions, pixels)
        for positions, pixels in zip(view.shape[1:], sides, strict=True)
    )
    who = ("no position sees", "some positions see", "every position sees")[seen]
    return f"{size} pixels; {who} {whole}"


def _covering(field: ReceptiveField, positions: int, pixels: int) -> int:
    """How many positions of a side see all the input: 0 for none, 1 for some, 2 for all."""
    first = max(0, math.ceil((pixels - 1 - field.last) / field.stride))
    last = min(positions - 1, math.floor(-field.first / field.stride))
    if first > last:
        return 0
    return 2 if (first, last) == (0, positions - 1) else 1


def _repeated(site: Site, given: Fields) -> Fields:
    """The fields after all the units of a site, without a walk: a stride of 1 adds up.

    A larger one outgrows every image in a few steps, or stands still on a 1x1 map.
    """
    for done in range(1, min(site.count, _LARGEST.bit_length()) + 1):
        after = _through(site, given)
        growth = _growth(given, after) if done < site.count else None
        if growth is not None:
            first, last = (each * (site.count - done) for each in growth)
            return [_grown(field, first, last) for field in after]
        given = after
    return given


def _growth(given: Fields, after: Fields) -> tuple[float, float] | None:
    """By how much all fields grew alike, and so will again; None where they did not."""
    steps = set[tuple[float, float]]()
    for a, b in zip(given, after, strict=True):
        if isinstance(a, _Blame) or isinstance(b, _Blame):
            steps |= {(0, 0)} if a == b else {(0, 0), (1, 1)}
        elif a == b:
            steps.add((0, 0))
        elif a.stride != b.stride or math.isinf(b.last):
            return None
        else:
            steps.add((b.first - a.first, b.last - a.last))
    return steps.pop() if len(steps) == 1 else None


def _grown(field: Field, first: float, last: float) -> Field:
    if isinstance(field, _Blame):
        return field
    return replace(field, first=field.first + first, last=field.last + last)


def _through(site: Site, given: Fields) -> Fields:
    """The fields of a unit's outputs, from those of its inputs."""
    for inner in site.inner:
        given = _repeated(inner, given)
    if site.inner:
        return given
    fields = _fields(site.instance, given)
    return [fields[value] for value in site.instance.flat.block.results.values()]


def _fields(instance: Instance, given: Fields) -> dict[str, Field]:
    fields = dict(zip(instance.block.inputs, given, strict=True))
    for node in instance.steps:
        fields[node.name] = _after(node, [fields[i] for i in node.inputs])
    return fields


def _after(node: Node, inputs: Sequence[Field]) -> Field:
    known = [field for field in inputs if isinstance(field, ReceptiveField)]
    if len(known) < len(inputs):
        return next(field for field in inputs if isinstance(field, _Blame))
    reach = node.op.receptive_field()
    if reach is None:
        return _Blame(node, "does not state what it sees")
    strides = {field.stride for field in known if not math.isinf(field.last)}
    if len(strides) > 1:
        return _Blame(node, "merges branches of different strides")
    stride = strides.pop() if strides else known[0].stride
    first = min(field.first for field in known)
    last = max(field.last for field in known)
    return _then(ReceptiveField(first, last, stride), reach)


def _then(field: ReceptiveField, reach: ReceptiveField) -> ReceptiveField:
    """The field behind an op, from that of its input."""
    step = field.stride
    return ReceptiveField(
        field.first + step * reach.first,
        field.last + step * reach.last,
        min(step * reach.stride, _LARGEST),
    )
