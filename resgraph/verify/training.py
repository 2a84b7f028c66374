"""Modules beside the graph's own network: inference, training, steps of the recipe, in float64."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from resgraph.diagnostics import Span
from resgraph.graph import Graph
from resgraph.names import LOGITS
from resgraph.verify.flow import Flow
from resgraph.verify.isomorphism import Match, match
from resgraph.verify.numbers import (
    GRADIENTS,
    INFERENCE,
    STATISTICS,
    STEPS,
    UPDATES,
    Batch,
    Numbers,
    Point,
    Subject,
    gradients,
    inference,
    rate,
    stepped,
)
from resgraph.verify.places import (
    Divergence,
    first_beyond,
    first_divergence,
    spans,
)
from resgraph.verify.report import Check, failed, passed, skipped, unproven
from resgraph.verify.rounding import DOUBLE, Rounding
from resgraph.verify.rule import Rule
from resgraph.verify.tolerance import Deviation, Tensors, deviation
from resgraph.verify.witness import Module, Naming, Task, recorded


@dataclass
class Reference:
    """The graph's own network: its numbers, step by step, and those of noisy runs."""

    subject: Subject
    start: Mapping[str, Tensor]
    batch: Batch
    rule: Rule
    seed: int = 0
    steps: int = STEPS
    points: list[Point] = field(default_factory=list, init=False)
    exact: list[Numbers] = field(default_factory=list, init=False)
    """Of inference, and of each step."""
    _noisy: dict[tuple[int, int], Numbers] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Train by the formula, at a rate that leaves something of the weights."""
        self.exact = [inference(self.subject, self.start, self.batch.images)]
        point = Point(self.start)
        for k in range(self.steps):
            found = gradients(self.subject, point, self.batch)
            if k == 0:
                self.rule = self.rule.at(rate(found, self.start, self.rule))
            made = stepped(found, point, self.rule)
            self.points.append(point)
            self.exact.append(found | _of_weights(made.updates))
            moved = {n: point.tensors[n] + update for n, update in made.updates.items()}
            tensors = {**point.tensors, **found.get(STATISTICS, {}), **moved}
            point = Point(tensors, made.state, k + 1)

    def noisy(self, index: int, run: int) -> Numbers:
        """`exact[index]` with rounding noise of its own."""
        if (index, run) not in self._noisy:
            noise = Rounding(DOUBLE, seed=1_000 * self.seed + 10 * run + index)
            self._noisy[index, run] = self._run(index, noise)
        return self._noisy[index, run]

    @cached_property
    def finite(self) -> bool:
        """Whether all of its numbers are."""
        kinds = (values for numbers in self.exact for values in numbers.values())
        return all(map(_finite, kinds))

    def _run(self, index: int, noise: Rounding) -> Numbers:
        if index == 0:
            return inference(self.subject, self.start, self.batch.images, noise)
        point = self.points[index - 1]
        found = gradients(self.subject, point, self.batch, noise)
        return found | _of_weights(stepped(found, point, self.rule).updates)

    def floors(self, index: int, quantity: str) -> dict[str, float]:
        """Updates are differences of weights, each rounded."""
        if quantity != UPDATES:
            return {}
        tensors = self.points[index - 1].tensors
        return {
            name: DOUBLE * float(tensors[name].norm())
            for name in self.exact[index][UPDATES]
        }


@dataclass
class Comparison:
    """A module beside the graph's own network in numbers."""

    graph: Graph
    module: Module
    naming: Naming
    reference: Reference
    what: str
    _divergences: dict[bool, Divergence | None] = field(default_factory=dict)
    _overflows: dict[bool, str] = field(default_factory=dict)
    largest: float = field(default=0.0, init=False)
    """The largest relative error that passed."""

    def checks(self) -> Iterator[Check]:
        """A check per quantity."""
        exact = self.reference.exact
        yield self._check(INFERENCE, [0])
        for quantity in exact[1]:
            if quantity == UPDATES:
                yield self._check(quantity, [*range(1, len(exact))])
            else:
                yield self._check(quantity, [1])
        if GRADIENTS not in exact[1]:
            name = f"{GRADIENTS} and {UPDATES}: {self.what}"
            yield skipped(name, "the network has no weights")

    @cached_property
    def computed(self) -> Sequence[Numbers]:
        reference = self.reference
        trained = [*reference.exact[1].get(UPDATES, {})]
        task = Task(
            reference.points, reference.batch, reference.rule, trained, self.naming
        )
        return self.module.computed(task)

    def _check(self, quantity: str, where: Sequence[int]) -> Check:
        of = f" of {self.reference.rule.title}" if quantity == UPDATES else ""
        name = f"{self._called(quantity)}{of}: {self.what}"
        pairs = [(i, self.computed[i].get(quantity, {})) for i in where]
        exact = self.reference.exact
        if not all(_finite(exact[i][quantity]) for i in where):
            return unproven(name, self._infinite(quantity))
        if missing := [
            n for i, ours in pairs for n in exact[i][quantity].keys() - ours
        ]:
            what = self._called(quantity)
            return failed(name, f"the module gives no {what} of {min(missing)}")
        if all(same_bits(ours, exact[i][quantity]) for i, ours in pairs):
            count = sum(len(ours) for _, ours in pairs)
            many = f"{count:,} tensors" if count > 1 else next(iter(pairs[0][1]))
            found = f"{many} equal to the last bit of float64"
            return passed(name, found + self._idle(quantity))
        deviations = [self._deviation(i, quantity, ours) for i, ours in pairs]
        far = max(deviations, key=lambda one: one.excess)
        if far.within:
            self.largest = max(self.largest, far.relative)
            return passed(name, str(far))
        return self._failed(name, quantity, far)

    def _infinite(self, quantity: str) -> str:
        """That there is nothing to compare with."""
        training = quantity != INFERENCE
        if training not in self._overflows:
            reference = self.reference
            start, images = reference.start, reference.batch.images
            flow = recorded(reference.subject, start, images, training)
            place = first_beyond(self.graph, flow, torch.float64)
            self._overflows[training] = place or "on the way back or after a step"
        return f"the network's own values are not finite, {self._overflows[training]}"

    def _idle(self, quantity: str) -> str:
        """That there is little to compare, where no gradient is any but 0."""
        tensors = self.reference.exact[1].get(GRADIENTS, {}).values()
        if quantity != GRADIENTS or any(bool(tensor.any()) for tensor in tensors):
            return ""
        return ", all of them 0: no output changes with a weight"

    def _called(self, quantity: str) -> str:
        """The quantity in words: not every network gives logits."""
        only = [*self.graph.outputs] == [LOGITS]
        return quantity if only else quantity.replace(LOGITS, "outputs")

    def _deviation(self, index: int, quantity: str, ours: Tensors) -> Deviation:
        reference = self.reference
        return deviation(
            ours,
            reference.exact[index][quantity],
            lambda run: reference.noisy(index, run)[quantity],
            DOUBLE,
            reference.floors(index, quantity),
        )

    def _failed(self, name: str, quantity: str, far: Deviation) -> Check:
        training = quantity != INFERENCE
        if training not in self._divergences:
            self._divergences[training] = self._first_divergence(training)
        divergence = self._divergences[training]
        if divergence is not None:
            return failed(name, f"{far}; {divergence}", divergence.place.span)
        return failed(name, str(far), self._span(far.name))

    def _span(self, tensor: str) -> Span | None:
        return spans(self.graph).get(tensor.rpartition(".")[0])

    def _first_divergence(self, training: bool) -> Divergence | None:
        """The first node whose value diverges; None where it is in the backward pass alone."""
        reference = self.reference
        start, images = reference.start, reference.batch.images
        ours = self.module.recorded(self.naming, start, images, training)
        exact = recorded(reference.subject, start, images, training)
        pairs = match(ours, exact)
        if not isinstance(pairs, Match):
            return None
        names = {i: exact.steps[j].scope for i, j in pairs.steps.items()}

        def named(flow: Flow) -> dict[str, Tensor]:
            return {name: flow.values[pairs.steps[i]] for i, name in names.items()}

        def noisy(run: int) -> dict[str, Tensor]:
            with Rounding(DOUBLE, seed=run):
                return named(recorded(reference.subject, start, images, training))

        mine = {name: ours.values[i] for i, name in names.items()}
        return first_divergence(self.graph, mine, named(exact), noisy, DOUBLE)


def _of_weights(updates: dict[str, Tensor]) -> Numbers:
    """The updates as a quantity; none of a network without weights."""
    return {UPDATES: updates} if updates else {}


def _finite(tensors: Tensors) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in tensors.values())


def same_bits(ours: Tensors, theirs: Tensors) -> bool:
    """Every tensor equal to the last bit, and finite."""
    equal = all(bool((t == theirs[name]).all()) for name, t in ours.items())
    return equal and _finite(ours)
