"""Which units to compute anew in the backward pass, so that training fits a budget.

The units before some point are cut into segments, whose inputs alone are kept; all behind
that point is kept whole. What is behind is needed first in the backward pass and given free
before any segment is computed anew, so it adds nothing to the peak there; and later stages,
whose maps are smaller, save the most computation per byte kept.

The peak is the larger of what is kept when the forward pass ends, and, for each segment,
the inputs up to it with its own insides. So within a budget each segment is made as long as
it can be: that leaves the fewest inputs to those behind it, which for the same reason get
shorter and shorter. In a chain of units no other cut into segments, none of them across two
stages, reaches the same peak with fewer units computed anew.

A value that several parts of the network keep, as a skip connection's is, is kept once, from
the first of them on; autograd gives it free with the first again, since it goes through the
parts in the reverse of the order in which they ran. A unit of whose outputs none needs a
gradient keeps nothing, and is never computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph, Instance, Row, Style
from resgraph.plan.budget import words
from resgraph.plan.memory import Kept, fusable, kept

_SHARE = 0.75
"""Of the free memory, for saved tensors. The rest is for what ops need while they run, and
for the gradients that flow between them."""
Span = tuple[int, int]
"""From which unit of a stage to which, the latter exclusive."""


@dataclass(frozen=True)
class Plan:
    """What is computed anew, and what that costs. Bytes are of saved tensors alone."""

    name: str
    segments: Mapping[str, tuple[Span, ...]]
    """By stage (`stage1`, `c2`), the units that are computed anew together."""
    bn_relu: tuple[str, ...]
    """The BNs that are computed anew with the ReLU behind them, as in the state_dict."""
    peak: int
    """Bytes, the most that is kept at any time."""
    anew: float
    """Share of the forward pass's multiply-adds that is done a second time."""
    batch: int
    element: int
    """Bytes of an activation's element."""

    @property
    def words(self) -> str:
        """What is computed anew, for the user; empty where nothing is."""
        if not self.segments and not self.bn_relu:
            return ""
        return f"{self.name}: at most {words(self.peak)} kept"

    def as_dict(self) -> dict[str, Any]:
        """The plan for run.json and `--json`; of the BNs their number."""
        return asdict(self) | {"bn_relu": len(self.bn_relu)}


_Memory = int
"""The number of the memory of a value between parts."""


class _Part(NamedTuple):
    """The stem, a unit of a stage, or the head."""

    row: str
    place: int
    """Its number in the row."""
    inside: int
    """Bytes that it alone keeps."""
    given: frozenset[_Memory]
    """What it reads."""
    held: frozenset[_Memory]
    """What it keeps, where others may keep it as well."""
    multiply_adds: int
    unit: bool
    """Whether it may be computed anew, which stem, head and what keeps nothing are not."""
    outputs: int
    """How many there are: those of one segment all have as many."""


