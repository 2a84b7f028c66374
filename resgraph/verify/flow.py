"""The graph of steps that a network's computation is: what is traced, and compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from resgraph.verify.labels import COMMUTATIVE, RANDOM

INPUT = -1
"""The network's input, among the inputs of a step."""


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
        chosen = [f"{k}={_short(v)}" for k, v in self.attributes if k != "training"]
        shape = next((s for r, _, s in self.weights if r == "weight"), None)
        sizes = ["x".join(map(str, shape))] if shape else []
        return f"{self.op}({', '.join([*sizes, *chosen])})"


@dataclass(frozen=True)
class Flow:
    """The steps that reach a network's output, in the order of their execution."""

    steps: tuple[Step, ...]
    output: int
    sequence: str
    """Digest of all that was called, in order: equal ones do the same to the last bit."""
    values: tuple[Tensor, ...] = field(default=(), repr=False)
    """The value of each step, where they were asked for."""


def live(steps: Sequence[Step], output: int) -> tuple[list[Step], int, list[int]]:
    """The steps that reach the output, equal ones without weights or chance as one.

    Returns them, the output among them, and which of `steps` each of them was.
    """
    needed = {output}
    for i in range(len(steps) - 1, -1, -1):
        if i in needed:
            needed.update(steps[i].inputs)
    place = {INPUT: INPUT}
    kept: list[Step] = []
    origin: list[int] = []
    known: dict[Any, int] = {}
    for i, step in enumerate(steps):
        if i not in needed:
            continue
        inputs = tuple(place[j] for j in step.inputs)
        if step.op in COMMUTATIVE:
            inputs = tuple(sorted(inputs))
        key = (step.op, step.attributes, inputs)
        if not step.weights and step.op not in RANDOM:
            if key in known:
                place[i] = known[key]
                continue
            known[key] = len(kept)
        place[i] = len(kept)
        kept.append(replace(step, inputs=inputs))
        origin.append(i)
    return kept, place[output], origin


def _short(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
        return str(value[0])
    return str(value)
