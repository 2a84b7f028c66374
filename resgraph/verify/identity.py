"""Eq. (4) and (5) of He et al. 2016 in numbers, along the identity paths of a network.

x_L = x_l + sum of F(x_i), and dE/dx_l = dE/dx_L (1 + d/dx_l sum of F(x_i)): what arrives at
x_l is what left x_L, unchanged, plus what went through the residual branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from resgraph.graph import Graph, Instance, Row
from resgraph.prove.parts import Parts, decompose
from resgraph.verify.interpreter import Interpreter, Part, watched
from resgraph.verify.numbers import Batch, loss
from resgraph.verify.report import Check, failed, passed
from resgraph.verify.returned import by_name, returned
from resgraph.verify.rounding import DOUBLE, Rounding
from resgraph.verify.tolerance import Runs, deviation

FORWARD, BACKWARD = "Eq. (4)", "Eq. (5)"
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


def identity_checks(graph: Graph, exact: Interpreter, batch: Batch) -> Iterator[Check]:
    """A check for each stage with an identity path; `exact` is the network in float64."""
    found = list(stretches(graph))
    if not found:
        return
    sides = measure(exact, found, batch)
    known: dict[int, list[Sides]] = {}

    def noisy(k: int) -> list[Sides]:
        if k not in known:
            known[k] = measure(exact, found, batch, Rounding(DOUBLE, seed=k))
        return known[k]

    def side(i: int, of: str) -> Runs:
        return lambda k: {of: noisy(k)[i][of][1]}

    for i, stretch in enumerate(found):
        far = [
            deviation({of: ours}, {of: right}, side(i, of), DOUBLE, {})
            for of, (ours, right) in sides[i].items()
        ]
        name = f"Eq. (4), (5): {stretch.row.title}"
        where = f"{len(stretch.units)} units from unit {stretch.first}"
        text = f"{where}: {'; '.join(map(str, far))}"
        sound = all(one.within for one in far)
        yield passed(name, text) if sound else failed(name, text, graph.span)


def measure(
    network: Interpreter,
    chosen: Sequence[Stretch],
    batch: Batch,
    noise: Rounding | None = None,
) -> list[Sides]:
    """Both equations over the units of each stretch, whether they hold or not.

    Raises `ValueError` for a unit without an addition.
    """
    torch.manual_seed(0)  # dropout
    with noise or nullcontext():
        return _measured(network, chosen, batch)


@dataclass
class _Ends:
    """The values of a stretch: x_l, x_L, and the sum of F between them."""

    x_l: Tensor
    x_big: Tensor
    total: Tensor


def _measured(
    network: Interpreter, chosen: Sequence[Stretch], batch: Batch
) -> list[Sides]:
    ends: dict[int, _Ends] = {}
    wanted = {
        prefix: (i, unit)
        for i, stretch in enumerate(chosen)
        for prefix, unit in zip(stretch.prefixes, stretch.units, strict=True)
    }

    def watch(part: Part, values: dict[str, Tensor]) -> None:
        if part.prefix not in wanted:
            return
        i, unit = wanted[part.prefix]
        parts = decompose(unit)
        if parts is None:
            raise ValueError(f"{part.prefix} has no addition")
        branch, before = residual(parts, values), ends.get(i)
        x_l, total = (before.x_l, before.total + branch) if before else (None, branch)
        x_l = values[parts.x] if x_l is None else x_l
        ends[i] = _Ends(x_l, values[parts.out], total)

    with watched(network, watch):
        found = network(batch.images.detach().requires_grad_())
    names = [str(i) for i, _ in enumerate(returned(found, ""))]
    value = loss(by_name(found, names, ""), batch)
    return [_sides(ends[i], value) for i in range(len(chosen))]


def _sides(ends: _Ends, loss: Tensor) -> Sides:
    grad = partial(torch.autograd.grad, retain_graph=True)
    (at_exit,) = grad(loss, ends.x_big)
    (left,) = grad(ends.x_big, ends.x_l, at_exit)  # others may read x_l, too
    (through,) = grad(ends.total, ends.x_l, at_exit)
    forward = ((ends.x_l + ends.total).detach(), ends.x_big.detach())
    return {FORWARD: forward, BACKWARD: (at_exit + through, left)}


def residual(parts: Parts, values: Mapping[str, Tensor]) -> Tensor:
    """F(x) of one unit: all operands of its addition but the shortcut's; of each addition
    that an identity path passes, where there are several."""
    added = [v for node in parts.route for v in parts.beside[node.name]]
    operands = [values[v] for v in (added if parts.is_identity else parts.F_values)]
    return sum(operands[1:], start=operands[0])
