"""A network as its parts: the stem, the stages with their runs of equal units, the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from resgraph.draw.boxes import arguments, called, said_of
from resgraph.draw.caption import framed
from resgraph.draw.cells import Cell, cells, results
from resgraph.draw.figure import Figure
from resgraph.draw.items import (
    LABEL,
    Frame,
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
from resgraph.draw.structure import END
from resgraph.draw.text import width, wrap
from resgraph.draw.wires import GAP, Point, Size, Wiring, wire
from resgraph.graph import OUTPUT, Graph

WIDE, ASIDE, EDGE = 230.0, 72.0, 12.0
"""Pixels of a box, of a stage's name beside it, and of the ground on its right; of the first
two at least."""
LONGEST = 240.0
"""Pixels of a stage's name that is not broken."""
BELOW = 16.0
"""Pixels for a shape below a box."""
START = "\0in "  # no part is called so


def draw_network(
    graph: Graph, *, marks: Mapping[str, Mark] = {}, prefix: str = ""
) -> Figure:
    """The network from top to bottom; units that are alike are one box with their number.

    Shapes stand below what makes them; lines between stages that do not follow one another
    run beside those in between. A unit's name in the SVG is that of the first of its run
    in the state_dict, such as `stage1.0`. Raises `SizeError` for more than can be drawn.
    """
    drawing = _Drawing(graph, marks, prefix)
    with named(f"the network '{graph.name}'"):
        refuse_more("nodes", len(drawing.cells))
        items = [*drawing.items()]
    extent = (*drawing.sides, drawing.wiring.height)
    return framed(items, extent, graph.name, graph.title)


@dataclass(frozen=True)
class _Stack:
    """What of a row stands below one another: the units of a stage, the stem, the head."""

    name: str
    cells: tuple[Cell, ...]
    read: frozenset[str]
    """The values of the network that something reads."""

    @property
    def last(self) -> Cell:
        return self.cells[-1]

    @cached_property
    def leaving(self) -> list[int]:
        """The numbers of the values that leave it; of several those that are read."""
        gives = self.last.gives
        read = [i for i, value in enumerate(gives) if value in self.read]
        return read or [*range(len(gives))]

    def lines(self, cell: Cell) -> list[str]:
        """What is in a box below its name; below the last one's, what nothing reads."""
        if cell is not self.last:
            return _lines(cell)
        unread = (i for i, _ in enumerate(cell.gives) if i not in self.leaving)
        return [*_lines(cell), *(f"{_told(cell, i)}, unread" for i in unread)]

    def high(self, cell: Cell) -> float:
        """Pixels of a box."""
        return 14.0 + 17 * (1 + len(self.lines(cell)))

    @cached_property
    def height(self) -> float:
        return sum(map(self.high, self.cells)) + (len(self.cells) - 1) * (BELOW + GAP)

    def centres(self, centre: Point) -> Iterator[Point]:
        """That of each box."""
        x, y = centre[0], centre[1] - self.height / 2
        for cell in self.cells:
            yield x, y + self.high(cell) / 2
            y += self.high(cell) + BELOW + GAP

    @property
    def pitch(self) -> float:
        """Pixels between the lines that leave it."""
        return max(width(_told(self.last, i), LABEL) for i in self.leaving) + 24

    @cached_property
    def wide(self) -> float:
        titles = (width(called(cell), 13, bold=True) for cell in self.cells)
        lines = (width(line, 11) for cell in self.cells for line in self.lines(cell))
        texts = max([*titles, *lines]) + 20
        return max(WIDE, texts, (len(self.leaving) - 1) * self.pitch + 40)

    @cached_property
    def reach(self) -> float:
        """Pixels from its centre to the end of the shapes on the right of its lines."""
        ends = [
            self.leaves(i) + width(_told(self.last, i), LABEL) for i in self.leaving
        ]
        return max([*ends, *(width(_all_told(c), LABEL) for c in self.cells[:-1])]) + 7

    def leaves(self, number: int) -> int:
        """How far aside of its centre the value of that number leaves it."""
        several = len(self.leaving)
        place = self.leaving.index(number)
        return round((place - (several - 1) / 2) * self.pitch) if several > 1 else 0


