"""Which units to compute anew in the backward pass, so that training fits a budget.

The units before some point are cut into segments, whose inputs alone are kept; all behind
that point is kept whole. What is behind is needed first in the backward pass and given free
before any segment is computed anew, so it adds nothing to the peak there; and later stages,
whose maps are smaller, save the most computation per byte kept.

The peak is the larger of what is kept when the forward pass ends, and, for each segment,
the inputs up to it with its own insides. So within a budget each segment is made as long as
it can be: that leaves the fewest inputs to those behind it, which for the same reason get
shorter and shorter. No other cut into segments, none of them across two stages, reaches the
same peak with fewer units computed anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph
from resgraph.plan.budget import words
from resgraph.plan.memory import Kept, fusable, kept

Span = tuple[int, int]
"""From which unit of a stage to which, the latter exclusive."""


@dataclass(frozen=True)
class Plan:
    """What is computed anew, and what that costs. Bytes are of saved tensors alone."""

    name: str
    segments: Mapping[str, tuple[Span, ...]]
    """By stage (`stage1`), the units that are computed anew together."""
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


@dataclass(frozen=True)
class _Unit:
    stage: int
    index: int
    kept: Kept
    inside: int
    """Bytes without the input."""
    entry: int
    """Bytes of the input."""
    multiply_adds: int


class _Costs:
    """The network's units with what each keeps."""

    def __init__(self, graph: Graph, batch: int, element: int, bn_relu: bool) -> None:
        self.batch = batch
        self.element = element
        self.bn_relu = bn_relu
        self.graph = graph
        self.multiply_adds = graph.total("multiply_adds")
        parts = [instance for _, instance in graph.parts()]
        self.stem, *body, self.head = (kept(instance, bn_relu) for instance in parts)
        places = [
            (stage, index)
            for stage, runs in enumerate(graph.runs, 1)
            for index in range(sum(run.count for run in runs))
        ]
        self.units = [
            _Unit(*place, cost, *self._bytes(cost), instance.multiply_adds)
            for place, cost, instance in zip(places, body, parts[1:-1], strict=True)
        ]
        inside, entry = self._bytes(self.stem)
        self.before = inside + entry * self.stem.keeps_input

    def _bytes(self, cost: Kept) -> tuple[int, int]:
        return cost.total(self.batch, self.element), cost.entry(
            self.batch, self.element
        )

    @cached_property
    def tails(self) -> list[int]:
        """For each unit, bytes of it and of all behind it, kept whole, inputs between
        them included, its own input left out; at the end, the head's."""
        totals = [self._bytes(self.head)[0]]
        for i in range(len(self.units) - 1, -1, -1):
            totals.append(totals[-1] + self.boundaries[i + 1] + self.units[i].inside)
        return totals[::-1]

    @cached_property
    def entries(self) -> list[int]:
        """For each unit, and for the head behind the last: bytes of its input, if it is kept."""
        body = [unit.entry * unit.kept.keeps_input for unit in self.units]
        return [*body, self._bytes(self.head)[1] * self.head.keeps_input]

    @cached_property
    def boundaries(self) -> list[int]:
        """The same, where what makes the input is kept as well."""
        makers = [self.stem, *(unit.kept for unit in self.units)]
        return [
            0 if maker.keeps_output else entry
            for maker, entry in zip(makers, self.entries, strict=True)
        ]

    def added(self, start: int) -> int:
        """Bytes that the input of a segment adds: the stem alone may have kept it."""
        return 0 if start == 0 and self.stem.keeps_output else self.units[start].entry

    def whole(self) -> Plan:
        """The plan without segments."""
        peak = self.before + self.boundaries[0] + self.tails[0]
        return self.plan("BN-ReLU anew" if self.bn_relu else "all kept", peak)

    def plan(
        self,
        name: str,
        peak: int,
        anew: float = 0.0,
        segments: Mapping[str, tuple[Span, ...]] | None = None,
    ) -> Plan:
        names = self.fused if self.bn_relu else ()
        return Plan(name, segments or {}, names, peak, anew, self.batch, self.element)

    @cached_property
    def fused(self) -> tuple[str, ...]:
        """The BNs whose BN-ReLU can be computed anew, as in the state_dict."""
        parts = self.graph.parts()
        return tuple(f"{prefix}{name}" for prefix, i in parts for name in fusable(i))

    def inside(self, start: int, stop: int) -> int:
        """Bytes inside a segment once it is computed anew, its input left out."""
        own = sum(self.units[i].inside for i in range(start, stop))
        return own + sum(self.boundaries[start + 1 : stop])


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


def strategies(graph: Graph, batch: int, element: int = 4) -> Iterator[Plan]:
    """The plain ways to train, and the plan with the lowest peak, for comparison."""
    both = [_Costs(graph, batch, element, bn_relu) for bn_relu in (False, True)]
    yield from (costs.whole() for costs in both)
    for count in (1, 8):
        for costs in both if both[0].units else ():
            name = "each unit" if count == 1 else f"segments of {count} units"
            name += " and BN-ReLU anew" if costs.bn_relu else " anew"
            yield replace(_segmented(costs, _equal(costs, count)), name=name)
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


def _equal(costs: _Costs, count: int) -> list[Span]:
    """Segments of `count` units within the stages."""
    cuts: list[Span] = []
    for i, unit in enumerate(costs.units):
        if unit.index % count == 0:
            cuts.append((i, i + 1))
        else:
            cuts[-1] = (cuts[-1][0], i + 1)
    return cuts


def _segmented(costs: _Costs, cuts: Sequence[Span]) -> Plan:
    """The plan that computes these segments, from the first unit on, anew."""
    inputs, end = costs.before, cuts[-1][1]
    peak = 0
    for start, stop in cuts:
        inputs += costs.added(start)
        peak = max(peak, inputs + costs.inside(start, stop))
    peak = max(peak, inputs + costs.entries[end] + costs.tails[end])
    units = costs.units[:end]
    anew = sum(unit.multiply_adds for unit in units) / costs.multiply_adds
    name = "segments and BN-ReLU anew" if costs.bn_relu else "segments anew"
    return costs.plan(name, peak, anew, _by_stage(costs, cuts))


def _by_stage(costs: _Costs, cuts: Sequence[Span]) -> dict[str, tuple[Span, ...]]:
    found: dict[str, list[Span]] = {}
    for start, stop in cuts:
        first = costs.units[start]
        span = (first.index, first.index + stop - start)
        found.setdefault(f"stage{first.stage}", []).append(span)
    return {stage: tuple(spans) for stage, spans in found.items()}


def _within(costs: _Costs, budget: int) -> Plan | None:
    """The plan that computes the fewest units anew within the budget."""
    cuts: list[Span] = []
    entries, boundaries, tails = costs.entries, costs.boundaries, costs.tails
    inputs, inside = costs.before, 0
    for i, unit in enumerate(costs.units):
        grown = inside + boundaries[i] + unit.inside
        if not cuts or unit.index == 0 or inputs + grown > budget:
            inputs += costs.added(i)
            grown = unit.inside
            cuts.append((i, i))
        inside = grown
        cuts[-1] = (cuts[-1][0], i + 1)
        if inputs + inside > budget:
            return None
        if inputs + entries[i + 1] + tails[i + 1] <= budget:
            return _segmented(costs, cuts)
    return None
