"""A unit as in the paper's Fig. 4: the shortcut straight down, F beside it.

A unit that it uses is one box, or unfolded: a frame with what it is made of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from resgraph.draw.boxes import (
    ASIDE,
    DISC,
    FOOT,
    HEIGHT,
    LEAST,
    NAMES,
    SIZE,
    TITLE,
    folded_node,
    folded_size,
    frame,
    frame_texts,
    op_node,
)
from resgraph.draw.caption import framed
from resgraph.draw.cells import Cell, cells
from resgraph.draw.figure import Figure
from resgraph.draw.items import (
    LABEL,
    Item,
    Mark,
    Node,
    Text,
    Wire,
    shape_label,
    terminal,
    terminal_width,
)
from resgraph.draw.labels import label, sign
from resgraph.draw.layout import Layout, Link, layout, named, refuse_more
from resgraph.draw.look import Look, shown
from resgraph.draw.shortcut import shortcuts_of
from resgraph.draw.structure import END, Line, Structure
from resgraph.draw.text import width
from resgraph.draw.wires import PORT, Point, Size, Wiring, wire
from resgraph.graph import Instance


def draw_unit(
    instance: Instance,
    *,
    title: str | None = None,
    subtitle: str = "",
    marks: Mapping[str, Mark] = {},
    prefix: str = "",
    unfold: Collection[str] | None = None,
) -> Figure:
    """The unit from top to bottom, its inputs first and its outputs last; the title is its
    name.

    The line from x to `out` that changes least is the thick one; what on it is not the
    identity, as `prove` tells it, has another colour. Shapes stand where they change.
    Units that it uses are boxes, or those whose names `unfold` has are frames with what
    is in them (`("all",)`: every one); without it, those are that are small, used once
    and stand alone, and those with marks in them. `prefix` comes before every name in the
    SVG, for several drawings in one page. An instance may lack shapes, and its unit may
    read values that are not there: such lines are not drawn. Raises `SizeError` for more
    ops or lines than can be drawn.
    """
    look = Look(shown(instance, marks), prefix, unfold)
    with named(f"the unit '{instance.block.name}'"):
        refuse_more("nodes", _count(instance, look))
        drawing = _Drawing(Structure(instance, shortcuts_of(instance)), look)
        items, (left, right) = [*drawing.items()], drawing.sides
    name = instance.block.name if title is None else title
    return framed(items, (left, right, drawing.wiring.height), name, subtitle)


def _count(instance: Instance, look: Look) -> int:
    """How many nodes are drawn, the unfolded ones among them, at most one too many."""
    count, left = 0, [(instance, look)]
    while left:
        each, inside = left.pop()
        found = cells(each)
        count += len(found)
        refuse_more("nodes", count)
        left += [
            (cell.instances[0], inside.within(cell))
            for cell in inside.unfolded(found).values()
        ]
    return count


@dataclass(frozen=True)
class _Inner:
    """An unfolded unit: its frame and what is in it, from the frame's upper left corner on.

    Lines come in at its upper border, and leave it at the lower one, at these columns.
    """

    items: tuple[Item, ...]
    size: tuple[float, float]
    entries: tuple[float, ...]
    exits: tuple[float, ...]


@dataclass(frozen=True)
class _Drawing:
    """A unit with everything at its place; `nested`, as the inside of a frame."""

    what: Structure
    look: Look
    nested: bool = False

    @cached_property
    def inner(self) -> dict[str, _Inner]:
        """The unfolded units."""
        unfolded = self.look.unfolded(self.what.cells.values())
        return {name: self._inner(cell) for name, cell in unfolded.items()}

    def _inner(self, cell: Cell) -> _Inner:
        ways = tuple(way.into(cell.prefix) for way in self.what.shortcuts)
        inside = Structure(cell.instances[0], ways)
        data, mark = self.look.data(cell.name), self.look.named(cell.name)
        drawing = _Drawing(inside, self.look.within(cell), nested=True)
        return drawing.in_frame(cell, data, mark)

    # --- sizes ------------------------------------------------------------------------------

    @cached_property
    def sizes(self) -> dict[str, Size]:
        """Of each box, and of what comes in and goes out."""
        return {
            **{name: self._input_size(name) for name in self.what.inputs},
            **{name: self._size(cell) for name, cell in self.what.cells.items()},
            **{name: self._output_size(name) for name in self.what.ends},
        }

    def _input_size(self, name: str) -> Size:
        if self.nested:
            return Size(2, TITLE + NAMES * (len(self.what.inputs) > 1))
        return Size(terminal_width(name) - 2, 16, 16.0 * (name in self.what.labels))

    def _output_size(self, name: str) -> Size:
        if self.nested:
            return Size(2, FOOT)
        return Size(terminal_width(_word(name)) - 2, 16)

    def _size(self, cell: Cell) -> Size:
        below = 16.0 * any(self._label(cell, value) for value in cell.gives)
        if cell.name in self.inner:
            return Size(*self.inner[cell.name].size, below)
        if cell.node is None:
            across, height = folded_size(cell)
            return Size(max(across, self._spread(cell)), height, below)
        if sign(cell.node.op):
            many = max(0, len(self._reads(cell)) - 4)
            return Size(DISC + PORT * many, DISC, below, round=True)
        return Size(max(LEAST, round(self.widest) + 24), HEIGHT, below)

    def _reads(self, cell: Cell) -> list[Line]:
        return self.ending.get(cell.name, [])

    @cached_property
    def ending(self) -> dict[str, list[Line]]:
        """The lines by what they end at."""
        ending: dict[str, list[Line]] = {}
        for line in self.what.lines:
            ending.setdefault(line.end, []).append(line)
        return ending

    @cached_property
    def widest(self) -> float:
        """Pixels of the longest label in an op's box."""
        ops = [cell.node.op for cell in self.what.cells.values() if cell.node]
        return max((width(label(op), SIZE) for op in ops if not sign(op)), default=0)

    def _label(self, cell: Cell, value: str) -> str:
        """What stands below the cell of a value: its shape, and of several which it is."""
        told = self.what.labels.get(value, "")
        if self.nested and value in self.what.outputs.values():
            return ""  # it stands below the frame
        if len(cell.gives) == 1:
            return told
        return f"{value.removeprefix(cell.name + '.')} {told}".rstrip()

    # --- ports ------------------------------------------------------------------------------

    def _pitch(self, cell: Cell) -> float:
        """Pixels between the lines that leave a folded cell."""
        return max(width(self._label(cell, v), LABEL) for v in cell.gives) + 24

    def _spread(self, cell: Cell) -> float:
        return (len(cell.gives) - 1) * self._pitch(cell) + 40

    def _leaves(self, start: str, number: int) -> int:
        """How far aside of its start's centre the value of that number leaves it."""
        cell = self.what.cells.get(start)
        if start in self.inner:
            inner = self.inner[start]
            return round(inner.exits[number] - inner.size[0] / 2)
        if cell is None or len(cell.gives) == 1:
            return 0
        return round((number - (len(cell.gives) - 1) / 2) * self._pitch(cell))

    def _enters(self, line: Line) -> int | None:
        if line.end not in self.inner:
            return None
        inner = self.inner[line.end]
        if line.read >= len(inner.entries):
            return None
        return round(inner.entries[line.read] - inner.size[0] / 2)

    @cached_property
    def room(self) -> dict[str, float]:
        """Pixels that a node takes in its row, with the shapes below it."""
        room = {name: size.width for name, size in self.sizes.items()}
        for name in self.what.inputs:
            said = "" if self.nested else self.what.labels.get(name, "")
            if self.nested and len(self.what.inputs) > 1:
                said = name
            room[name] = max(room[name], self._beside(said, 0))
        for name, cell in self.what.cells.items():
            for number, value in enumerate(cell.gives):
                said, aside = self._label(cell, value), self._leaves(name, number)
                room[name] = max(room[name], self._beside(said, aside))
        for name, value in self.what.outputs.items():
            if self.nested and len(self.what.outputs) > 1:  # below the frame
                said = f"{_word(name)} {self.what.labels.get(value, '')}"
                room[name] = max(room[name], self._beside(said, 0))
        return room

    @staticmethod
    def _beside(said: str, aside: int) -> float:
        return 2 * (aside + width(said, LABEL)) + 20

    # --- places -----------------------------------------------------------------------------

    @cached_property
    def links(self) -> list[Link]:
        """Each line; those of the shortcut and within a path are straighter than others."""
        return [
            Link(
                line.start,
                line.end,
                self._weight((line.start, line.end)),
                line.value,
                self._leaves(line.start, line.given),
                self._enters(line),
            )
            for line in self.what.lines
        ]

    def _weight(self, step: tuple[str, str]) -> int:
        return (
            200 if step in self.what.route else 20 if step in self.what.chained else 1
        )

    @cached_property
    def plan(self) -> Layout:
        """With the shortcut on the left, as in the paper; several inputs as they are named."""
        plan = self._layout(self.links)
        if len(self.what.inputs) > 1 or not self._is_reversed(plan):
            return plan
        if any(link.leaves or link.enters for link in self.links):
            plan = self._layout([link.mirrored() for link in self.links])
            ways = [replace(way, link=way.link.mirrored()) for way in plan.ways]
            plan = replace(plan, ways=ways)
        return plan.mirrored()

    def _layout(self, links: list[Link]) -> Layout:
        outputs = self.what.outputs
        last = outputs if self.nested or len(outputs) > 1 else ()
        return layout(self.room, links, self.what.inputs, last)

    def _is_reversed(self, plan: Layout) -> bool:
        route = {name for step in self.what.route for name in step}
        others = [c for name, c in plan.columns.items() if name not in route]
        start = next((n for n in self.what.inputs if n in route), self.what.inputs[0])
        return bool(others) and sum(others) / len(others) < plan.columns[start]

    @cached_property
    def wiring(self) -> Wiring:
        return wire(self.plan, self.sizes)

    @property
    def sides(self) -> tuple[float, float]:
        """The left and the right end of everything."""
        columns, room = self.plan.columns, self.room
        lanes = [(c, c) for way in self.plan.ways for c in way.columns]
        nodes = [(columns[n] - w / 2, columns[n] + w / 2) for n, w in room.items()]
        both = nodes + lanes
        return min(left for left, _ in both), max(right for _, right in both)

    # --- what is drawn ----------------------------------------------------------------------

    def items(self) -> Iterator[Item]:
        """Frames, lines, the shortcut above others, boxes."""
        inner = [item for name in self.inner for item in self._placed(name)]
        yield from (item for item in inner if not isinstance(item, Node))
        yield from sorted(self._wires(), key=lambda wire: wire.kind == "shortcut")
        yield from self._nodes()
        yield from (item for item in inner if isinstance(item, Node))

    def _placed(self, name: str) -> Iterator[Item]:
        """What is in a frame, and the frame."""
        inner, (x, y) = self.inner[name], self.wiring.centres[name]
        left, top = x - inner.size[0] / 2, y - inner.size[1] / 2
        yield from (item.moved(left, top) for item in inner.items)

    def _nodes(self) -> Iterator[Item]:
        for name, at in self.wiring.centres.items():
            if name in self.what.cells and name not in self.inner:
                yield self._node(self.what.cells[name], at)
            elif name not in self.what.cells and not self.nested:
                word = _word(name)
                mark = self.look.named(word)
                yield terminal(word, *at, self.look.data(""), mark)
            elif name in self.what.inputs:
                yield from self._named(name, at)

    def _node(self, cell: Cell, at: Point) -> Node:
        size, name = self.sizes[cell.name], self.look.inside + cell.name
        form, data = (size.width, size.height), self.look.data(cell.name)
        broken, mark = self.what.breaks(cell), self.look.mark(cell)
        if cell.node is None:
            return folded_node(cell, name, at, form, data, broken=broken, mark=mark)
        return op_node(name, cell.node.op, at, form, data, broken=broken, mark=mark)

    def _named(self, name: str, at: Point) -> Iterator[Text]:
        """The name of an input of a frame that has several."""
        if len(self.what.inputs) > 1:
            y, own = at[1] + TITLE / 2, self.look.inside + name
            yield Text("port", own, name, at[0] + 7, y, LABEL, "muted", anchor="start")

    def _wires(self) -> Iterator[Wire]:
        """Each line, and beside the first one that leaves a value, the value's shape."""
        route, told = {*self.what.route}, set[str]()
        for link, points in self.wiring.lines:
            said = "" if link.source in told else self._said(link)
            told.add(link.source)
            label = shape_label(link.source, said, points[0]) if said else None
            step = (link.start, link.end)
            thick = step in route  # once, of an op that reads it twice
            route.discard(step)
            name = f"{link.source}>{_word(link.end)}"
            yield Wire(
                "shortcut" if thick else "plain",
                name,
                self._prolonged(link, points),
                self.look.data(name),
                broken=thick and self._is_broken(link.end),
                label=label,
                headless=link.enters is not None
                or (self.nested and link.end in self.what.outputs),
            )

    def _is_broken(self, end: str) -> bool:
        cell = self.what.cells.get(end)
        return bool(cell and end not in self.inner and self.what.breaks(cell))

    def _said(self, link: Link) -> str:
        cell = self.what.cells.get(link.start)
        if cell is not None:
            return self._label(cell, link.source)
        return "" if self.nested else self.what.labels.get(link.source, "")

    def _prolonged(self, link: Link, points: tuple[Point, ...]) -> tuple[Point, ...]:
        """Up to the borders of the frame."""
        if self.nested and link.start in self.what.inputs:
            (x, y), *rest = points
            points = ((x, y - self.sizes[link.start].height), *rest)
        if self.nested and link.end in self.what.outputs:
            *rest, (x, y) = points
            points = (*rest, (x, y + self.sizes[link.end].height))
        return points

    def in_frame(self, cell: Cell, data: str, mark: Mark | None) -> _Inner:
        """The drawing with a frame around it."""
        left, right = self.sides
        left, columns = left - ASIDE, self.plan.columns
        entries = [columns[name] - left for name in self.what.inputs]
        exits = [columns[name] - left for name in self.what.outputs]
        name = self.look.inside.removesuffix(".")
        texts = frame_texts(cell, name, entries)
        across = max(right + ASIDE - left, *(t.x + t.width + 10 for t in texts))
        size = (2.0 * round(across / 2 + 0.5), self.wiring.height)
        items = [item.moved(-left, 0) for item in self.items()]
        ground = frame(cell, texts, *size, data, mark)
        return _Inner((ground, *items), size, tuple(entries), tuple(exits))


def _word(name: str) -> str:
    """What an input or an output is called."""
    return name.removeprefix(END)
