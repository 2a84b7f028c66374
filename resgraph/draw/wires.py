"""Lines between boxes: straight down, and across only in the gaps between the rows."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import groupby, islice, pairwise

from resgraph.draw.layout import Layout, Link, Way

Point = tuple[float, float]

GAP = 20.0
"""Pixels between two rows where no line runs across."""
LEAD = 10.0
"""Pixels above the first line that runs across, in a gap."""
TAIL = 19.0
"""Pixels below the last one: a bend and an arrow's head."""
TRACK = 9.0
"""Pixels between two lines that run across."""
PORT = 9.0
"""Pixels between the ends of two lines at the top of one node."""
SNAP = 3.0
"""Pixels that are no step aside, of a line from a port."""


@dataclass(frozen=True)
class Size:
    """Of a node: its box, and the room below it for its value's shape."""

    width: float
    height: float
    below: float = 0.0
    round: bool = False
    """A circle, or a wider one with half circles at its ends; lines may enter there."""

    def rise(self, aside: float) -> float:
        """How far above its centre its border is, so far aside of it."""
        half = self.height / 2
        bend = max(0.0, abs(aside) - (self.width / 2 - half)) if self.round else 0.0
        return math.sqrt(max(0.0, half**2 - bend**2))


@dataclass(frozen=True)
class Wiring:
    """The centre of each node, the points of each link's line, and the height of it all."""

    centres: Mapping[str, Point]
    lines: Sequence[tuple[Link, tuple[Point, ...]]]
    height: float


@dataclass(frozen=True)
class _Hop:
    """A line's step from its column in a row to that in the next."""

    source: str
    row: int
    start: float
    end: float

    def meets(self, other: _Hop) -> bool:
        a, b = sorted((self.start, self.end)), sorted((other.start, other.end))
        return a[0] <= b[1] + TRACK and b[0] <= a[1] + TRACK


@dataclass(frozen=True)
class _Course:
    """The hops of a way, and where it ends: at the top of its node, or at a side."""

    way: Way
    hops: tuple[_Hop, ...]
    sideways: bool


def wire(plan: Layout, sizes: Mapping[str, Size]) -> Wiring:
    """Give each row its height, each gap as many tracks as it needs, each link its line."""
    courses = [*_courses(plan, sizes)]
    gaps = [
        _tracks([h for c in courses for h in c.hops if h.row == r and h.start != h.end])
        for r in range(max(plan.rows.values()) + 1)
    ]
    centres, floors, height = _rows(plan, sizes, gaps)
    lines = [
        (c.way.link, tuple(_line(c, sizes, gaps, centres, floors))) for c in courses
    ]
    return Wiring(centres, lines, height)


def _courses(plan: Layout, sizes: Mapping[str, Size]) -> Iterator[_Course]:
    for end, group in groupby(plan.ways, key=lambda way: way.link.end):
        ways = [*group]
        left, right = min(ways, key=_last), max(ways, key=_last)
        aside = {
            id(way)
            for way in (left, right)
            if (_last(way) > plan.columns[end]) is (way is right)
            and sizes[end].round
            and _free(way, plan, sizes)
        }
        ports = _ports(
            [way for way in ways if id(way) not in aside], plan.columns[end], sizes[end]
        )
        for way in ways:
            arrival = _last(way) if id(way) in aside else ports[id(way)]
            if way.link.leaves and abs(arrival - _last(way)) < SNAP:
                arrival = _last(way)
            columns = [_first(way), *way.columns[1:-1], arrival]
            hops = (
                _Hop(way.link.source, way.row + i, a, b)
                for i, (a, b) in enumerate(pairwise(columns))
            )
            yield _Course(way, tuple(hops), id(way) in aside)


def _first(way: Way) -> float:
    """The column in which it begins."""
    return way.columns[0] + way.link.leaves


def _last(way: Way) -> float:
    """The column from which it reaches its end's row."""
    return way.columns[-2] if len(way.columns) > 2 else _first(way)


def _free(way: Way, plan: Layout, sizes: Mapping[str, Size]) -> bool:
    """Whether it can come to its end from the side, with nothing between."""
    end, row = way.link.end, plan.rows[way.link.end]
    near, far = sorted((plan.columns[end], _last(way)))
    if far - near < sizes[end].width:
        return False
    margin = TRACK / 2
    spans = [
        (plan.columns[n] - s.width / 2, plan.columns[n] + s.width / 2)
        for n, s in sizes.items()
        if plan.rows[n] == row and n != end
    ]
    spans += [
        (other.columns[row - other.row],) * 2
        for other in plan.ways
        if other.row < row < other.row + len(other.columns) - 1
    ]
    return all(b < near - margin or a > far + margin for a, b in spans)


