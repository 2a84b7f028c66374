"""What of a unit is drawn, cells and lines, before anything has a place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from resgraph.draw.cells import Cell, cells, results, values
from resgraph.draw.shortcut import Shortcut, through
from resgraph.graph import OUTPUT, Instance

END = "\0out "  # no op is called so


@dataclass(frozen=True)
class Line:
    """A value on its way from the cell, or input, that gives it to one that reads it."""

    value: str
    start: str
    end: str
    given: int
    """The number of the value among those that the start gives."""
    read: int
    """Its number among those that the end reads."""


@dataclass(frozen=True)
class Structure:
    """A unit's cells and lines; the inputs and the outputs are cells, too, in `lines`."""

    instance: Instance
    shortcuts: tuple[Shortcut, ...] = ()

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """By name, the first where several share one, as only a unit with findings has it."""
        found: dict[str, Cell] = {}
        for cell in cells(self.instance):
            found.setdefault(cell.name, cell)
        return found

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return self.instance.block.inputs

    @cached_property
    def outputs(self) -> dict[str, str]:
        """What stands for each output in the lines -> its value."""
        return {END + name: value for name, value in results(self.instance).items()}

    @property
    def ends(self) -> tuple[str, ...]:
        """What stands for each output; for `out` where nothing makes it."""
        return tuple(self.outputs) or (END + OUTPUT,)

    @cached_property
    def makers(self) -> dict[str, tuple[str, int]]:
        """By value, the cell that gives it, and its number there."""
        makers = {name: (name, 0) for name in self.inputs}
        for cell in self.cells.values():
            for number, value in enumerate(cell.gives):
                makers.setdefault(value, (cell.name, number))
        return makers

    @cached_property
    def lines(self) -> list[Line]:
        """Without those of values that are not there before what reads them."""
        found: list[Line] = []
        known = {*self.inputs}
        for cell in self.cells.values():
            found += self._lines(cell.name, cell.reads, known)
            known.add(cell.name)
        for end, value in self.outputs.items():
            found += self._lines(end, (value,), known)
        return found

    def _lines(self, end: str, read: tuple[str, ...], known: set[str]) -> list[Line]:
        return [
            Line(value, start, end, number, place)
            for place, value in enumerate(read)
            if value in self.makers
            for start, number in [self.makers[value]]
            if start in known
        ]

    @cached_property
    def chained(self) -> set[tuple[str, str]]:
        """The steps within a path."""
        names = [(cell.node or cell.row, cell.name) for cell in self.cells.values()]
        return {
            (a, b)
            for (one, a), (other, b) in pairwise(names)
            if one and other and one.path == other.path
        }

    @cached_property
    def route(self) -> set[tuple[str, str]]:
        """The lines of the shortcuts."""
        if not self.outputs:
            return set()
        return {step for way in self.shortcuts for step in self._route(way)}

    def _route(self, way: Shortcut) -> set[tuple[str, str]]:
        stops = way.cells(self.cells.values())
        if not stops:
            return set()
        first = {line.start for line in self.lines if line.end == stops[0]}
        start = way.start or next(
            (i for i in self.inputs if i in first), self.inputs[0]
        )
        steps = {(line.start, line.end) for line in self.lines}
        return through([start, *stops, self._end(stops)], steps)

    def breaks(self, cell: Cell) -> bool:
        """Whether a shortcut does not pass the cell as it is."""
        return any(way.breaks(cell) for way in self.shortcuts)

    def _end(self, stops: list[str]) -> str:
        """The output that a shortcut leads to."""
        ends = [e for e, v in self.outputs.items() if self._maker(v) in stops[-1:]]
        return ends[0] if ends else next(iter(self.outputs))

    def _maker(self, value: str) -> str:
        return self.makers.get(value, ("", 0))[0]

    @cached_property
    def labels(self) -> dict[str, str]:
        """The shapes that are told: of inputs, of outputs, and where they change."""
        shapes = values(self.instance)
        told = {*self.inputs, *self.outputs.values()}
        for cell in self.cells.values():
            given = [shapes.get(value) for value in cell.reads]
            told |= {value for value in cell.gives if shapes.get(value) not in given}
        order = [*self.inputs, *(v for c in self.cells.values() for v in c.gives)]
        return {v: str([*shapes[v]]) for v in order if v in told & {*shapes}}
