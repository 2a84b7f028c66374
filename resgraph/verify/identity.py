"""Eq. (4) and (5) of He et al. 2016 in numbers, along the identity paths of a network.

x_L = x_l + sum of F(x_i), and dE/dx_l = dE/dx_L (1 + d/dx_l sum of F(x_i)): what arrives at
x_l is what left x_L, unchanged, plus what went through the residual branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from resgraph.graph import INPUT, Graph, Instance
from resgraph.prove.parts import Parts, decompose
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.numbers import Batch
from resgraph.verify.report import Check, failed, passed
from resgraph.verify.rounding import DOUBLE, Rounding
from resgraph.verify.tolerance import deviation

FORWARD, BACKWARD = "Eq. (4)", "Eq. (5)"
Sides = dict[str, tuple[Tensor, Tensor]]
"""Equation -> what the identity path says, and what the network computes."""


@dataclass(frozen=True)
class Stretch:
    """Units of a stage that follow one another with an identity path through all of them."""

    stage: int
    first: int
    units: tuple[Instance, ...]

    @property
    def prefixes(self) -> list[str]:
        return [f"stage{self.stage}.{self.first + i}." for i in range(len(self.units))]


def stretches(graph: Graph) -> Iterator[Stretch]:
    """The longest stretch of each stage that has one of two units at least."""
    for number, stage in enumerate(graph.runs, 1):
        best: Stretch | None = None
        current: list[Instance] = []
        index = 0
        for run in stage:
            parts = [decompose(instance) for instance in run.instances]
            whole = all(p is not None and p.is_identity for p in parts)
            current = [*current, *run] if whole else []
            index += run.count
            if len(current) > max(1, len(best.units) if best else 0):
                best = Stretch(number, index - len(current), tuple(current))
        if best is not None:
            yield best


def identity_checks(graph: Graph, exact: Interpreter, batch: Batch) -> Iterator[Check]:
    """A check for each stage with an identity path; `exact` is the network in float64."""
    for stretch in stretches(graph):
        name = f"Eq. (4), (5): stage {stretch.stage}"
        sides = measure(exact, stretch, batch)
        noisy = _Noisy(exact, stretch, batch)
        far = [
            deviation({of: left}, {of: right}, noisy.run(of), DOUBLE, {})
            for of, (left, right) in sides.items()
        ]
        text = f"{len(stretch.units)} units from unit {stretch.first}: " + "; ".join(
            map(str, far)
        )
        sound = all(one.within for one in far)
        yield passed(name, text) if sound else failed(name, text, graph.span)


@dataclass
class _Noisy:
    """The left sides as rounding might have made them."""

    exact: Interpreter
    stretch: Stretch
    batch: Batch
    known: dict[int, Sides] = field(default_factory=dict)

    def run(self, of: str) -> Callable[[int], dict[str, Tensor]]:
        def noisy(k: int) -> dict[str, Tensor]:
            if k not in self.known:
                self.known[k] = measure(
                    self.exact, self.stretch, self.batch, Rounding(DOUBLE, seed=k)
                )
            return {of: self.known[k][of][1]}

        return noisy


def measure(
    network: Interpreter,
    stretch: Stretch,
    batch: Batch,
    noise: Rounding | None = None,
) -> Sides:
    """Both equations over the units of the stretch, whether they hold or not.

    Raises `ValueError` for a unit without an addition.
    """
    torch.manual_seed(0)  # dropout
    with noise or nullcontext():
        return _measured(network, stretch, batch)


def _measured(network: Interpreter, stretch: Stretch, batch: Batch) -> Sides:
    x_l: Tensor | None = None
    x_big: Tensor | None = None
    total: Tensor | None = None
    wanted = dict(zip(stretch.prefixes, stretch.units, strict=True))
    x = batch.images
    for part in network.parts:
        if part.prefix in wanted and x_l is None:
            x = x_l = x.detach().requires_grad_()
        values = network.compute(part, x)
        if part.prefix in wanted:
            parts = decompose(wanted[part.prefix])
            if parts is None:
                raise ValueError(f"{part.prefix} has no addition")
            branch = residual(parts, values)
            total = branch if total is None else total + branch
            x_big = values[part.output]
        x = values[part.output]
    assert x_l is not None
    assert x_big is not None
    assert total is not None
    loss = functional.cross_entropy(x, batch.labels)
    left, at_exit = torch.autograd.grad(loss, (x_l, x_big), retain_graph=True)
    (through,) = torch.autograd.grad(total, x_l, at_exit)
    return {
        FORWARD: ((x_l + total).detach(), x_big.detach()),
        BACKWARD: (at_exit + through, left),
    }


def residual(parts: Parts, values: Mapping[str, Tensor]) -> Tensor:
    """F(x) of one unit: all operands of its addition but the shortcut's."""
    operands = [values[INPUT] if v == INPUT else values[v] for v in parts.F_values]
    return sum(operands[1:], start=operands[0])
