"""A unit as in the paper's Fig. 4: the shortcut straight down, F beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

from resgraph.draw.caption import framed
from resgraph.draw.figure import Figure
from resgraph.draw.items import Item, Mark, Node, Text, Wire, shape_label, terminal
from resgraph.draw.layout import Layout, Link, layout, named
from resgraph.draw.text import width
from resgraph.draw.wires import PORT, Size, Wiring, wire
from resgraph.graph import INPUT, OUTPUT, Instance
from resgraph.graph import Node as OpNode
from resgraph.ops import Op, Role
from resgraph.prove import Parts, decompose

KINDS = {Role.WEIGHT: "weight", Role.NORM: "norm", Role.ACTIVATION: "act"}
"""How boxes are drawn; all others are alike."""
HEIGHT, DISC, LEAST, SIZE = 30.0, 26.0, 104.0, 12.0
"""Pixels: a box, a merge's circle, a box's least width, its letters."""
END = "\0out"  # no op is called so


def draw_unit(
    instance: Instance,
    *,
    title: str | None = None,
    subtitle: str = "",
    marks: Mapping[str, Mark] = {},
    prefix: str = "",
) -> Figure:
    """The unit from top to bottom, `x` first and `out` last; the title is its name.

    The line from x to `out` that changes least is the thick one; what on it is not the
    identity, as `prove` tells it, has another colour. Shapes stand where they change.
    `prefix` comes before every name in the SVG, for several drawings in one page. An
    instance may lack shapes, and its unit may read values that are not there: such
    lines are not drawn. Raises `SizeError` for more ops or lines than can be drawn.
    """
    what = _Structure(instance)
    sizes = {name: _size(name, what) for name in [INPUT, *what.ops, END]}
    room = {
        name: max(size.width, 2 * width(what.labels.get(name, ""), 10.5) + 20)
        for name, size in sizes.items()
    }
    with named(f"the unit '{instance.unit.name}'"):
        plan = _mirrored(layout(room, what.links), what)
    wiring = wire(plan, sizes)
    items: list[Item] = [
        *sorted(_wires(what, wiring, prefix), key=lambda w: w.kind == "shortcut"),
        *_nodes(what, wiring, sizes, marks, prefix),
    ]
    lanes = [(c, c) for way in plan.ways for c in way.columns]
    sides = [
        (plan.columns[n] - w / 2, plan.columns[n] + w / 2) for n, w in room.items()
    ]
    left, right = min(a for a, _ in sides + lanes), max(b for _, b in sides + lanes)
    name = instance.unit.name if title is None else title
    return framed(items, (left, right, wiring.height), name, subtitle)


@dataclass(frozen=True)
class _Structure:
    """What of a unit is drawn, names and lines, before anything has a place."""

    instance: Instance

    @cached_property
    def ops(self) -> dict[str, OpNode]:
        """By name, the first where several share one, as only a unit with findings has it."""
        ops = dict[str, OpNode]()
        for _, node, _ in self.instance.unit.steps():
            ops.setdefault(node.name, node)
        return ops

    @cached_property
    def reads(self) -> dict[str, tuple[str, ...]]:
        """The values that each op reads, without those that are not there before it."""
        reads = dict[str, tuple[str, ...]]()
        for _, node, inputs in self.instance.unit.steps():
            known = tuple(i for i in inputs if i == INPUT or i in reads)
            reads.setdefault(node.name, known)
        return reads

    @cached_property
    def parts(self) -> Parts | None:
        """The unit taken apart; with its shapes where all of them are known."""
        unit = self.instance.unit
        if OUTPUT not in unit.values or len(self.ops) < self.instance.nodes:
            return None
        if any(
            inputs != self.reads[n.name] or not inputs for _, n, inputs in unit.steps()
        ):
            return None
        typed = all(name in self.instance.shapes for name in (INPUT, *self.ops))
        return decompose(self.instance if typed else unit)

    @cached_property
    def route(self) -> set[tuple[str, str]]:
        """The lines of the shortcut."""
        if self.parts is None:
            return set()
        names = [node.name for node in self.parts.route]
        return {*pairwise([INPUT, *names, END])}

    @cached_property
    def broken(self) -> frozenset[str]:
        return self.parts.broken if self.parts else frozenset()

    @cached_property
    def labels(self) -> dict[str, str]:
        """The shapes that are told: of x, of what is returned, and where they change."""
        shapes, unit = self.instance.shapes, self.instance.unit
        told = {INPUT, unit.output} | {
            name
            for name, inputs in self.reads.items()
            if shapes.get(name) not in [shapes.get(i) for i in inputs]
        }
        return {
            v: str([*shapes[v]]) for v in (INPUT, *self.ops) if v in told & {*shapes}
        }

    @cached_property
    def widest(self) -> float:
        """Pixels of the longest label in a box."""
        boxes = [node.op for node in self.ops.values() if not node.op.symbol]
        return max(width(op.label(), SIZE) for op in boxes)

    @cached_property
    def links(self) -> list[Link]:
        """Each line; those of the shortcut and within a path are straighter than others."""
        unit = self.instance.unit
        chained = {
            (a.name, b.name) for path in unit.paths for a, b in pairwise(path.nodes)
        }
        pairs = [(i, name) for name, inputs in self.reads.items() for i in inputs]
        if OUTPUT in unit.values or not unit.paths:
            pairs.append((unit.output, END))
        return [
            Link(*pair, 200 if pair in self.route else 20 if pair in chained else 1)
            for pair in pairs
        ]


def _size(name: str, what: _Structure) -> Size:
    below = 16.0 if name in what.labels else 0.0
    if name not in what.ops:
        return Size(34, 16, below)
    if what.ops[name].op.symbol:
        many = max(0, len(what.reads[name]) - 4)
        return Size(DISC + PORT * many, DISC, below, round=True)
    return Size(max(LEAST, round(what.widest) + 24), HEIGHT, below)


def _mirrored(plan: Layout, what: _Structure) -> Layout:
    """With the shortcut on the left, as in the paper."""
    route = {name for pair in what.route for name in pair}
    others = [c for name, c in plan.columns.items() if name not in route]
    if not others or sum(others) / len(others) >= plan.columns[INPUT]:
        return plan
    ways = [replace(w, columns=tuple(-c for c in w.columns)) for w in plan.ways]
    return Layout(plan.rows, {n: -c for n, c in plan.columns.items()}, ways)


def _nodes(
    what: _Structure,
    wiring: Wiring,
    sizes: Mapping[str, Size],
    marks: Mapping[str, Mark],
    prefix: str,
) -> Iterator[Node]:
    for name, (x, y) in wiring.centres.items():
        if name not in what.ops:
            word = INPUT if name == INPUT else OUTPUT
            yield terminal(word, x, y, prefix, marks.get(word))
            continue
        op, size = what.ops[name].op, sizes[name]
        said, letters = op.symbol or op.label(), 17 if op.symbol else SIZE
        text = Text("text", name, said, x, y, letters)
        yield Node(
            _kind(op),
            name,
            (text,),
            x,
            y,
            size.width,
            size.height,
            prefix + name,
            broken=name in what.broken,
            mark=marks.get(name),
            note=f"{name}: {op.label()}",
        )


def _kind(op: Op) -> str:
    return "merge" if op.symbol else KINDS.get(op.role, "other")


def _wires(what: _Structure, wiring: Wiring, prefix: str) -> Iterator[Wire]:
    """Each line, and beside the first one that leaves a value, the value's shape."""
    labels, route = dict(what.labels), {*what.route}
    for link, points in wiring.lines:
        said = labels.pop(link.start, None)
        label = shape_label(link.start, said, points[0]) if said else None
        end = OUTPUT if link.end == END else link.end
        thick = (link.start, link.end) in route  # once, of an op that reads it twice
        route.discard((link.start, link.end))
        yield Wire(
            "shortcut" if thick else "plain",
            f"{link.start}>{end}",
            points,
            f"{prefix}{link.start}>{end}",
            broken=thick and end in what.broken,
            label=label,
        )
