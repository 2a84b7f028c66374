"""Plans are within their budget, and no cut of the units does less anew."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resgraph.compiler import Compiler
from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph
from resgraph.plan import Plan, Planner, parse_bytes, plan, strategies
from resgraph.plan.memory import kept
from tests.conftest import ROOT
from tests.helpers import printed, refused

BATCH = 8
SMALL = Compiler().graphs(
    ROOT / "specs" / "original_basic.yaml", "resnet20_original", {}
)[0]
PREACT = Compiler().graphs(ROOT / "specs" / "preact_basic.yaml", "resnet20", {})[0]


def deep() -> Graph:
    return Compiler().graphs(ROOT / "specs" / "preact_bottleneck.yaml", "resnet1001")[0]


def cuts(lengths: tuple[int, ...]) -> Iterator[tuple[tuple[int, int], ...]]:
    """All ways to cut the first units, none across two stages, into segments."""
    ends = {sum(lengths[: i + 1]) for i in range(len(lengths))}
    total = sum(lengths)

    def grow(done: tuple[tuple[int, int], ...], at: int) -> Iterator[tuple]:
        yield done
        for stop in range(at + 1, total + 1):
            yield from grow((*done, (at, stop)), stop)
            if stop in ends:
                break

    return grow((), 0)


def simulated(
    graph: Graph, segments: tuple[tuple[int, int], ...], bn_relu: bool
) -> int:
    """The peak, by going through the forward and the backward pass value by value."""
    costs = [kept(instance, bn_relu) for _, instance in graph.parts()]
    total = [cost.total(BATCH, 4) for cost in costs]
    segments = tuple((a + 1, b + 1) for a, b in segments)  # the stem is part 0
    anew = {i for a, b in segments for i in range(a, b)}
    held: dict[str, int] = {}

    def keep(i: int) -> None:
        held[f"inside {i}"] = total[i]
        made_by_kept = i and costs[i - 1].keeps_output and f"inside {i - 1}" in held
        if costs[i].keeps_input and not made_by_kept:
            held[f"input {i}"] = costs[i].entry(BATCH, 4)

    for i in range(len(costs)):
        if i not in anew:
            keep(i)
    for a, _ in segments:
        if not (costs[a - 1].keeps_output and f"inside {a - 1}" in held):
            held[f"input {a}"] = costs[a].entry(BATCH, 4)
    peak = sum(held.values())
    starts = {b: a for a, b in segments}
    i = len(costs)
    while i > 0:
        first = starts.get(i, i - 1)
        if i in starts:
            for j in range(first, i):
                if j == first:
                    held[f"inside {j}"] = total[j]
                else:
                    keep(j)
        peak = max(peak, sum(held.values()))
        for j in range(first, i):
            held.pop(f"inside {j}", None)
            held.pop(f"input {j}", None)
        i = first
    return peak


def units_anew(made: Plan) -> int:
    return sum(b - a for spans in made.segments.values() for a, b in spans)


@pytest.mark.parametrize("graph", [SMALL, PREACT], ids=["original", "preact"])
@pytest.mark.parametrize("bn_relu", [True, False])
def test_no_cut_does_less_anew(graph: Graph, bn_relu: bool) -> None:
    """Against every one of the cuts of nine units, at budgets between their peaks."""
    by_units: dict[int, int] = {}
    for segments in cuts((3, 3, 3)):
        anew = segments[-1][1] if segments else 0
        peak = simulated(graph, segments, bn_relu)
        by_units[anew] = min(peak, by_units.get(anew, peak))
    lowest = min(by_units.values())
    for budget in sorted({*by_units.values(), lowest - 1}):
        possible = [anew for anew, peak in by_units.items() if peak <= budget]
        if not possible:
            assert "cannot train" in refused(
                lambda b=budget: plan(graph, BATCH, 4, b, bn_relu)
            )
            continue
        made = plan(graph, BATCH, 4, budget, bn_relu)
        assert made.peak <= budget
        assert units_anew(made) == min(possible)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.02, 1.2), st.integers(1, 64), st.sampled_from([2, 4]))
def test_plans_keep_their_budget(share: float, batch: int, element: int) -> None:
    plain = plan(PREACT, batch, element)
    budget = int(share * plain.peak)
    try:
        made = plan(PREACT, batch, element, budget)
    except ResgraphError:
        *_, smallest = strategies(PREACT, batch, element)
        assert smallest.peak > budget
        return
    assert made.peak <= budget
    for spans in made.segments.values():
        assert all(a < b for a, b in spans)
        assert all(one[1] == two[0] for one, two in pairwise(spans))


def test_resnet1001_at_batch_128() -> None:
    """Counted from saved tensors of such nets in float32: 18,700 MiB, and 9,330 with
    BN-ReLU done anew; a unit at a time 6,310."""
    graph = deep()
    by_name = {made.name: made.peak / 2**20 for made in strategies(graph, 128)}
    assert by_name["all kept"] == pytest.approx(18_700, rel=0.01)
    assert by_name["BN-ReLU anew"] == pytest.approx(9_330, rel=0.01)
    assert by_name["each unit anew"] == pytest.approx(6_310, rel=0.02)
    assert by_name["smallest"] < 944
    twelfth = plan(graph, 128, 4, int(by_name["all kept"] / 12 * 2**20))
    assert twelfth.anew < 0.7


def test_few_segments_at_any_depth() -> None:
    """They grow like the square root of the units, 3,333 of them here."""
    spec = ROOT / "specs" / "preact_bottleneck.yaml"
    graph = Compiler().graphs(spec, "resnet1001", {"depth": Fraction(9 * 1111 + 2)})[0]
    *_, smallest = strategies(graph, 128)
    assert sum(map(len, smallest.segments.values())) < 111


def test_the_planner_of_training() -> None:
    auto, fixed = Planner(PREACT), Planner(PREACT, 2**22)
    known = {"batch": 4, "element": 4, "bn_relu": True}
    assert auto(free=None, **known).name == "all kept"
    assert auto(free=2**33, **known).name == "all kept"
    assert auto(free=2**22, **known).peak <= 2**22
    assert fixed(free=2**33, **known).peak <= 2**22
    told = refused(lambda: Planner(PREACT, 1000)(free=None, **known))
    assert "resnet20 cannot train at batch 4 within 0 MiB" in told
    assert "a smaller batch takes less" in told


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2GiB", 2 * 2**30),
        ("1500 MiB", 1500 * 2**20),
        ("1.5gb", 1_500_000_000),
        ("4096", 4096),
    ],
)
def test_amounts(text: str, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "GiB", "2 pints", "-3GiB", "0", "1e9", "2GiBs"])
def test_amounts_that_are_none(text: str) -> None:
    assert "is no amount of memory" in refused(lambda: parse_bytes(text))


def test_the_package_needs_no_torch() -> None:
    assert (
        printed("import sys, resgraph.plan; print('torch' in sys.modules)") == "False"
    )
