"""What drawings consist of: boxes, lines and texts at their places, each as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from resgraph.draw.text import attribute, content, number, width
from resgraph.draw.theme import Paint
from resgraph.draw.wires import Point

LABEL = 10.5
"""Pixels of a shape's letters."""


@dataclass(frozen=True)
class Box:
    """What takes room: a node, a label. x and y are of its upper left corner, in pixels."""

    kind: str
    name: str
    text: str
    x: float
    y: float
    width: float
    height: float


class Item(Protocol):
    """A part of a drawing."""

    def moved(self, dx: float, dy: float) -> Self: ...

    def boxes(self) -> Iterator[Box]: ...

    def svg(self, paint: Paint) -> Iterator[str]: ...


@dataclass(frozen=True)
class Text:
    """A line of text: y is the middle of its height, x its middle or its start."""

    kind: str
    name: str
    text: str
    x: float
    y: float
    size: float
    colour: str = "text"
    bold: bool = False
    anchor: str = "middle"
    italic: bool = False

    @property
    def width(self) -> float:
        return width(self.text, self.size, self.bold)

    def moved(self, dx: float, dy: float) -> Self:
        return replace(self, x=self.x + dx, y=self.y + dy)

    def boxes(self) -> Iterator[Box]:
        left = self.x - (self.width / 2 if self.anchor == "middle" else 0)
        top = self.y - self.size * 0.6
        name, text = self.name, self.text
        yield Box(self.kind, name, text, left, top, self.width, self.size * 1.2)

    def svg(self, paint: Paint) -> Iterator[str]:
        weight = ' font-weight="bold"' if self.bold else ""
        weight += ' font-style="italic"' if self.italic else ""
        anchor = "" if self.anchor == "middle" else f' text-anchor="{self.anchor}"'
        yield (
            f'<text class="{self.kind}" x="{number(self.x)}" '
            f'y="{number(self.y + self.size * 0.36)}" font-size="{number(self.size)}" '
            f'fill="{paint(self.colour)}"{weight}{anchor}>{content(self.text)}</text>'
        )


@dataclass(frozen=True)
class Mark:
    """What is to be said of a node: added, removed, moved, changed, or a finding."""

    kind: str
    note: str = ""


BADGES = {
    "added": "+",
    "removed": "\N{MINUS SIGN}",
    "moved": "\N{UP DOWN ARROW}",
    "changed": "~",
    "finding": "!",
}


