"""A unit as in the paper's Fig. 4: the shortcut straight down, F beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from resgraph.draw.caption import CAPTION, captioned
from resgraph.draw.figure import Figure
from resgraph.draw.items import MARGIN, Item, Mark, Node, Text, Wire
from resgraph.draw.layout import Layout, Link, layout
from resgraph.draw.text import width
from resgraph.draw.wires import Size, Wiring, wire
from resgraph.graph import INPUT, OUTPUT, Instance
from resgraph.graph import Node as OpNode
from resgraph.ops import Role, Shape
from resgraph.prove import Parts, decompose

KINDS = {Role.WEIGHT: "weight", Role.NORM: "norm", Role.ACTIVATION: "act"}
HEIGHT, DISC, LABEL = 30.0, 26.0, 10.5
END = "\0out"  # no op is called so


def draw_unit(
    instance: Instance,
    *,
    title: str | None = None,
    subtitle: str = "",
    marks: Mapping[str, Mark] = {},
    prefix: str = "",
) -> Figure:
    """The unit from top to bottom, `x` first and `out` last.

    The line from x to `out` that changes least is the thick one; what on it is not the
    identity, as `prove` tells it, has another colour. Shapes stand where they change.
    `prefix` comes before every name in the SVG, for several drawings in one page.
    """
    return _Drawing(instance, marks, prefix).figure(title, subtitle)


class _Drawing:
    """Of one unit: what is known of it, and its parts made one after another."""

    def __init__(
        self, instance: Instance, marks: Mapping[str, Mark], prefix: str
    ) -> None:
        self.instance, self.marks, self.prefix = instance, marks, prefix
        self.ops = dict[str, OpNode]()
        self.reads = dict[str, tuple[str, ...]]()
        for _, node, inputs in instance.unit.steps():
            self.reads[node.name] = tuple(
                i for i in inputs if i == INPUT or i in self.ops
            )
            self.ops[node.name] = node
        self.parts = self._parts()
        route = [node.name for node in self.parts.route] if self.parts else []
        self.route = [INPUT, *route, END] if self.parts else []
        self.labels = {v: text for v in self._values() if (text := self._shape(v))}

    def figure(self, title: str | None, subtitle: str) -> Figure:
        sizes = {name: self._size(name) for name in [INPUT, *self.ops, END]}
        room = {name: self._room(name, size) for name, size in sizes.items()}
        plan = self._mirrored(layout(room, [*self._links()]))
        left = min(plan.columns[n] - w / 2 for n, w in room.items())
        right = max(plan.columns[n] + w / 2 for n, w in room.items())
        lanes = [c for way in plan.ways for c in way.columns]
        left, right = min(left, *lanes), max(right, *lanes)
        name = self.instance.unit.name if title is None else title
        across = max(right - left, CAPTION)
        caption, top = captioned(name, subtitle, across)
        wiring = wire(plan, sizes)
        dx = MARGIN + (across - (right - left)) / 2 - left
        items: list[Item] = [*self._wires(wiring, sizes), *self._nodes(wiring, sizes)]
        moved = [item.moved(dx, MARGIN + top) for item in items]
        return Figure(
            across + 2 * MARGIN,
            wiring.height + top + 2 * MARGIN,
            (*caption, *moved),
            f"{name}: {subtitle}" if subtitle else name,
            top + MARGIN,
        )

    # --- what is known ----------------------------------------------------------------

    def _parts(self) -> Parts | None:
        """The unit taken apart; with its shapes where all are known."""
        unit = self.instance.unit
        if any(inputs != self.reads[n.name] for _, n, inputs in unit.steps()):
            return None
        known = all(name in self.instance.shapes for name in self.ops)
        return decompose(self.instance if known else unit)

    def _values(self) -> Iterator[str]:
        """The values whose shapes are told: x, what is returned, and where it changes."""
        yield INPUT
        for name, inputs in self.reads.items():
            shape = self.instance.shapes.get(name)
            before = [self.instance.shapes.get(i) for i in inputs]
            if name == self.instance.unit.output or shape not in before:
                yield name

    def _shape(self, value: str) -> str:
        shape: Shape | None = self.instance.shapes.get(value)
        return "" if shape is None else str([*shape])

    def _links(self) -> Iterator[Link]:
        """Each line, those of the shortcut and those within a path straighter than others."""
        along = {*zip(self.route, self.route[1:])}
        chained = {
            (a.name, b.name)
            for path in self.instance.unit.paths
            for a, b in zip(path.nodes, path.nodes[1:])
        }
        pairs = [(i, name) for name, inputs in self.reads.items() for i in inputs]
        for pair in [*pairs, (self.instance.unit.output, END)]:
            weight = 200 if pair in along else 20 if pair in chained else 1
            yield Link(*pair, weight)

    # --- its parts --------------------------------------------------------------------

    def _size(self, name: str) -> Size:
        below = LABEL * 1.5 if name in self.labels else 0.0
        if name not in self.ops:
            return Size(34, 16, below)
        if self.ops[name].op.symbol:
            return Size(DISC, DISC, below, round=True)
        widest = max(
            (width(n.op.label(), 12) for n in self.ops.values() if not n.op.symbol),
            default=0,
        )
        return Size(max(104, round(widest) + 24), HEIGHT, below)

    def _room(self, name: str, size: Size) -> float:
        """The width that it takes with its value's shape beside the line below it."""
        label = self.labels.get(name)
        return max(size.width, 2 * (width(label, LABEL) + 10) if label else 0)

    def _mirrored(self, plan: Layout) -> Layout:
        """With the shortcut on the left, as in the paper."""
        others = [c for name, c in plan.columns.items() if name not in self.route]
        middle = plan.columns[INPUT]
        if not others or sum(others) / len(others) >= middle:
            return plan
        ways = [replace(w, columns=tuple(-c for c in w.columns)) for w in plan.ways]
        return Layout(plan.rows, {n: -c for n, c in plan.columns.items()}, ways)

    def _nodes(self, wiring: Wiring, sizes: Mapping[str, Size]) -> Iterator[Node]:
        for name, (x, y) in wiring.centres.items():
            size = sizes[name]
            node = self.ops.get(name)
            if node is None:
                word = INPUT if name == INPUT else OUTPUT
                text = Text("text", word, word, x, y, width(word, 13), 13, italic=True)
                yield Node(
                    "end", word, (text,), x, y, size.width, size.height,
                    self.prefix + word, tags="terminal",
                )
                continue
            said, big = node.op.symbol or node.op.label(), 17 if node.op.symbol else 12
            text = Text("text", name, said, x, y, width(said, big), big)
            yield Node(
                "merge" if node.op.symbol else KINDS.get(node.op.role, "other"),
                name,
                (text,),
                x,
                y,
                size.width,
                size.height,
                self.prefix + name,
                self.parts is not None and name in self.parts.broken,
                self.marks.get(name),
                f"{name}: {node.op.label()}",
            )

    def _wires(self, wiring: Wiring, sizes: Mapping[str, Size]) -> list[Wire]:
        """The shortcut last, above the others; a value's shape at its first line."""
        along, told, wires = {*zip(self.route, self.route[1:])}, set[str](), list[Wire]()
        for link, points in wiring.lines:
            label = None
            if (said := self.labels.get(link.start)) and link.start not in told:
                told.add(link.start)
                x, y = points[0]
                label = Text("shape", link.start, said, x + 7, y + LABEL * 0.8, width(said, LABEL), LABEL, "muted", anchor="start")
            end = OUTPUT if link.end == END else link.end
            thick = (link.start, link.end) in along
            edge = f"{link.start}>{end}"
            broken = thick and self.parts is not None and end in self.parts.broken
            wires.append(Wire("shortcut" if thick else "plain", edge, points, self.prefix + edge, broken, label))
        return sorted(wires, key=lambda w: (w.kind == "shortcut"))
