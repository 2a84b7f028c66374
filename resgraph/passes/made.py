"""The units of a call, typed one by one, as runs of equal ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from resgraph.graph import Instance, Run
from resgraph.graph.scope import Position
from resgraph.graph.typed import Each


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
        """Equal ones, and those whose input channels grow by one constant step, as one."""
        if not self.kept:
            return self._grouped(self.instances)
        *changing, last = self.instances
        end = self._run((last,), self.last, len(changing))
        return [*self._grouped(changing), end]

    def _grouped(self, instances: Sequence[Instance]) -> list[Run]:
        channels = [i.input[0] for i in instances if i.block.inputs[0] in i.shapes]
        steps = {b - a for a, b in pairwise(channels)}
        grow = len(channels) == len(instances) and len(steps) == 1 and 0 not in steps
        alike = len({tuple(i.args.items()) for i in instances}) == 1
        if len(instances) > 2 and grow and alike:
            return [self._run(tuple(instances), len(instances), 0)]
        return [self._run((each,), 1, i) for i, each in enumerate(instances)]

    def _run(self, instances: tuple[Instance, ...], count: int, after: int) -> Run:
        first = self.first + after
        return Run(self.place.call, instances, count, self.place, first, self.each)