@dataclass(frozen=True)
class Node:
    """An op, or a run of units: its form says in grey what its colour says.

    x and y are its centre's; `data` is its name for programs that read the SVG.
    """

    kind: str
    name: str
    texts: tuple[Text, ...]
    x: float
    y: float
    width: float
    height: float
    data: str
    broken: bool = False
    mark: Mark | None = None
    note: str = ""
    tags: str = "op"
    copies: bool = False
    """Drawn with others behind it."""

    def moved(self, dx: float, dy: float) -> Self:
        texts = tuple(text.moved(dx, dy) for text in self.texts)
        return replace(self, x=self.x + dx, y=self.y + dy, texts=texts)

    def boxes(self) -> Iterator[Box]:
        left, top = self.x - self.width / 2, self.y - self.height / 2
        text = " ".join(line.text for line in self.texts)
        yield Box(self.kind, self.name, text, left, top, self.width, self.height)

    def svg(self, paint: Paint) -> Iterator[str]:
        tags = [self.tags, self.kind]
        tags += ["broken"] if self.broken else []
        tags += [f"mark-{self.mark.kind}"] if self.mark else []
        yield f'<g class="{" ".join(tags)}" data-node={attribute(self.data)}>'
        yield from _title(self.note, self.mark)
        yield from self._form(paint)
        for text in self.texts:
            yield from text.svg(paint)
        if self.mark:
            yield from self._badge(self.mark, paint)
        yield "</g>"

    def _form(self, paint: Paint) -> Iterator[str]:
        if self.tags == "terminal":
            return
        edge = paint("broken" if self.broken else self.kind)
        line = 2.4 if self.broken else 1.8 if self.kind == "weight" else 1.2
        style = (
            f'fill="{paint(self.kind + "-fill")}" stroke="{edge}" stroke-width="{line}"'
        )
        half = self.height / 2
        if self.kind == "merge" and self.width == self.height:
            x, y = number(self.x), number(self.y)
            yield f'<circle cx="{x}" cy="{y}" r="{number(half)}" {style}/>'
            return
        rounded = {"weight": 0.0, "norm": 5.0, "act": half, "merge": half}
        style += f' rx="{number(rounded.get(self.kind, 3.0))}"'
        style += ' stroke-dasharray="4 3"' if self.kind == "other" else ""
        for shift in (6, 3, 0) if self.copies else (0,):
            place = replace(self, x=self.x + shift, y=self.y - shift)._place()
            yield f"<rect {place} {style}/>"

    def _place(self, grow: float = 0.0) -> str:
        left, top = self.x - self.width / 2 - grow, self.y - self.height / 2 - grow
        return (
            f'x="{number(left)}" y="{number(top)}" width="{number(self.width + 2 * grow)}" '
            f'height="{number(self.height + 2 * grow)}"'
        )

    def _badge(self, mark: Mark, paint: Paint) -> Iterator[str]:
        """A ring around it, and a disc with a sign at its upper right corner."""
        colour = paint(mark.kind)
        yield (
            f'<rect class="ring" {self._place(3.5)} rx="6" fill="none" stroke="{colour}" '
            'stroke-width="2" stroke-dasharray="6 2"/>'
        )
        x, y = self.x + self.width / 2 + 2, self.y - self.height / 2 - 2
        yield f'<circle class="badge" cx="{number(x)}" cy="{number(y)}" r="7.5" fill="{colour}"/>'
        sign = BADGES[mark.kind]
        yield from Text("sign", "", sign, x, y, 11, "badge-text", bold=True).svg(paint)


def _title(note: str, mark: Mark | None) -> Iterator[str]:
    """What is shown under the pointer."""
    notes = [note, mark.note if mark else ""]
    if said := " \N{EM DASH} ".join(note for note in notes if note):
        yield f"<title>{content(said)}</title>"


@dataclass(frozen=True)
class Wire:
    """A line along `points` with an arrow's head at its end, and its value's shape."""

    kind: str
    name: str
    points: tuple[Point, ...]
    data: str
    broken: bool = False
    label: Text | None = None
    headless: bool = False
    """It goes on, across the border of a frame."""

    def moved(self, dx: float, dy: float) -> Self:
        points = tuple((x + dx, y + dy) for x, y in self.points)
        label = self.label and self.label.moved(dx, dy)
        return replace(self, points=points, label=label)

    def boxes(self) -> Iterator[Box]:
        if self.label:
            yield from self.label.boxes()

    def svg(self, paint: Paint) -> Iterator[str]:
        thick = self.kind == "shortcut"
        colour = paint("broken" if self.broken else "shortcut" if thick else "line")
        head, line = (11.0, 5.0) if thick else (6.5, 1.4)
        tags = f"edge {self.kind}{' broken' * self.broken}"
        points = self.points if self.headless else _shortened(self.points, head)
        yield f'<g class="{tags}" data-edge={attribute(self.data)}>'
        yield (
            f'<path d="{_rounded(points)}" fill="none" '
            f'stroke="{colour}" stroke-width="{number(line)}"/>'
        )
        if not self.headless:
            yield f'<path d="{_head(self.points, head)}" fill="{colour}"/>'
        if self.label:
            yield from self.label.svg(paint)
        yield "</g>"


def _unit(a: Point, b: Point) -> Point:
    """The direction from a to b, which lie on one row or in one column."""
    return (b[0] > a[0]) - (b[0] < a[0]), (b[1] > a[1]) - (b[1] < a[1])


def _shortened(points: Sequence[Point], by: float) -> list[Point]:
    """Without the end that the head covers."""
    (dx, dy), (x, y) = _unit(points[-2], points[-1]), points[-1]
    return [*points[:-1], (x - dx * (by - 1), y - dy * (by - 1))]


