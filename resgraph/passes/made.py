"""The units of a call, typed one by one, as runs of equal ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from resgraph.graph import Instance, Run, Style
from resgraph.graph.scope import Position
from resgraph.graph.typed import Each
from resgraph.graph.uses import Use


@dataclass
class Made:
    """The instances of a call, one by one.

    `last` is how often the last one follows, and `kept` whether it keeps its shape.
    """

    place: Position
    first: int
    each: Each | None
    instances: list[Instance] = field(default_factory=list)
    last: int = 1
    kept: bool = False

    def runs(self) -> list[Run]:
        """Equal ones, and those of one form whose input channels grow by one step, as one."""
        if not self.kept:
            return self._grouped(self.instances)
        *changing, last = self.instances
        end = self._run((last,), self.last, len(changing))
        return [*self._grouped(changing), end]

    def _grouped(self, instances: Sequence[Instance]) -> list[Run]:
        found: list[Run] = []
        for _, group in groupby(instances, lambda i: (i.args, i.form)):
            alike, after = tuple(group), sum(run.count for run in found)
            if self._grow(alike):
                found.append(self._run(alike, len(alike), after))
            else:
                found += (self._run((i,), 1, after + n) for n, i in enumerate(alike))
        return found

    @staticmethod
    def _grow(instances: Sequence[Instance]) -> bool:
        """Whether those of one form are told as one: three or more, by one step."""
        channels = [i.input[0] for i in instances if i.block.inputs[0] in i.shapes]
        steps = {b - a for a, b in pairwise(channels)}
        known = len(channels) == len(instances) > 2
        return known and len(steps) == 1 and 0 not in steps

    def _run(self, instances: tuple[Instance, ...], count: int, after: int) -> Run:
        first = self.first + after
        return Run(self.place.call, instances, count, self.place, first, self.each)


def shape_by_index(place: Position, uses: Iterable[Use]) -> bool:
    """Whether shapes depend on the number of the unit in its row; `uses` are the call's."""
    by_index = any(use.name == "index" and use.shape for use in uses)
    return place.row.style is Style.NUMBERED and by_index


def each_of(place: Position, uses: Iterable[Use]) -> Each | None:
    """What the blocks of a run differ in, if they ask for their number."""
    asks = any(use.name == "index" and not use.shape for use in uses)
    return Each(place) if asks and place.row.style is Style.NUMBERED else None
