"""Rules of the normal form: sums, multiples and products."""

from __future__ import annotations

from dataclasses import replace

from resgraph.verify.arithmetic import affine
from resgraph.verify.calls import label
from resgraph.verify.flow import INPUT, Step
from resgraph.verify.normal import Builder, of

TINY = 1e-12
"""A factor up to this is what rounding leaves of 0."""


def stretched(made: Builder, step: Step) -> int | None:
    """Arithmetic repeats rows and columns by itself."""
    before = [made.get(j, "expand") for j in step.inputs]
    inputs = tuple(
        j if b is None else b.inputs[0]
        for j, b in zip(step.inputs, before, strict=True)
    )
    shapes = [made.shape(j) for j in inputs]
    ranks = {len(shape) for shape in shapes}
    if inputs == step.inputs or len(ranks) > 1:
        return None
    whole = tuple(map(max, *shapes)) == step.shape
    return made.add(replace(step, inputs=inputs)) if whole else None


def linear_form(made: Builder, step: Step) -> int | None:
    """Sums, differences and multiples: numbers times values, plus a number.

    A sum that is used elsewhere too stays a value of its own.
    """
    terms: dict[int, float] = {}
    offset = _collect(made, step, 1.0, terms)
    left = [(j, factor) for j, factor in terms.items() if abs(factor) > TINY]
    if not left:  # a number everywhere, whatever it was computed from: 0 * x and it
        left = [(j, 0.0) for j in (INPUT, *sorted(terms))]
        left = [pair for pair in left if made.shape(pair[0]) == step.shape][:1]
    if step.shape not in {made.shape(j) for j, _ in left}:
        return None  # what is left is smaller
    if len(left) == 1:
        ((source, factor),) = left
        found = affine(factor, offset)
    else:
        inputs = tuple(sorted(_scaled(made, step, j, c) for j, c in left))
        found = affine(1.0, offset)
        if step.op == "add" and inputs == tuple(sorted(step.inputs)) and not found:
            return None
        source = made.add(Step("add", (), inputs, (), step.scope, step.shape))
    if step.inputs == (source,) and found and step.attributes == found[0].attributes:
        return None
    return made.chain(step, source, found)


def _collect(
    made: Builder, step: Step, factor: float, terms: dict[int, float]
) -> float:
    """Add factor times the step to the terms; returns the number that is left over."""
    factors = [factor * of(step, "factor", 1.0)] * len(step.inputs)
    if step.op == "sub":
        factors[1] *= -of(step, "alpha")
    pairs = zip(step.inputs, factors, strict=True)
    over = sum(_term(made, j, c, terms) for j, c in pairs)
    return over + factor * float(of(step, "offset", 0.0))


def _term(made: Builder, index: int, factor: float, terms: dict[int, float]) -> float:
    """Add factor times a value to the terms, or what it is a sum of."""
    inner = made.get(index, "affine")
    if inner and (made.used_once(index) or not made.get(inner.inputs[0], "add")):
        return _collect(made, inner, factor, terms)
    total = made.get(index, "add") or made.get(index, "sub")
    if total and made.used_once(index):
        return _collect(made, total, factor, terms)
    terms[index] = terms.get(index, 0.0) + factor
    return 0.0


def _scaled(made: Builder, step: Step, index: int, factor: float) -> int:
    return made.chain(
        replace(step, shape=made.shape(index)), index, affine(factor, 0.0)
    )


def product(made: Builder, step: Step) -> int | None:
    """Products in one another are one, with their numbers in front.

    A product that is used elsewhere too stays a value of its own.
    """
    factor, inputs = 1.0, list[int]()
    for index in step.inputs:
        scale = made.get(index, "affine")
        if scale and not of(scale, "offset", 0.0):
            factor *= of(scale, "factor")
            (index,) = scale.inputs
        inner = made.get(index, "mul")
        inputs += inner.inputs if inner and made.used_once(index) else [index]
    if tuple(sorted(inputs)) == tuple(sorted(step.inputs)):
        return None
    product = made.add(replace(step, inputs=tuple(sorted(inputs))))
    return made.chain(step, product, affine(factor))


def silu(made: Builder, step: Step) -> int | None:
    """x * sigmoid(x) is silu(x)."""
    for place, index in enumerate(step.inputs):
        gate = made.get(index, "sigmoid")
        rest = [*step.inputs[:place], *step.inputs[place + 1 :]]
        if gate is None or gate.inputs[0] not in rest:
            continue
        (source,) = gate.inputs
        rest.remove(source)
        like = replace(step, shape=gate.shape)
        found = made.chain(like, source, [label("silu")])
        return made.add(replace(step, inputs=(found, *rest))) if rest else found
    return None