def _rounded(points: Sequence[Point], radius: float = 6.0) -> str:
    """A path along the points, its corners rounded."""
    start, *middle = points
    end = middle.pop()
    path = [f"M{_at(start)}"]
    for i, corner in enumerate(middle):
        before, after = points[i], points[i + 2]
        into, out = _unit(before, corner), _unit(corner, after)
        r = min(radius, _length(before, corner) / 2, _length(corner, after) / 2)
        path.append(f"L{_at((corner[0] - into[0] * r, corner[1] - into[1] * r))}")
        path.append(
            f"Q{_at(corner)} {_at((corner[0] + out[0] * r, corner[1] + out[1] * r))}"
        )
    return " ".join([*path, f"L{_at(end)}"])


def _head(points: Sequence[Point], size: float) -> str:
    (dx, dy), (x, y) = _unit(points[-2], points[-1]), points[-1]
    half = size * 0.5
    back = (x - dx * size, y - dy * size)
    left = (back[0] - dy * half, back[1] + dx * half)
    right = (back[0] + dy * half, back[1] - dx * half)
    return f"M{_at((x, y))} L{_at(left)} L{_at(right)} Z"


def _length(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _at(point: Point) -> str:
    return f"{number(point[0])},{number(point[1])}"


@dataclass(frozen=True)
class Frame:
    """Ground behind nodes that belong together, with its name. x, y: upper left corner.

    With `data` it is an unfolded unit, which programs find by that name, and has a border.
    """

    x: float
    y: float
    width: float
    height: float
    labels: tuple[Text, ...]
    data: str = ""
    note: str = ""
    copies: bool = False
    mark: Mark | None = None

    def moved(self, dx: float, dy: float) -> Self:
        labels = tuple(label.moved(dx, dy) for label in self.labels)
        return replace(self, x=self.x + dx, y=self.y + dy, labels=labels)

    def boxes(self) -> Iterator[Box]:
        for label in self.labels:
            yield from label.boxes()

    def svg(self, paint: Paint) -> Iterator[str]:
        yield from self._ground(paint) if self.data else [self._rect(paint)]
        for label in self.labels:
            yield from label.svg(paint)
        yield from ["</g>"] if self.data else []

    def _ground(self, paint: Paint) -> Iterator[str]:
        tags = ["frame", *([f"mark-{self.mark.kind}"] if self.mark else [])]
        yield f'<g class="{" ".join(tags)}" data-node={attribute(self.data)}>'
        yield from _title(self.note, self.mark)
        colour = paint(self.mark.kind if self.mark else "line")
        edge = f' stroke="{colour}" stroke-width="{2 if self.mark else 1}"'
        for shift in (6, 3, 0) if self.copies else (0,):
            yield replace(self, x=self.x + shift, y=self.y - shift)._rect(paint, edge)

    def _rect(self, paint: Paint, edge: str = "") -> str:
        return (
            f'<rect class="frame" x="{number(self.x)}" y="{number(self.y)}" '
            f'width="{number(self.width)}" height="{number(self.height)}" rx="8" '
            f'fill="{paint("frame-fill")}"{edge}/>'
        )


def terminal(word: str, x: float, y: float, prefix: str, mark: Mark | None) -> Node:
    """What comes in or goes out: a word without a box."""
    text = Text("text", word, word, x, y, 13, italic=True)
    name, across = prefix + word, terminal_width(word)
    return Node(
        "end", word, (text,), x, y, across, 16, name, mark=mark, tags="terminal"
    )


def terminal_width(word: str) -> float:
    """Pixels of its place."""
    return max(36.0, 2.0 * round(width(word, 13) / 2) + 4)


def shape_label(value: str, shape: str, start: Point) -> Text:
    """A value's shape, beside the line that begins at `start` and goes down."""
    x, y = start
    return Text("shape", value, shape, x + 7, y + 8, LABEL, "muted", anchor="start")
