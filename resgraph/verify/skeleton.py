"""Which tensor is which in two networks whose structures are not proven to be one.

A network's skeleton is what its tensors are used for, whatever is done between: a chain of
tensors, by their shapes, that forks and joins as the values do. Networks that differ by a
spelling have the same one, and can then be compared in numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

from resgraph.verify.flow import INPUT, Flow, Flows, Step
from resgraph.verify.isomorphism import Match, in_order_of, pairing
from resgraph.verify.normal import Normal
from resgraph.verify.rewrites import normalised

_JOIN = "add"  # its operands come in any order


def alike(ours: Flows, theirs: Flows) -> Mapping[str, str] | None:
    """Our names -> theirs; None if the tensors are not used alike.

    BN's statistics are used at inference alone, as one may write it; and what is not trained
    may be a constant.
    """
    modes = [
        (mine, in_order_of(mine, other))
        for mine, other in (
            (ours.inference, theirs.inference),
            (ours.training, theirs.training),
        )
    ]
    for is_constant in (_never, _is_number, _is_untrained):
        for flows in modes:
            found = pairing(*(_skeleton(flow, is_constant) for flow in flows))
            if isinstance(found, Match):
                return found.weights
    return _in_order(ours.training, theirs.training)


_Tensor = tuple[str, str, tuple[int, ...]]
"""What it is to a layer, its name, its shape."""


def _never(tensor: _Tensor, flow: Flow) -> bool:
    return False


def _is_number(tensor: _Tensor, flow: Flow) -> bool:
    return tensor[1] in flow.fixed and prod(tensor[2]) == 1


def _is_untrained(tensor: _Tensor, flow: Flow) -> bool:
    return tensor[1] in flow.fixed and tensor[0] not in ("running_mean", "running_var")


def _skeleton(flow: Flow, is_constant: Callable[[_Tensor, Flow], bool]) -> Normal:
    """The steps that use tensors, and those at which several values meet.

    What is made of tensors alone, such as a transposed weight, is used where it meets a value.
    """
    form = normalised(flow)
    bones = _Bones()
    at: dict[int, _Value] = {INPUT: _Value({INPUT})}
    for i, step in enumerate(form.steps):
        values = [at[j] for j in step.inputs]
        found = _Value(
            {place for value in values for place in value.places},
            [tensor for value in values for tensor in value.tensors],
        )
        found.tensors += [
            (name, shape)
            for role, name, shape in step.weights
            if not is_constant((role, name, shape), flow)
        ]
        at[i] = bones.added(found)
    outputs = tuple(next(iter(at[i].places), INPUT) for i in form.outputs)
    return Normal(tuple(bones.steps), outputs, {}, ())


@dataclass
class _Value:
    """What a value is computed from: places in the skeleton, then tensors."""

    places: set[int]
    tensors: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)


class _Bones:
    """Steps without what they compute, equal ones once."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._known: dict[Step, int] = {}

    def added(self, value: _Value) -> _Value:
        """The value at one place; as it is where no value of the network's is in it."""
        if not value.places:
            return value
        if len(value.places) > 1:
            places = tuple(sorted(value.places))
            place = self._add(Step(_JOIN, (), places, (), "", ()))
        else:
            (place,) = value.places
        for name, shape in value.tensors:
            weights = (("", name, _plain(shape)),)
            place = self._add(Step("tensor", (), (place,), weights, "", ()))
        return _Value({place})

    def _add(self, step: Step) -> int:
        place = self._known.setdefault(step, len(self.steps))
        if place == len(self.steps):
            self.steps.append(step)
        return place


def _plain(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without axes of one: a scale of BN may stand as [C, 1, 1]."""
    return tuple(n for n in shape if n != 1)


def _in_order(ours: Flow, theirs: Flow) -> dict[str, str] | None:
    """The tensors paired in the order of their first use, if their shapes agree all along."""
    mine, others = (
        {name: shape for step in flow.steps for _, name, shape in step.weights}
        for flow in (ours, theirs)
    )
    same = list(mine.values()) == list(others.values())
    return dict(zip(mine, others, strict=True)) if same else None
