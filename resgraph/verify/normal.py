"""The normal form of a flow: one for all flows that the rules of `rewrites.py` call equal.

Each step is built by the rules from steps that are in normal form already; a rule may build
further steps in the same way. What is left over is dropped, and all is done again until
nothing changes, since a sum that is used once less may become part of another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resgraph.verify.calls import Label, label
from resgraph.verify.flow import INPUT, Flow, Step, identity, is_repeatable, live
from resgraph.verify.labels import COMMUTATIVE

Rule = Callable[["Builder", Step], int | None]
"""Where the step's value is, perhaps after building it; None: the rule does not apply."""

_LAYERS = ("conv2d", "linear", "batch_norm")
"""Ops that have weights."""
_NONNEGATIVE = frozenset({"relu", "sigmoid"})
_KEEPS_SIGN = frozenset(
    {
        *("add", "mul", "cat", "reshape", "slice", "subsample", "dropout"),
        *("max_pool2d", "avg_pool2d", "global_max_pool", "global_avg_pool"),
    }
)


@dataclass(frozen=True)
class Normal:
    """A flow in normal form, and where its steps come from."""

    steps: tuple[Step, ...]
    outputs: tuple[int, ...]
    place: Mapping[int, int]
    """Step of the flow -> the step here that has its value."""
    cause: tuple[int, ...]
    """The step of the flow for which each step here was built."""


def normal(flow: Flow, rules: Mapping[str, Sequence[Rule]]) -> Normal:
    """The flow's normal form under the rules, by the op that they apply to."""
    steps: Sequence[Step] = flow.steps
    outputs = flow.outputs
    place = {i: i for i in range(INPUT, len(steps))}
    cause = list(range(len(steps)))
    while True:
        made = Builder(flow.input, rules)
        moved = made.all_of(steps, outputs)
        kept, left = live(made.steps, [moved[i] for i in outputs])
        origin = {j: i for i, j in reversed(left.items())}
        cause = [cause[made.cause[origin[j]]] for j in range(len(kept))]
        place = {i: left[moved[j]] for i, j in place.items() if moved.get(j) in left}
        done = kept == list(steps)
        steps, outputs = kept, tuple(left[moved[i]] for i in outputs)
        if done:
            del place[INPUT]
            return Normal(tuple(steps), outputs, place, tuple(cause))


class Builder:
    """Steps in normal form, one after the other."""

    def __init__(
        self, image: tuple[int, ...], rules: Mapping[str, Sequence[Rule]]
    ) -> None:
        self.steps: list[Step] = []
        self.cause: list[int] = []
        self._image = image
        self._rules = rules
        self._uses: dict[int, int] = {}
        self._never_negative: list[bool] = []
        self._known: dict[Any, int] = {}
        self._current = 0

    def all_of(self, steps: Sequence[Step], outputs: Sequence[int]) -> dict[int, int]:
        """Build all the steps; returns where the value of each of them is."""
        uses = Counter(outputs)
        for step in steps:
            uses.update(step.inputs)
        place = {INPUT: INPUT}
        for i, step in enumerate(steps):
            self._current = i
            inputs = tuple(place[j] for j in step.inputs)
            same = inputs == step.inputs
            place[i] = j = self.add(step if same else replace(step, inputs=inputs))
            self._uses[j] = self._uses.get(j, 0) + uses[i]
        return place

    def add(self, step: Step) -> int:
        """Build a step by the first rule that applies, or as it is, unless it is there."""
        for rule in self._rules.get(step.op, ()) if _is_plain(step) else ():
            found = rule(self, step)
            if found is not None:
                return found
        if step.op in COMMUTATIVE and (order := sorted(step.inputs)) != [*step.inputs]:
            step = replace(step, inputs=tuple(order))
        if is_repeatable(step):
            known = self._known.setdefault(identity(step), len(self.steps))
            if known < len(self.steps):
                return known
        self.steps.append(step)
        self.cause.append(self._current)
        self._never_negative.append(self._is_never_negative(step))
        return len(self.steps) - 1

    def chain(self, like: Step, source: int, found: Sequence[Label]) -> int:
        """Build ops without weights, one after the other, in the scope of `like`.

        The shape of each is the label's, or else that of `like`.
        """
        for op, attributes, shape in found:
            shape = like.shape if shape is None else shape
            source = self.add(Step(op, attributes, (source,), (), like.scope, shape))
        return source

    def reshaped(self, like: Step, source: int) -> int:
        """A value in the shape of `like`."""
        return self.chain(like, source, [label("reshape", shape=like.shape)])

    def get(self, index: int, op: str) -> Step | None:
        """The step, if that is its op, and all that it reads is known."""
        if index == INPUT or self.steps[index].op != op:
            return None
        return self.steps[index] if _is_plain(self.steps[index]) else None

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of a value, without the batch."""
        return self._image if index == INPUT else self.steps[index].shape

    def used_once(self, index: int) -> bool:
        """Whether the value is read at one place alone."""
        return self._uses.get(index, 0) <= 1

    def never_negative(self, index: int) -> bool:
        """Whether the value is known to have no element below 0."""
        return index != INPUT and self._never_negative[index]

    def _is_never_negative(self, step: Step) -> bool:
        if step.op == "clamp":
            return bool(of(step, "min") >= 0)
        kept = step.op in _KEEPS_SIGN or (step.op == "pad" and not of(step, "value"))
        all_are = _is_plain(step) and all(map(self.never_negative, step.inputs))
        return step.op in _NONNEGATIVE or (kept and all_are)


def _is_plain(step: Step) -> bool:
    """Whether the step is what rules are about: values of the network's, and its layers.

    A sum of a value and a tensor of the module's own is none.
    """
    if not step.inputs or (step.weights and step.op not in _LAYERS):
        return False
    return not any(name in ("constant", "filled") for name, _ in step.attributes)


def of(step: Step, name: str, default: Any = None) -> Any:
    """An attribute of a step."""
    return next((value for key, value in step.attributes if key == name), default)


def chosen(step: Step, inputs: tuple[int, ...], **values: Any) -> Step:
    """The step with other inputs and some other attributes."""
    attributes = tuple((k, values.get(k, v)) for k, v in step.attributes)
    return replace(step, inputs=inputs, attributes=attributes)