class _Costs:
    """The network's parts, in the order in which they run, with what each keeps."""

    def __init__(self, graph: Graph, batch: int, element: int, bn_relu: bool) -> None:
        self.graph = graph
        self.batch = batch
        self.element = element
        self.bn_relu = bn_relu
        self.sizes: list[int] = []
        """Bytes of each memory between parts."""
        self.needs: list[bool] = []
        """Whether what lies in it needs a gradient."""
        self.parts: list[_Part] = []
        self._known: dict[tuple[int, tuple[bool, ...]], tuple[Instance, Kept, int]] = {}
        block = graph.network.block
        shapes = graph.network.shapes
        values = {
            name: self._memory(prod(shapes[name]), False) for name in block.inputs
        }
        for row in block.rows:
            given = tuple(values[name] for name in row.inputs)
            given = self._row(row, given)
            values |= zip(graph.network.values(row), given, strict=True)

    def _memory(self, elements: int, needs: bool) -> _Memory:
        """A new one of so many elements per image."""
        self.sizes.append(self.batch * elements * self.element)
        self.needs.append(needs)
        return len(self.sizes) - 1

    def _row(self, row: Row, given: tuple[_Memory, ...]) -> tuple[_Memory, ...]:
        """Add the parts of a row that reads these memories; those that it writes."""
        start, unit = len(self.parts), row.style is Style.NUMBERED
        for run in self.graph.network.runs[row.name]:
            for instance in run:
                cost, inside = self._cost(instance, given)
                place = dict(zip(instance.block.inputs, given, strict=True))
                for name, needs in zip(cost.outputs, cost.needs, strict=True):
                    if name not in place:
                        place[name] = self._memory(cost.shared[name], needs)
                part = _Part(
                    row.name,
                    len(self.parts) - start,
                    inside,
                    frozenset(given),
                    frozenset([place[name] for name in cost.held]),
                    instance.multiply_adds,
                    unit and any(cost.needs),
                    len(cost.outputs),
                )
                self.parts.append(part)
                given = tuple([place[name] for name in cost.outputs])
        return given

    def _cost(self, instance: Instance, given: Sequence[_Memory]) -> tuple[Kept, int]:
        """What a unit that reads these keeps, and the bytes that it alone keeps."""
        key = (id(instance), tuple([self.needs[memory] for memory in given]))
        if key not in self._known:
            cost = kept(instance, self.bn_relu, key[1])
            inside = cost.inside(self.batch, self.element)
            self._known[key] = instance, cost, inside
        _, cost, inside = self._known[key]
        return cost, inside

    @cached_property
    def last(self) -> dict[_Memory, int]:
        """The last part that keeps each memory."""
        return {m: i for i, part in enumerate(self.parts) for m in part.held}

    @cached_property
    def tails(self) -> list[int]:
        """For each part, bytes of what it and all behind it keep, none computed anew; at
        the end, 0."""
        totals = [0]
        for i in range(len(self.parts) - 1, -1, -1):
            part = self.parts[i]
            new = sum(self.sizes[m] for m in part.held if self.last[m] == i)
            totals.append(totals[-1] + part.inside + new)
        return totals[::-1]

    def whole(self) -> Plan:
        """The plan without segments."""
        name = "BN-ReLU anew" if self.bn_relu else "all kept"
        return self.plan(name, self.tails[0])

    def plan(self, name: str, peak: int, cuts: Sequence[Span] = ()) -> Plan:
        """The plan that computes the parts of these segments anew."""
        anew = sum(p.multiply_adds for a, b in cuts for p in self.parts[a:b])
        return Plan(
            name,
            self._by_stage(cuts),
            self.fused if self.bn_relu else (),
            peak,
            anew / max(1, self.graph.total("multiply_adds")),
            self.batch,
            self.element,
        )

    @cached_property
    def fused(self) -> tuple[str, ...]:
        """The BNs whose BN-ReLU can be computed anew, as in the state_dict."""
        parts = self.graph.parts()
        return tuple(f"{prefix}{name}" for prefix, i in parts for name in fusable(i))

    def _by_stage(self, cuts: Sequence[Span]) -> dict[str, tuple[Span, ...]]:
        found: dict[str, list[Span]] = {}
        for start, stop in cuts:
            first = self.parts[start]
            span = (first.place, first.place + stop - start)
            found.setdefault(first.row, []).append(span)
        return {stage: tuple(spans) for stage, spans in found.items()}


class _Walk:
    """What is kept as one goes through the parts in order: some whole, the others cut into
    segments that are computed anew."""

    def __init__(self, costs: _Costs) -> None:
        self.costs = costs
        self.cuts: list[Span] = []
        self.peak = 0
        """The most that is kept while a segment is computed anew."""
        self._at = 0
        self._kept = 0
        self._held: set[_Memory] = set()
        self._again = 0  # bytes of what is held that is held by parts to come, too
        self._inside = 0
        self._own: set[_Memory] = set()

    def total(self) -> int:
        """What is kept when the forward pass ends, all parts to come being kept whole."""
        return self._kept + self.costs.tails[self._at] - self._again

    def whole(self) -> None:
        """Keep all of the next part."""
        part = self._next()
        self._kept += part.inside
        self._hold(part.held)
        self._at += 1

    def begins(self) -> bool:
        """Whether the next part cannot be of the segment before it."""
        before, part = self.costs.parts[self._at - 1], self.costs.parts[self._at]
        follows = bool(self.cuts) and self.cuts[-1][1] == self._at
        return not follows or part.place == 0 or part.outputs != before.outputs

    def grown(self) -> int:
        """What would be kept with the next part in the segment before it."""
        part = self.costs.parts[self._at]
        return self._kept + self._inside + self._new(part)

    def anew(self, begin: bool) -> None:
        """Compute the next part anew, in a segment that begins there, or in the one before."""
        part = self._next()
        if begin:
            self._hold(part.given)
            self._inside, self._own = 0, {*part.given}
            self.cuts.append((self._at, self._at))
        self._inside += self._new(part)
        self._own |= part.held
        self._at += 1
        self.cuts[-1] = (self.cuts[-1][0], self._at)
        self.peak = max(self.peak, self._kept + self._inside)

    def plan(self) -> Plan:
        """All parts to come being kept whole."""
        name = "segments and BN-ReLU anew" if self.costs.bn_relu else "segments anew"
        return self.costs.plan(name, max(self.peak, self.total()), self.cuts)

    def _new(self, part: _Part) -> int:
        """Bytes that a part adds to what is inside its segment."""
        sizes = self.costs.sizes
        return part.inside + sum(sizes[m] for m in part.held if m not in self._own)

    def _next(self) -> _Part:
        """The part that is passed, which no longer is one to come."""
        part = self.costs.parts[self._at]
        for memory in part.held & self._held:
            if self.costs.last[memory] == self._at:
                self._again -= self.costs.sizes[memory]
        return part

    def _hold(self, memories: frozenset[_Memory]) -> None:
        for memory in memories - self._held:
            size = self.costs.sizes[memory]
            self._kept += size
            self._again += size * (self.costs.last.get(memory, -1) > self._at)
        self._held |= memories


