"""Eq. (4) and (5) of He et al. 2016 in numbers, along the identity paths of a network.

x_L = x_l + sum of F(x_i), and dE/dx_l = dE/dx_L (1 + d/dx_l sum of F(x_i)): what arrives at
x_l is what left x_L, unchanged, plus what went through the residual branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from resgraph.diagnostics import plural
from resgraph.graph import Graph, Instance, Row
from resgraph.graph.sites import listing
from resgraph.prove.claims import Claim, Route, claims, route
from resgraph.prove.parts import decompose
from resgraph.prove.routes import Routes
from resgraph.verify.interpreter import Interpreter, Part, watched
from resgraph.verify.numbers import Batch, loss
from resgraph.verify.report import Check, failed, passed, skipped
from resgraph.verify.returned import returned
from resgraph.verify.rounding import DOUBLE, Rounding
from resgraph.verify.tolerance import Deviation, Runs, deviation

FORWARD, BACKWARD = "Eq. (4)", "Eq. (5)"
_MOST = 12
"""Paths that one check measures: each is two walks back through the network."""
Sides = dict[str, tuple[Tensor, Tensor]]
"""Equation -> what the identity path says, and what the network computes."""


@dataclass(frozen=True)
class Stretch:
    """Units of a stage that follow one another with an identity path through all of them."""

    row: Row
    first: int
    units: tuple[Instance, ...]

    @property
    def prefixes(self) -> list[str]:
        return [self.row.prefix(self.first + i) for i in range(len(self.units))]


def stretches(graph: Graph) -> Iterator[Stretch]:
    """The longest stretch of each stage that has one of two units at least."""
    for row, runs in graph.stages:
        best: Stretch | None = None
        current: list[Instance] = []
        index = 0
        for run in runs:
            distinct = run if run.each else run.instances
            current = [*current, *run] if all(map(_is_whole, distinct)) else []
            index += run.count
            if len(current) > max(1, len(best.units) if best else 0):
                best = Stretch(row, index - len(current), tuple(current))
        if best is not None:
            yield best


def _is_whole(instance: Instance) -> bool:
    """Whether an identity path leads through the unit, from its input to its output."""
    block = instance.block
    if len(block.inputs) != 1 or len(block.results) != 1:
        return False
    parts = decompose(instance)
    return parts is not None and parts.is_identity


@dataclass(frozen=True)
class _Measured:
    """Identity paths that are told of in one check."""

    name: str
    where: str
    routes: tuple[Route, ...]


def route_of(routes: Routes, stretch: Stretch) -> Route:
    """The way of the shortcuts through the units of a stretch.

    Raises `ValueError` for a unit without an addition.
    """
    parts = [decompose(unit) for unit in stretch.units]
    if not all(parts):
        raise ValueError(f"{stretch.row.name} has units without an addition")
    units = zip(stretch.prefixes, filter(None, parts), strict=True)
    return route(routes, units)


def _chosen(graph: Graph) -> Iterator[_Measured]:
    """The longest stretch of each stage, and what `prove` says of others."""
    known, routes = list[Route](), Routes.through(graph.network)
    for stretch in stretches(graph):
        known.append(route_of(routes, stretch))
        where = f"{len(stretch.units)} units from unit {stretch.first}"
        yield _Measured(stretch.row.title, where, (known[-1],))
    rows, skips = list[Claim](), list[Claim]()
    for claim in claims(graph, routes):
        if not any(claim.route.within(other) for other in known):
            known.append(claim.route)
            (skips if claim.skip else rows).append(claim)
    if rows:
        yield _together(rows)
    yield from (_together([skip]) for skip in skips)


def _together(chosen: Sequence[Claim]) -> _Measured:
    """Claims that one check tells of; of very many the first ones are measured."""
    routes = tuple(claim.route for claim in chosen[:_MOST])
    added = sum(step.sums for route in routes for step in route.steps)
    where = f"{added} {plural(added, 'addition')} on the way"
    if len(chosen) > _MOST:
        where += f", of the first {_MOST} of {len(chosen)} paths"
    return _Measured(listing([*dict.fromkeys(c.place for c in chosen)]), where, routes)


def identity_checks(graph: Graph, exact: Interpreter, batch: Batch) -> Iterator[Check]:
    """A check for each place with identity paths; `exact` is the network in float64."""
    chosen, known = list[_Measured](), dict[int, list[Sides]]()
    for each in _chosen(graph):
        if odd := next((r.odd for r in each.routes if r.odd), ""):
            why = f"not measured: {odd} is on the way, and no sum"
            yield skipped(f"Eq. (4), (5): {each.name}", why)
        else:
            chosen.append(each)
    if not chosen:
        return
    routes = [route for each in chosen for route in each.routes]
    sides = iter(enumerate(measure(exact, routes, batch)))

    def noisy(k: int) -> list[Sides]:
        if k not in known:
            known[k] = measure(exact, routes, batch, Rounding(DOUBLE, seed=k))
        return known[k]

    def side(i: int, of: str) -> Runs:
        return lambda k: {of: noisy(k)[i][of][1]}

    for each in chosen:
        mine = [*islice(sides, len(each.routes))]
        if not all(
            t.isfinite().all() for _, s in mine for two in s.values() for t in two
        ):
            why = "not measured: the network's own values are not finite"
            yield skipped(f"Eq. (4), (5): {each.name}", why)
            continue
        far: dict[str, Deviation] = {}
        for i, both in mine:
            for of, (ours, right) in both.items():
                one = deviation({of: ours}, {of: right}, side(i, of), DOUBLE, {})
                far[of] = max(far.get(of, one), one, key=lambda found: found.excess)
        name = f"Eq. (4), (5): {each.name}"
        text = f"{each.where}: {'; '.join(map(str, far.values()))}"
        sound = all(one.within for one in far.values())
        yield passed(name, text) if sound else failed(name, text, graph.span)


def measure(
    network: Interpreter,
    chosen: Sequence[Route],
    batch: Batch,
    noise: Rounding | None = None,
) -> list[Sides]:
    """Both equations along each route, whether they hold or not."""
    torch.manual_seed(0)  # dropout
    with noise or nullcontext():
        return _measured(network, chosen, batch)


def _measured(
    network: Interpreter, chosen: Sequence[Route], batch: Batch
) -> list[Sides]:
    wanted = {v for route in chosen for v in (route.x, route.end, *route.added)}
    images = batch.images.detach().requires_grad_()
    found = dict[str, Tensor]()

    def watch(part: Part, values: dict[str, Tensor]) -> None:
        for call in part.calls:
            if (name := part.prefix + call.name) in wanted:
                found[name] = values[call.name]

    with watched(network, watch):
        outputs = returned(network(images), "")
    total = loss({str(i): value for i, (_, value) in enumerate(outputs)}, batch)
    found |= dict.fromkeys(wanted - found.keys(), images)  # what no node makes
    return [_sides(route, found, total) for route in chosen]


def _sides(route: Route, values: Mapping[str, Tensor], loss: Tensor) -> Sides:
    grad = partial(torch.autograd.grad, retain_graph=True, materialize_grads=True)
    x_l, x_big = values[route.x], values[route.end]
    added = [values[value] for value in route.added]
    total = sum(added, start=torch.zeros_like(x_l))
    (at_exit,) = grad(loss, x_big)
    (left,) = grad(x_big, x_l, at_exit)  # others may read x_l, too
    through = torch.zeros_like(x_l)
    if total.requires_grad:
        (through,) = grad(total, x_l, at_exit)
    forward = ((x_l + total).detach(), x_big.detach())
    return {FORWARD: forward, BACKWARD: (at_exit + through, left)}
