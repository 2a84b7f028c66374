"""A network as its parts: the stem, the stages with their runs of equal units, the head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from resgraph.draw.caption import CAPTION, captioned
from resgraph.draw.figure import Figure
from resgraph.draw.items import MARGIN, Frame, Item, Mark, Node, Text, Wire
from resgraph.draw.layout import Link, layout
from resgraph.draw.text import width, wrap
from resgraph.draw.wires import Size, Wiring, wire
from resgraph.expr import show
from resgraph.graph import Graph, Instance, Run, Slot, Unit
from resgraph.ops import Shape

WIDE, ASIDE = 230.0, 72.0
"""Pixels of a box, and of a stage's number beside it."""
LABEL = 10.5
START, END = "\0in", "\0out"  # no part is called so


@dataclass(frozen=True)
class Part:
    """A box: its name, its lines of text, how often it is there, its output's shape."""

    name: str
    title: str
    lines: Sequence[str]
    count: int = 1
    output: Shape | None = None
    stage: int = 0


def draw_network(
    graph: Graph, *, marks: Mapping[str, Mark] = {}, prefix: str = ""
) -> Figure:
    """The network from top to bottom; units that are alike are one box with their number.

    Shapes stand below the parts that change them. A unit's name in the SVG is that of
    the first of its run in the state_dict, such as `stage1.0`.
    """
    parts = [*_parts(graph)]
    names = [START, *(part.name for part in parts), END]
    sizes = {START: Size(40, 16, 16), END: Size(40, 16)}
    sizes |= {p.name: Size(WIDE, 14 + 17 * (1 + len(p.lines)), 16) for p in parts}
    sizes = {name: sizes[name] for name in names}
    plan = layout(
        {name: size.width for name, size in sizes.items()},
        [Link(a, b) for a, b in pairwise(names)],
    )
    wiring = wire(plan, sizes)
    across = max(ASIDE + WIDE + 12, CAPTION)
    caption, top = captioned(graph.name, graph.title, across)
    items: list[Item] = [
        *_frames(parts, sizes, wiring),
        *_wires(graph, parts, wiring, prefix),
        *_nodes(parts, sizes, wiring, marks, prefix),
    ]
    left = wiring.centres[START][0] - WIDE / 2 - ASIDE
    moved = [item.moved(MARGIN - left, MARGIN + top) for item in items]
    return Figure(
        across + 2 * MARGIN,
        wiring.height + top + 2 * MARGIN,
        (*caption, *moved),
        f"{graph.name}: {graph.title}",
        MARGIN + top,
    )


def _parts(graph: Graph) -> Iterator[Part]:
    if graph.stem.paths:
        yield _end("stem", graph.stem, graph.stem_run)
    for number, slots in enumerate(graph.stages, 1):
        index = 0
        runs = graph.runs[number - 1] if graph.runs else [*map(_untyped, slots)]
        for run in runs:
            args = [*_lines([f"{k} {show(v)}" for k, v in run.slot.args.items()])]
            output = run.instances[-1].output if graph.runs else None
            name = f"stage{number}.{index}"
            yield Part(name, run.slot.unit, args, run.count, output, number)
            index += run.count
    if graph.head.paths:
        yield _end("head", graph.head, graph.head_run)


def _untyped(slot: Slot) -> Run:
    """A slot whose shapes are not known."""
    return Run(slot, (), slot.repeat)


def _end(name: str, unit: Unit, run: Instance | None) -> Part:
    labels = [node.op.symbol or node.op.label() for _, node, _ in unit.steps()]
    return Part(name, name, [*_lines(labels)], output=run.output if run else None)


def _lines(words: Sequence[str]) -> list[str]:
    return wrap(" \N{MIDDLE DOT} ".join(words), 11, WIDE - 20, 3)


def _nodes(
    parts: Sequence[Part],
    sizes: Mapping[str, Size],
    wiring: Wiring,
    marks: Mapping[str, Mark],
    prefix: str,
) -> Iterator[Node]:
    for name, word in ((START, "input"), (END, "output")):
        x, y = wiring.centres[name]
        text = Text("text", word, word, x, y, width(word, 13), 13, italic=True)
        size = sizes[name].width, sizes[name].height
        yield Node("end", word, (text,), x, y, *size, prefix + word, tags="terminal")
    for part in parts:
        (x, y), size = wiring.centres[part.name], sizes[part.name]
        times = f" \N{MULTIPLICATION SIGN} {part.count}" if part.count > 1 else ""
        said, line = part.title + times, y - size.height / 2 + 16
        wide = width(said, 13, bold=True)
        texts = [Text("text", part.name, said, x, line, wide, 13, bold=True)]
        for words in part.lines:
            line += 17
            wide = width(words, 11)
            texts.append(Text("text", part.name, words, x, line, wide, 11, "muted"))
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
    graph: Graph, parts: Sequence[Part], wiring: Wiring, prefix: str
) -> Iterator[Wire]:
    shapes = {START: graph.input} | {p.name: p.output for p in parts}
    words = {START: "input", END: "output"}
    for link, points in wiring.lines:
        shape, label = shapes[link.start], None
        if shape is not None:
            (x, y), said = points[0], str([*shape])
            where = (x + 6, y + LABEL * 0.8, width(said, LABEL), LABEL, "muted")
            label = Text("shape", link.start, said, *where, anchor="start")
        edge = ">".join(words.get(end, end) for end in (link.start, link.end))
        yield Wire("plain", edge, points, prefix + edge, label=label)


def _frames(
    parts: Sequence[Part], sizes: Mapping[str, Size], wiring: Wiring
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
        where = (left + ASIDE / 2, (top + bottom) / 2, width(said, 12))
        text = Text("stage", said, said, *where, 12, "muted")
        yield Frame(left, top, ASIDE + WIDE + 12, bottom - top, text)