def plan(
    graph: Graph,
    batch: int,
    element: int = 4,
    budget: int | None = None,
    bn_relu: bool = True,
) -> Plan:
    """The plan that does least anew among those within `budget` bytes.

    Without a budget nothing is done anew. `element` is the size of an activation's element:
    4 in float32, 2 in bfloat16. `bn_relu` says whether BN-ReLU may be computed anew.
    Raises `ResgraphError` where no plan fits, with what the smallest takes.
    """
    costs = _Costs(graph, batch, element, bn_relu=False)
    if budget is None or costs.whole().peak <= budget:
        return costs.whole()
    if bn_relu:
        costs = _Costs(graph, batch, element, bn_relu=True)
        if costs.whole().peak <= budget:
            return costs.whole()
    if (found := _within(costs, budget)) is not None:
        return found
    raise ResgraphError(
        f"{graph.name} cannot train at batch {batch} within {words(budget)}",
        f"the smallest plan keeps {words(_smallest(costs).peak)}; a smaller batch "
        "takes less",
    )


@dataclass(frozen=True)
class Planner:
    """Plans for one network within a budget."""

    graph: Graph
    budget: int | None = None
    """Bytes for saved tensors; None is `auto`: a share of what is free."""

    def __call__(
        self, *, batch: int, element: int, free: int | None, bn_relu: bool
    ) -> Plan:
        """The plan for a batch on one device, as training asks for it.

        `free` is the device's free memory in bytes, None where that is not known: then
        `auto` plans nothing. Raises `ResgraphError` if no plan fits.
        """
        budget = self.budget
        if budget is None and free is not None:
            budget = int(_SHARE * free)
        return plan(self.graph, batch, element, budget, bn_relu)


def strategies(graph: Graph, batch: int, element: int = 4) -> Iterator[Plan]:
    """The plain ways to train, and the plan with the lowest peak, for comparison."""
    both = [_Costs(graph, batch, element, bn_relu) for bn_relu in (False, True)]
    yield from (costs.whole() for costs in both)
    for count in (1, 8):
        for costs in both if any(part.unit for part in both[0].parts) else ():
            name = "each unit" if count == 1 else f"segments of {count} units"
            name += " and BN-ReLU anew" if costs.bn_relu else " anew"
            yield replace(_equal(costs, count), name=name)
    yield replace(_smallest(both[1]), name="smallest")


def _smallest(costs: _Costs) -> Plan:
    """The plan with the lowest peak."""
    best = costs.whole()
    low, high = 0, best.peak
    while low < high:
        middle = (low + high) // 2
        if (found := _within(costs, middle)) is None:
            low = middle + 1
        else:
            best, high = found, found.peak
    return best


def _equal(costs: _Costs, count: int) -> Plan:
    """Segments of `count` units within the stages."""
    walk = _Walk(costs)
    for part in costs.parts:
        if part.unit:
            walk.anew(walk.begins() or part.place % count == 0)
        else:
            walk.whole()
    return walk.plan()


def _within(costs: _Costs, budget: int) -> Plan | None:
    """The plan that computes the fewest units anew within the budget."""
    walk = _Walk(costs)
    for part in costs.parts:
        if part.unit:
            walk.anew(walk.begins() or walk.grown() > budget)
        else:
            walk.whole()
        if walk.peak > budget:
            return None
        if walk.cuts and walk.total() <= budget:
            return walk.plan()
    return None
