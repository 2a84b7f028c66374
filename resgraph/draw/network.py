"""A network as its parts: the stem, the stages with their runs of equal units, the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from resgraph.draw.caption import framed
from resgraph.draw.choice import Place, places
from resgraph.draw.figure import Figure
from resgraph.draw.items import (
    Frame,
    Item,
    Mark,
    Node,
    Text,
    Wire,
    shape_label,
    terminal,
)
from resgraph.draw.layout import Link, layout, named
from resgraph.draw.text import wrap
from resgraph.draw.wires import Size, Wiring, wire
from resgraph.expr import show
from resgraph.graph import Graph

WIDE, ASIDE, EDGE = 230.0, 72.0, 12.0
"""Pixels of a box, of a stage's number beside it, and of the ground on its right."""
START, END = "\0in", "\0out"  # no part is called so
WORDS = {START: "input", END: "output"}


def draw_network(
    graph: Graph, *, marks: Mapping[str, Mark] = {}, prefix: str = ""
) -> Figure:
    """The network from top to bottom; units that are alike are one box with their number.

    Shapes stand below the parts that change them. A unit's name in the SVG is that of
    the first of its run in the state_dict, such as `stage1.0`.
    """
    parts = [p for p in places(graph) if p.stage or (p.count and p.unit.paths)]
    names = [START, *(part.name for part in parts), END]
    heights = {p.name: 14 + 17 * (1 + len(_lines(p))) for p in parts}
    sizes = {name: Size(WIDE, heights.get(name, 16), 16) for name in names}
    with named(f"the network '{graph.name}'"):
        plan = layout(
            {name: size.width for name, size in sizes.items()},
            [Link(a, b) for a, b in pairwise(names)],
        )
    wiring = wire(plan, sizes)
    items: list[Item] = [
        *_frames(parts, sizes, wiring),
        *_nodes(parts, sizes, wiring, marks, prefix),
        *_wires(graph, parts, wiring, prefix),
    ]
    middle = plan.columns[START]
    left, right = middle - WIDE / 2 - ASIDE, middle + WIDE / 2 + EDGE
    return framed(items, (left, right, wiring.height), graph.name, graph.title)


def _lines(place: Place) -> list[str]:
    """What is in the box below its name: a unit's arguments, the ops of stem and head."""
    words = [f"{name} {show(value)}" for name, value in place.instances[0].args.items()]
    if not place.stage:
        steps = place.unit.steps()
        words = [node.op.symbol or node.op.label() for _, node, _ in steps]
    return wrap(" \N{MIDDLE DOT} ".join(words), 11, WIDE - 20, 3)


def _nodes(
    parts: Sequence[Place],
    sizes: Mapping[str, Size],
    wiring: Wiring,
    marks: Mapping[str, Mark],
    prefix: str,
) -> Iterator[Node]:
    for name, word in WORDS.items():
        yield terminal(word, *wiring.centres[name], prefix, marks.get(word))
    for part in parts:
        (x, y), size = wiring.centres[part.name], sizes[part.name]
        times = f" \N{MULTIPLICATION SIGN} {part.count}" if part.count > 1 else ""
        said, line = part.unit.name + times, y - size.height / 2 + 16
        texts = [Text("text", part.name, said, x, line, 13, bold=True)]
        for words in _lines(part):
            line += 17
            texts.append(Text("text", part.name, words, x, line, 11, "muted"))
        yield Node(
            "run",
            part.name,
            tuple(texts),
            x,
            y,
            size.width,
            size.height,
            prefix + part.name,
            mark=marks.get(part.name),
            tags="part",
            copies=part.count > 1,
        )


def _wires(
    graph: Graph, parts: Sequence[Place], wiring: Wiring, prefix: str
) -> Iterator[Wire]:
    shapes = {START: graph.input} | {p.name: p.output for p in parts}
    for link, points in wiring.lines:
        shape, start = shapes[link.start], WORDS.get(link.start, link.start)
        label = shape_label(start, str([*shape]), points[0]) if shape else None
        edge = f"{start}>{WORDS.get(link.end, link.end)}"
        yield Wire("plain", edge, points, prefix + edge, label=label)


def _frames(
    parts: Sequence[Place], sizes: Mapping[str, Size], wiring: Wiring
) -> Iterator[Frame]:
    """A frame around each stage, its number on the left."""
    for stage in sorted({part.stage for part in parts} - {0}):
        names = [part.name for part in parts if part.stage == stage]
        x, first = wiring.centres[names[0]]
        last = wiring.centres[names[-1]][1]
        top = first - sizes[names[0]].height / 2 - 9
        bottom = last + sizes[names[-1]].height / 2 + 9
        left = x - WIDE / 2 - ASIDE
        said = f"stage {stage}"
        where = (left + ASIDE / 2, (top + bottom) / 2)
        text = Text("stage", said, said, *where, 12, "muted")
        yield Frame(left, top, ASIDE + WIDE + EDGE, bottom - top, text)
