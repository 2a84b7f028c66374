"""What the tests of drawings share: an SVG read back, and its geometry."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, pairwise
from xml.etree import ElementTree

from resgraph.draw import Box, Figure
from resgraph.draw.items import Frame

NS = "{http://www.w3.org/2000/svg}"
Segment = tuple[float, float, float, float]


def parsed(figure: Figure, theme: str = "light") -> ElementTree.Element:
    return ElementTree.fromstring(figure.svg(theme))


def groups(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    """The groups of a class: op, terminal, part, edge."""
    return [g for g in root.iter(f"{NS}g") if tag in g.get("class", "").split()]


def classes(group: ElementTree.Element) -> set[str]:
    return set(group.get("class", "").split())


def segments(edge: ElementTree.Element) -> list[Segment]:
    """The straight stretches of a line, its corners as if they were not rounded."""
    path = edge.find(f"{NS}path")
    assert path is not None
    points = [
        (float(x), float(y))
        for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path.attrib["d"])
    ]
    return [(*a, *b) for a, b in pairwise(points) if a != b]


def check_geometry(figure: Figure) -> None:
    """Nothing overlaps, nothing is outside, no line runs through a box that it is not at."""
    for box in figure.boxes:
        assert box.x >= 0, box
        assert box.y >= 0, box
        assert box.x + box.width <= figure.width, box
        assert box.y + box.height <= figure.height, box
        assert box.width > 0, box
    for a, b in combinations(figure.boxes, 2):
        assert not _overlap(a, b), (a, b)
    for frame in frames(figure):
        for box in figure.boxes:
            assert _inside(box, frame) or not _overlap(box, frame), (box, frame)
        for other in frames(figure):
            nested = _inside(other, frame) or _inside(frame, other)
            assert nested or not _overlap(frame, other), (frame, other)
    for edge in groups(parsed(figure), "edge"):
        for segment in segments(edge):
            for box in figure.boxes:
                assert not _cuts(segment, box), (edge.attrib, segment, box)


def frames(figure: Figure) -> list[Box]:
    """The ground of each unfolded unit."""
    return [
        Box("frame", item.data, "", item.x, item.y, item.width, item.height)
        for item in figure.items
        if isinstance(item, Frame) and item.data
    ]


def _inside(a: Box, b: Box) -> bool:
    return (
        b.x <= a.x
        and b.y <= a.y
        and a.x + a.width <= b.x + b.width
        and a.y + a.height <= b.y + b.height
    )


def _overlap(a: Box, b: Box) -> bool:
    return (
        a.x < b.x + b.width
        and b.x < a.x + a.width
        and a.y < b.y + b.height
        and b.y < a.y + a.height
    )


def _cuts(segment: Segment, box: Box, inside: float = 1.0) -> bool:
    """Whether the line is within the box, by more than where it ends at its border."""
    x1, y1, x2, y2 = segment
    left, right = sorted((x1, x2))
    upper, lower = sorted((y1, y2))
    return (
        (
            left < box.x + box.width - inside
            and box.x + inside < right
            and upper < box.y + box.height - inside
            and box.y + inside < lower
        )
        or (
            left == right
            and box.x + inside < left < box.x + box.width - inside
            and upper < box.y + box.height - inside
            and box.y + inside < lower
        )
        or (
            upper == lower
            and box.y + inside < upper < box.y + box.height - inside
            and left < box.x + box.width - inside
            and box.x + inside < right
        )
    )


def on_one_another(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """Lines of different values that run along one another."""
    lines = [
        (edge.get("data-edge", ""), segments(edge)) for edge in groups(root, "edge")
    ]
    for (a, ours), (b, theirs) in combinations(lines, 2):
        if a.split(">")[0] != b.split(">")[0]:
            for one in ours:
                if any(_along(one, other) for other in theirs):
                    yield a, b


def _along(a: Segment, b: Segment, apart: float = 2.0) -> bool:
    for u, v in ((0, 1), (1, 0)):  # upright, then level
        if a[u] == a[u + 2] and b[u] == b[u + 2] and abs(a[u] - b[u]) < apart:
            a1, a2 = sorted((a[v], a[v + 2]))
            b1, b2 = sorted((b[v], b[v + 2]))
            return min(a2, b2) - max(a1, b1) > apart
    return False
