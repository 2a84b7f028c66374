"""The graph of steps that a network's computation is: what is traced, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch import Tensor

from resgraph.verify import windows
from resgraph.verify.calls import AS_WRITTEN
from resgraph.verify.labels import COMMUTATIVE, RANDOM
from resgraph.verify.windows import Shown

INPUT = -1
"""The network's input, among the inputs of a step."""


_ROLES = ("weight", "bias", "running_mean", "running_var")
"""Tensors that go without saying, by what they are to a layer."""
_USUAL = (("training", True), ("training", False), ("groups", 1))


@dataclass(frozen=True)
class Step:
    """One op in a network: what it computes, from which steps, with which tensors."""

    op: str
    attributes: tuple[tuple[str, Any], ...]
    inputs: tuple[int, ...]
    """Indices of earlier steps, or `INPUT`."""
    weights: tuple[tuple[str, str, tuple[int, ...]], ...]
    """(role, name in the state_dict, shape) of each tensor of the module that it reads."""
    scope: str
    """The part of the network that computes it: a module's name, or a node's."""
    shape: tuple[int, ...]
    """Of its value, without the batch."""

    @property
    def kind(self) -> tuple[Any, ...]:
        """All but the names."""
        shapes = tuple((role, shape) for role, _, shape in self.weights)
        return (self.op, self.attributes, shapes)

    def __str__(self) -> str:
        chosen = [_short(k, v) for k, v in self.attributes if (k, v) not in _USUAL]
        shapes = {role: shape for role, _, shape in self.weights}
        sizes = ["x".join(map(str, shapes["weight"]))] if "weight" in shapes else []
        bias = ["bias"] if self.op in ("conv2d", "linear") and "bias" in shapes else []
        own = [name for role, name, _ in self.weights if role not in _ROLES]
        return f"{self.op}({', '.join([*sizes, *bias, *own, *chosen])})"


@dataclass(frozen=True)
class Flow:
    """The steps that reach a network's outputs, in the order of their execution."""

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    """The step of each output, or `INPUT`."""
    sequence: str
    """Digest of all that was called, in order: equal ones do the same to the last bit."""
    input: tuple[int, ...] = ()
    """The shape of an image."""
    values: tuple[Tensor, ...] = field(default=(), repr=False)
    """The value of each step, where they were asked for."""
    fixed: frozenset[str] = frozenset()
    """The tensors of the module that are not trained."""
    draws: tuple[int, ...] = ()
    """The step of each mask that dropout draws, in order; `INPUT` where it is for nothing."""
    names: tuple[str, ...] = ()
    """What the network calls each output; '' where it has no name."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the outputs, without the batch."""
        return tuple(
            self.input if i == INPUT else self.steps[i].shape for i in self.outputs
        )


@dataclass(frozen=True)
class Flows:
    """A network's flow in training and at inference."""

    training: Flow
    inference: Flow


def live(
    steps: Sequence[Step], outputs: Sequence[int]
) -> tuple[list[Step], dict[int, int]]:
    """The steps that reach an output, equal ones as one where they have equal values.

    Returns them, and where each of `steps` that is needed is among them.
    """
    needed = {*outputs}
    for i in range(len(steps) - 1, -1, -1):
        if i in needed:
            needed.update(steps[i].inputs)
    place = {INPUT: INPUT}
    kept: list[Step] = []
    known: dict[Any, int] = {}
    for i, step in enumerate(steps):
        if i not in needed:
            continue
        inputs = tuple(place[j] for j in step.inputs)
        if step.op in COMMUTATIVE:
            inputs = tuple(sorted(inputs))
        moved = step if inputs == step.inputs else replace(step, inputs=inputs)
        place[i] = len(kept)
        if is_repeatable(moved):
            place[i] = known.setdefault(identity(moved), len(kept))
        if place[i] == len(kept):
            kept.append(moved)
    return kept, place


def identity(step: Step) -> tuple[Any, ...]:
    """What makes two steps one, if they are repeatable: the same done to the same."""
    return step.op, step.attributes, step.inputs, step.weights


def is_repeatable(step: Step) -> bool:
    """Whether the step done again gives the same, and changes nothing else."""
    by_chance = step.op.removeprefix(AS_WRITTEN) in RANDOM
    return not by_chance and ("training", True) not in step.attributes


def _short(name: str, value: Any) -> str:
    """An attribute as it is printed; equal numbers for both axes once."""
    if isinstance(value, Shown):
        return value.text
    if name == "taps":
        return windows.words(value)
    if isinstance(value, tuple) and len(value) == 2:
        first, second = map(str, value)
        return f"{name}={first}" if first == second else f"{name}=({first}, {second})"
    if isinstance(value, float) and float(single := np.float32(value)) == value:
        return f"{name}={single!s}"  # a number of a model, which holds no more digits
    return f"{name}={value}"