@dataclass(frozen=True)
class _Drawing:
    """A network with everything at its place."""

    graph: Graph
    marks: Mapping[str, Mark]
    prefix: str

    @cached_property
    def stacks(self) -> dict[str, _Stack]:
        """By row; not a stem that has no ops."""
        found: dict[str, list[Cell]] = {}
        own = cells(self.graph.network)
        read = {value for cell in own for value in cell.reads}
        read |= {*self.results.values()}
        for cell in own:
            if cell.row is not None and not _is_empty(cell):
                found.setdefault(cell.row.name, []).append(cell)
        return {
            name: _Stack(name, tuple(row), frozenset(read))
            for name, row in found.items()
        }

    @cached_property
    def cells(self) -> list[Cell]:
        return [cell for stack in self.stacks.values() for cell in stack.cells]

    @cached_property
    def words(self) -> dict[str, str]:
        """What the network's inputs and outputs are called, by what they are in the lines."""
        inputs, outputs = self.graph.network.block.inputs, self.results
        several = len(inputs) > 1
        words = {START + name: name if several else "input" for name in inputs}
        alone = {*outputs} <= {OUTPUT}
        return words | {
            END + name: "output" if alone else name for name in outputs or [OUTPUT]
        }

    @cached_property
    def results(self) -> dict[str, str]:
        return results(self.graph.network)

    # --- lines ------------------------------------------------------------------------------

    @cached_property
    def makers(self) -> dict[str, tuple[str, int]]:
        """By value, what gives it, and its number there."""
        makers = {name: (START + name, 0) for name in self.graph.network.block.inputs}
        for cell in cells(self.graph.network):
            if _is_empty(cell):
                known = makers.get(cell.reads[0]) if cell.reads else None
                makers |= {cell.name: known} if known else {}
        for stack in self.stacks.values():
            for number, value in enumerate(stack.last.gives):
                makers.setdefault(value, (stack.name, number))
        return makers

    @cached_property
    def links(self) -> list[Link]:
        """Those between rows, and to the outputs."""
        found: list[Link] = []
        before = START + self.graph.network.block.inputs[0]
        for name, stack in self.stacks.items():
            found += self._into(name, stack.cells[0].reads, before)
            before = name
        for name, value in self.results.items():
            found += self._into(END + name, (value,), before)
        return found

    def _into(self, end: str, reads: tuple[str, ...], before: str) -> Iterator[Link]:
        """The lines of what is read; one from the row before it is straighter."""
        for value in reads:
            start, number = self.makers.get(value, ("", 0))
            stack = self.stacks.get(start)
            if start:
                weight = 200 if start == before else 8 if end.startswith(END) else 1
                leaves = stack.leaves(number) if stack else 0
                yield Link(start, end, weight, value, leaves)

    # --- places -----------------------------------------------------------------------------

    @cached_property
    def sizes(self) -> dict[str, Size]:
        """Of each stack, and of what comes in and goes out."""
        stacks = {s.name: Size(s.wide, s.height, BELOW) for s in self.stacks.values()}
        ends = {
            name: Size(terminal_width(word), 16, BELOW)
            for name, word in self.words.items()
        }
        starts = {name: size for name, size in ends.items() if name.startswith(START)}
        return {
            **starts,
            **stacks,
            **{n: s for n, s in ends.items() if n not in starts},
        }

    @cached_property
    def plan(self) -> Layout:
        """With the lines that run beside stages on the right, where no names stand."""
        room = {name: size.width for name, size in self.sizes.items()}
        for name, stack in self.stacks.items():
            room[name] = 2 * max(stack.wide / 2 + self.aside, stack.reach)
        starts = [name for name in room if name.startswith(START)]
        last = [name for name in room if name.startswith(END)] if self.several else []
        plan = layout(room, self.links, starts, last)
        beside = [c for way in plan.ways for c in way.columns[1:-1]]
        if not beside or sum(beside) / len(beside) >= plan.columns[starts[0]]:
            return plan
        return plan.mirrored()

    @cached_property
    def aside(self) -> float:
        """Pixels for the names of stages."""
        names = (row.title for row, _ in self.graph.stages)
        longest = max((width(n, 12) for n in names if not _is_numbered(n)), default=0)
        return max(ASIDE, min(longest, LONGEST) + 8)

    @property
    def several(self) -> bool:
        return len(self.results) > 1

    @cached_property
    def wiring(self) -> Wiring:
        return wire(self.plan, self.sizes)

    @property
    def sides(self) -> tuple[float, float]:
        """The left and the right end of everything."""
        columns = self.plan.columns
        lanes = [c for way in self.plan.ways for c in way.columns[1:-1]]
        halves = {name: size.width / 2 for name, size in self.sizes.items()}
        left = [
            columns[n] - halves[n] - self.aside * (n in self.stacks) for n in columns
        ]
        right = [columns[n] + halves[n] + EDGE * (n in self.stacks) for n in columns]
        return min(*left, *lanes, left[0]), max(
            *right, *(c + EDGE for c in lanes), right[0]
        )

    # --- what is drawn ----------------------------------------------------------------------

    def items(self) -> Iterator[Item]:
        """Frames, boxes, lines."""
        yield from self._frames()
        for name, word in self.words.items():
            yield terminal(
                word, *self.wiring.centres[name], self.prefix, self.marks.get(word)
            )
        for stack, cell, at in self._placed():
            yield self._node(stack, cell, at)
        yield from self._wires()

    def _placed(self) -> Iterator[tuple[_Stack, Cell, Point]]:
        for stack in self.stacks.values():
            centres = stack.centres(self.wiring.centres[stack.name])
            for cell, at in zip(stack.cells, centres, strict=True):
                yield stack, cell, at

    def _node(self, stack: _Stack, cell: Cell, at: Point) -> Node:
        x, line = at[0], at[1] - stack.high(cell) / 2 + 16
        texts = [Text("text", cell.name, called(cell), x, line, 13, bold=True)]
        for words in stack.lines(cell):
            line += 17
            texts.append(Text("text", cell.name, words, x, line, 11, "muted"))
        return Node(
            "run",
            cell.name,
            tuple(texts),
            *at,
            stack.wide,
            stack.high(cell),
            self.prefix + cell.name,
            mark=self.marks.get(cell.name),
            tags="part",
            copies=cell.count > 1,
        )

    def _wires(self) -> Iterator[Wire]:
        """By what they end at, in the network's order."""
        told = set[str]()
        for end in (*self.stacks, *self.words):
            for link, points in self.wiring.lines:
                if link.end == end:
                    yield self._wire(link, points, link.source not in told)
                    told.add(link.source)
            if end in self.stacks:
                yield from self._within(self.stacks[end])

    def _wire(self, link: Link, points: tuple[Point, ...], first: bool) -> Wire:
        label = self._said(link) if first else ""
        start = self.words.get(link.start) or link.source
        stack = self.stacks.get(link.end)
        end = stack.cells[0].name if stack else self.words[link.end]
        return self._line(start, end, points, label)

    def _said(self, link: Link) -> str:
        if link.start in self.stacks:
            return _told(self.stacks[link.start].last, self.makers[link.source][1])
        return str([*self.graph.input]) if self.graph.input else ""

    def _within(self, stack: _Stack) -> Iterator[Wire]:
        """The lines between the units of a stage."""
        centres = stack.centres(self.wiring.centres[stack.name])
        for (a, (x, y)), (b, (_, below)) in pairwise(
            zip(stack.cells, centres, strict=True)
        ):
            points = ((x, y + stack.high(a) / 2), (x, below - stack.high(b) / 2))
            yield self._line(a.name, b.name, points, _all_told(a))

    def _line(self, start: str, end: str, points: tuple[Point, ...], said: str) -> Wire:
        label = shape_label(start, said, points[0]) if said else None
        edge = f"{start}>{end}"
        return Wire("plain", edge, points, self.prefix + edge, label=label)

    def _frames(self) -> Iterator[Frame]:
        """A frame around each stage, its name on the left."""
        for row in self.graph.network.block.rows:
            stack = self.stacks.get(row.name)
            if stack is None or not stack.last.staged:
                continue
            x, y = self.wiring.centres[row.name]
            left, height = x - stack.wide / 2 - self.aside, stack.height + 18
            texts = _stacked(row.title, left, y, self.aside)
            across = self.aside + stack.wide + EDGE
            yield Frame(left, y - height / 2, across, height, tuple(texts))


