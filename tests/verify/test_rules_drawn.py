"""Forms drawn at random: structures are equal where numbers are, and only there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from tests.verify.forms import (
    Form,
    Net,
    image,
    nets,
    runs,
    same_numbers,
    same_structure,
)


def both_or_neither(a: Form, b: Form, size: Sequence[int]) -> None:
    """Two forms have equal numbers just if they have one structure."""
    assume(runs(a, size) and runs(b, size))
    first, second = nets([a, b], training=True)
    x = image(size)
    equal = all(same_numbers(first, second, y) for y in (x, -x.abs()))
    assert same_structure(first, second, (4, *size)) == equal


@dataclass(frozen=True)
class Told:
    """A form that a failing example is told by."""

    text: str
    form: Form = field(repr=False)

    def __str__(self) -> str:
        return self.text

    def __call__(self, n: Net, x: Tensor) -> Tensor:
        return self.form(n, x)


@st.composite
def poolings(draw: st.DrawFn) -> Form:
    """Any pooling, after any padding of what changes no maximum, or of zeros for a mean."""
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, kernel // 2))
    ceil, counted = draw(st.booleans()), draw(st.booleans())
    before = draw(st.sampled_from([(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 0, 1)]))
    to = draw(st.sampled_from([(1, 1), (2, 2), (3, 3), (2, 3), (None, 1)]))
    kind = draw(st.sampled_from(["max", "mean", "adaptive max", "adaptive mean"]))
    pools: dict[str, Callable[[Tensor], Tensor]] = {
        "max": nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil),
        "mean": nn.AvgPool2d(kernel, stride, padding, ceil, counted),
        "adaptive max": nn.AdaptiveMaxPool2d(to),
        "adaptive mean": nn.AdaptiveAvgPool2d(to),
    }
    text = f"{pools[kind]} after {before}"
    value = -math.inf if "max" in kind else 0.0
    return Told(text, lambda n, x: pools[kind](functional.pad(x, before, value=value)))


@settings(max_examples=150, deadline=None)
@given(
    poolings(), poolings(), st.sampled_from([(1, 1), (2, 2), (3, 3), (4, 4), (4, 5)])
)
def test_poolings(a: Form, b: Form, size: tuple[int, int]) -> None:
    both_or_neither(a, b, size)


@st.composite
def convolutions(draw: st.DrawFn) -> Form:
    """One weight, in any convolution, after any padding of zeros."""
    before = draw(st.tuples(*[st.integers(-1, 2)] * 4))
    stride, dilation = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    named = ["valid", "same"] if stride == 1 else ["valid"]
    padding: Any = draw(st.sampled_from([0, 1, 2, (0, 1), *named]))
    chosen = stride, padding, dilation
    return Told(
        f"{chosen} after {before}",
        lambda n, x: functional.conv2d(
            functional.pad(x, before), n.conv.weight, n.conv.bias, *chosen
        ),
    )


@settings(max_examples=150, deadline=None)
@given(
    convolutions(), convolutions(), st.sampled_from([(2, 2), (4, 4), (5, 5), (4, 5)])
)
def test_convolutions(a: Form, b: Form, size: tuple[int, int]) -> None:
    both_or_neither(a, b, size)


TERMS: list[Form] = [lambda n, x: x, lambda n, x: n.conv(x), lambda n, x: n.other(x)]
LEAVES = st.integers(0, len(TERMS) - 1).map(lambda i: Told(f"v{i}", TERMS[i]))
FACTORS = st.sampled_from([-1, 0.5, 2, 3, 1 / 3])


def _of_one(form: Told, number: float) -> st.SearchStrategy[Told]:
    return st.sampled_from(
        [
            Told(f"{number} * {form}", lambda n, x: number * form(n, x)),
            Told(f"{form} / {number}", lambda n, x: form(n, x) / number),
            Told(f"{number} - {form}", lambda n, x: number - form(n, x)),
            Told(f"{form} + {number}", lambda n, x: form(n, x).add(number)),
            Told(f"-{form}", lambda n, x: -form(n, x)),
        ]
    )


def _of_two(a: Told, b: Told, alpha: float) -> st.SearchStrategy[Told]:
    return st.sampled_from(
        [
            Told(f"({a} + {b})", lambda n, x: a(n, x) + b(n, x)),
            Told(f"({a} - {b})", lambda n, x: a(n, x) - b(n, x)),
            Told(f"{a} + {alpha} {b}", lambda n, x: a(n, x).add(b(n, x), alpha=alpha)),
            Told(f"{a} - {alpha} {b}", lambda n, x: a(n, x).sub(b(n, x), alpha=alpha)),
            Told(
                f"mean({a}, {b})", lambda n, x: torch.stack([a(n, x), b(n, x)]).mean(0)
            ),
        ]
    )


SUMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, FACTORS).flatmap(lambda t: _of_one(*t)),
        st.tuples(inner, inner, FACTORS).flatmap(lambda t: _of_two(*t)),
    ),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(SUMS, SUMS)
def test_sums(a: Told, b: Told) -> None:
    both_or_neither(a, b, (3, 3))


@st.composite
def channels(draw: st.DrawFn) -> Told:
    """Parts of values and zeros behind one another, nested in any way."""
    texts, forms = [], []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, 3))
        stop = draw(st.integers(start + 1, 4))
        kind = draw(st.sampled_from(["x", "conv", "zeros", "pad", "nested"]))
        inner = draw(channels()) if kind == "nested" and len(texts) < 2 else None
        texts.append(f"{kind}[{start}:{stop}]{inner or ''}")
        forms.append(_piece(kind, start, stop, inner))
    return Told(
        f"({', '.join(texts)})", lambda n, x: torch.cat([f(n, x) for f in forms], 1)
    )


def _piece(kind: str, start: int, stop: int, inner: Told | None) -> Form:
    if inner is not None:
        return inner
    if kind == "conv":
        return lambda n, x: n.conv(x)[:, start:stop]
    if kind == "zeros":
        return lambda n, x: torch.zeros_like(x[:, start:stop])
    if kind == "pad":
        return lambda n, x: functional.pad(x, (0, 0, 0, 0, start, 4 - stop))
    return lambda n, x: x[:, start:stop]


@settings(max_examples=100, deadline=None)
@given(channels(), channels())
def test_concatenations(a: Told, b: Told) -> None:
    both_or_neither(a, b, (2, 2))