def _ports(ways: Sequence[Way], column: float, size: Size) -> dict[int, float]:
    """Where at its end's top each way comes in; one from straight above in the middle."""
    fixed = {id(w): column + w.link.enters for w in ways if w.link.enters is not None}
    ordered = sorted((way for way in ways if id(way) not in fixed), key=_last)
    straight = [i for i, way in enumerate(ordered) if _last(way) == column]
    middle = straight[0] if straight else (len(ordered) - 1) / 2
    farthest = max(middle, len(ordered) - 1 - middle, 1)
    pitch = min(PORT, (size.width / 2 - 3) / farthest)
    free = {id(way): column + (i - middle) * pitch for i, way in enumerate(ordered)}
    return fixed | free


def _tracks(hops: Sequence[_Hop]) -> dict[str, int]:
    """The track of each source in a gap, the first one above the others."""
    of: dict[str, list[_Hop]] = {}
    for hop in hops:
        of.setdefault(hop.source, []).append(hop)
    tracks = dict[str, int]()
    for source in _downwards(hops):
        others = [
            track
            for other, track in tracks.items()
            if any(a.meets(b) for a in of[source] for b in of[other])
        ]
        tracks[source] = max(others, default=-1) + 1
    return tracks


def _downwards(hops: Sequence[_Hop]) -> Iterator[str]:
    """The sources, each above those that it must turn off above; the earliest where they may.

    A line that goes down from where another arrives must have turned off above it. Where
    that goes in a circle, the earliest one is above.
    """
    order = {
        source: i for i, source in enumerate(dict.fromkeys(h.source for h in hops))
    }
    below = _below(hops)
    above = Counter(b for others in below.values() for b in others)
    waiting = [(i, source) for source, i in order.items()]  # sorted, and so a heap
    free = [(i, source) for i, source in waiting if not above[source]]
    done = set[str]()
    while waiting:
        heap = free or waiting
        _, source = heappop(heap)
        if source in done:
            continue
        done.add(source)
        yield source
        for other in below.get(source, ()):
            above[other] -= 1
            if not above[other]:
                heappush(free, (order[other], other))


def _below(hops: Sequence[_Hop]) -> dict[str, set[str]]:
    """By source, those whose lines arrive where it goes down."""
    arriving = sorted((hop.end, hop.source) for hop in hops)
    below: dict[str, set[str]] = {}
    for hop in hops:
        first = bisect_left(arriving, (hop.start - PORT,))
        for end, source in islice(arriving, first, None):
            if end >= hop.start + PORT:
                break
            if source != hop.source and abs(hop.start - end) < PORT:
                below.setdefault(hop.source, set()).add(source)
    return below


def _rows(
    plan: Layout, sizes: Mapping[str, Size], gaps: Sequence[Mapping[str, int]]
) -> tuple[dict[str, Point], list[float], float]:
    """Each node's centre, where the gap below each row begins, and the height of all."""
    centres, floors, y = dict[str, Point](), list[float](), 0.0
    for row, tracks in enumerate(gaps):
        names = [name for name in sizes if plan.rows[name] == row]
        height = max(sizes[name].height for name in names)
        centres |= {name: (plan.columns[name], y + height / 2) for name in names}
        floors.append(y + height + max(sizes[name].below for name in names))
        across = LEAD + max(tracks.values(), default=0) * TRACK + TAIL
        y = floors[-1] + (across if tracks else GAP)
    return centres, floors, floors[-1]


def _line(
    course: _Course,
    sizes: Mapping[str, Size],
    gaps: Sequence[Mapping[str, int]],
    centres: Mapping[str, Point],
    floors: Sequence[float],
) -> Iterator[Point]:
    link = course.way.link
    _, y = centres[link.start]
    yield _first(course.way), y + sizes[link.start].height / 2
    for hop in course.hops:
        if hop.start != hop.end:
            level = floors[hop.row] + LEAD + gaps[hop.row][hop.source] * TRACK
            yield hop.start, level
            yield hop.end, level
    (x, y), size, column = centres[link.end], sizes[link.end], course.hops[-1].end
    if course.sideways:
        yield column, y
        yield x + math.copysign(size.width / 2, column - x), y
    else:
        yield column, y - size.rise(column - x)