def _is_numbered(said: str) -> bool:
    return said.startswith("stage ")


def _stacked(said: str, left: float, y: float, across: float) -> list[Text]:
    """A stage's name in the room beside it."""
    lines = [said] if _is_numbered(said) else wrap(said, 12, across - 8, 3)
    x = left + across / 2
    top = y - (len(lines) - 1) * 7.5
    return [
        Text("stage", said, line, x, top + 15 * i, 12, "muted")
        for i, line in enumerate(lines)
    ]


def _is_empty(cell: Cell) -> bool:
    """Whether it is a stem or a head without ops, which is what it reads."""
    return not cell.staged and cell.block is not None and not cell.block.nodes


def _lines(cell: Cell) -> list[str]:
    """What is in the box below its name: a unit's arguments, the ops of stem and head."""
    words = arguments(cell)
    if not cell.staged and cell.instance is not None:
        words = [
            sign(each.node.op) or label(each.node.op)
            if each.node
            else ", ".join([called(each), *arguments(each)])
            for each in cells(cell.instance)
        ]
    return said_of(words, 11, WIDE - 20)


def _told(cell: Cell, number: int) -> str:
    """The shape of one of its values, and of several which it is."""
    shape = cell.outputs[number] if number < len(cell.outputs) else None
    told = str([*shape]) if shape else ""
    if len(cell.gives) == 1:
        return told
    return f"{cell.gives[number].removeprefix(cell.name + '.')} {told}".rstrip()


def _all_told(cell: Cell) -> str:
    """The same of all its values."""
    return ", ".join(filter(None, (_told(cell, i) for i in range(len(cell.gives)))))
