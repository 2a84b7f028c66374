"""Rounding errors as random numbers: a network run as another kernel might have computed it.

Each op's result is disturbed by noise of the unit roundoff times the root of its number of
terms, forwards and backwards, in float64 (Higham and Mary 2019, *A New Approach to
Probabilistic Rounding Error Analysis*: independent errors of mean zero grow as the root of
their number). How far the runs are apart says what rounding alone may do to each number of
this network; docs/verification.md states what is assumed.

One rounding to the nearest is off by at most the unit roundoff, and taken to be uniform: its
standard deviation is the unit roundoff over the root of 3. Terms: a convolution or a linear
layer sums its fan-in, for the gradients its fan-out or the positions of all images; a mean its
window. BN multiplies by one number per channel and adds another, both rounded once for all
positions, and rounds both products; in training the number that it divides by is a sum over
the positions of all images. Additions and products are rounded once. ReLU, max pooling and
what only moves values are exact.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from resgraph.verify.calls import function_name, named, pair

DOUBLE, SINGLE = 2.0**-53, 2.0**-24
"""Unit roundoffs of float64 and float32."""
_EXACT = frozenset(
    {"relu", "clamp", "maximum", "minimum", "max_pool2d", "adaptive_max_pool2d", "abs"}
    | {"view", "getitem", "pad", "cat", "stack", "chunk", "split", "unbind", "narrow"}
    | {
        "permute",
        "transpose",
        "unsqueeze",
        "expand",
        "expand_as",
        "contiguous",
        "clone",
    }
    | {"alias", "detach", "requires_grad_", "to", "float", "double", "type", "type_as"}
    | {"dropout", "identity", "neg", "zeros", "zeros_like", "ones", "ones_like"}
    | {"new_zeros", "empty_like"}
)
"""What is rounded nowhere."""
_UNKNOWN = 4.0
"""Roundings in a function of which nothing is known, such as an exponential."""
_ROW = 1 << 20


@dataclass
class _Value:
    """What is known of a value before its gradient comes: how that will be summed."""

    terms: float = 1.0
    """Of the largest sum that makes the gradient."""
    scaled: list[tuple[Tensor, _Value]] = field(default_factory=list)
    """BNs that read it: their scale per channel, and their own value."""
    divided: list[Tensor] = field(default_factory=list)
    """Of those in training: what their deviation per channel is off by, relatively."""
    size: Tensor | None = None
    """The gradient's root mean square in each channel, once it has come."""


class Rounding(TorchFunctionMode):
    """While it is active, every op of torch is disturbed, and every gradient after it.

    `unit` is the unit roundoff. With `folding`, the weights of convolutions are disturbed
    too: runtimes multiply a BN's scale into them, rounding each once.
    """

    def __init__(self, unit: float, seed: int, folding: bool = False) -> None:
        super().__init__()
        self.deviation, self.folding = unit / sqrt(3), folding
        self._random = random.Random(seed)
        self._generator = torch.Generator().manual_seed(seed)
        self._row = torch.empty(0)
        self._values: dict[int, _Value] = {}
        self._alive: list[Tensor] = []  # so that no id comes twice
        self._handles: list[Any] = []

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = function_name(func)
        arguments = named(name, args, kwargs or {})
        result = func(*args, **(kwargs or {}))
        if (
            not isinstance(result, Tensor)
            or not result.is_floating_point()
            or name.startswith("get ")
        ):
            return result
        value = self._value(result)
        if name not in _EXACT:
            _RULES.get(name, _pointwise)(self, arguments, result.data, value)
        return result

    # --- noise ------------------------------------------------------------------------

    def normal(self, like: Tensor) -> Tensor:
        """Normal numbers of a tensor's shape, from a random place of one long row."""
        count = like.numel()
        if self._row.numel() < 2 * count or self._row.dtype != like.dtype:
            length = max(_ROW, 2 * count)
            row = torch.empty(length, dtype=like.dtype)
            self._row = row.normal_(generator=self._generator)
        start = self._random.randrange(self._row.numel() - count + 1)
        return self._row[start : start + count].view(like.shape)

    def disturb(self, values: Tensor, size: Tensor, terms: float = 1.0) -> None:
        """Add noise to each element, of a size per element or per channel, in place."""
        step = self.deviation * sqrt(terms)
        values.addcmul_(size, self.normal(values), value=step)

    def shift(self, values: Tensor, size: Tensor, by: Tensor | float = 1.0) -> None:
        """Add to all positions of a channel the same noise, times `by`, in place."""
        values.add_(self.normal(size) * size * by, alpha=self.deviation)

    def rounded_sum(self, values: Tensor, terms: float) -> None:
        """Disturb sums, relative to themselves and to what is usual beside them.

        A sum that happens to be small had terms that were not.
        """
        if terms > 1:
            self.disturb(values, _size(values), terms)
        self.disturb(values, values, terms)

    # --- gradients --------------------------------------------------------------------

    def _value(self, result: Tensor) -> _Value:
        value = _Value()
        if result.requires_grad:
            self._alive.append(result)
            self._values[id(result)] = value
            self._hook(result, partial(self._arrive, value))
        return value

    def _arrive(self, value: _Value, gradient: Tensor) -> Tensor:
        """The gradient of a value, disturbed as the sums that made it were rounded."""
        value.size = _size(gradient)
        gradient = gradient.clone()
        for scale, out in value.scaled:
            if out.size is not None:
                terms = scale * out.size
                self.disturb(gradient, terms)
                self.shift(gradient, terms)
        for off in value.divided:
            self.shift(gradient, off, gradient.clone())
        self.rounded_sum(gradient, value.terms)
        return gradient

    def read(self, tensor: Any, terms: float) -> _Value | None:
        """Note that the gradient of a value will be a sum of so many terms."""
        value = self._values.get(id(tensor))
        if value is not None:
            value.terms = max(value.terms, terms)
        return value

    def weight(self, weight: Any, positions: float, out: _Value) -> None:
        """Disturb a weight's gradient, a sum over so many positions of all images."""
        if isinstance(weight, Tensor) and weight.requires_grad:
            self._hook(weight, partial(self._summed, positions, out))

    def _hook(self, tensor: Tensor, hook: Callable[[Tensor], Tensor]) -> None:
        """Let the hook change the tensor's gradient when it comes."""
        handle = tensor.register_hook(hook)  # type: ignore[no-untyped-call]
        self._handles.append(handle)

    def _summed(self, positions: float, out: _Value, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        if gradient.dim() == 1 and out.size is not None and out.size.dim():
            # Terms that cancel: the gradient of a bias before BN is 0 in theory.
            self.disturb(gradient, out.size.view(-1) * sqrt(positions), positions)
        self.rounded_sum(gradient, positions)
        return gradient


def _size(values: Tensor) -> Tensor:
    """Root mean square: of each channel of maps, of the whole of anything else."""
    dims, count = None, max(1, values.numel())
    if values.dim() == 4:
        dims, count = _axes(values), count // values.shape[1]
    norms: Tensor = torch.linalg.vector_norm(values, dim=dims, keepdim=dims is not None)
    return norms / sqrt(count)


# --- ops ------------------------------------------------------------------------------

Arguments = Mapping[str, Any]
Rule = Callable[[Rounding, Arguments, Tensor, _Value], None]
"""(mode, the call's arguments, its result's data, its result's value)"""


def _conv(mode: Rounding, given: Arguments, result: Tensor, value: _Value) -> None:
    weight, groups = given["weight"], given.get("groups", 1)
    rows, columns = pair(given.get("stride", 1))
    fan_out = weight.numel() / weight.shape[1] / groups / (rows * columns)
    positions = result.numel() / result.shape[1]
    mode.read(given["input"], max(1.0, fan_out))
    mode.weight(weight, positions, value)
    mode.weight(given.get("bias"), positions, value)
    if mode.folding:
        folded = weight.detach().clone()
        mode.disturb(folded, folded)
        result.copy_(functional.conv2d(**{**given, "weight": folded}))
    mode.rounded_sum(result, weight[0].numel())


def _linear(mode: Rounding, given: Arguments, result: Tensor, value: _Value) -> None:
    weight = given["weight"]
    images = result.numel() / result.shape[-1]
    mode.read(given["input"], weight.shape[0])
    mode.weight(weight, images, value)
    mode.weight(given.get("bias"), images, value)
    mode.rounded_sum(result, weight.shape[-1])


def _batch_norm(
    mode: Rounding, given: Arguments, result: Tensor, value: _Value
) -> None:
    x = given["input"].detach()
    axes, positions = _axes(x), x.numel() / x.shape[1]
    training = bool(given.get("training")) or given.get("running_mean") is None
    if training:
        variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    else:
        mean, variance = (
            _channel(given[name], x) for name in ("running_mean", "running_var")
        )
    scale = (variance + given.get("eps", 1e-5)).rsqrt()
    if isinstance(given.get("weight"), Tensor):
        scale = scale * _channel(given["weight"], x)
    shift = -mean * scale
    if isinstance(given.get("bias"), Tensor):
        shift = shift + _channel(given["bias"], x)
    mode.shift(result, scale, x)
    mode.shift(result, shift)
    mode.disturb(result, x * scale)
    mode.disturb(result, shift)
    mode.disturb(result, result)
    source = mode.read(given["input"], 1)
    if source is not None:
        source.scaled.append((scale, value))
    if training:
        of_mean = (variance + positions * mean.square()).sqrt()
        terms = _squares(x)
        mode.shift(result, of_mean * scale)
        mode.shift(result, terms / 2 * scale, x - mean)
        _statistics(mode, given, of_mean, variance * terms)
        if source is not None:
            source.divided.append(terms / 2)
    mode.weight(given.get("weight"), positions, value)
    mode.weight(given.get("bias"), positions, value)


def _squares(x: Tensor) -> Tensor:
    """What a sum over a channel's squares is rounded by, in units of the sum.

    The root of the number of terms where they differ. Equal ones, which ReLU and other clamps
    make of the least and the largest, are rounded alike one after the other: their errors have
    one sign, and grow as their number. Of the standard deviation it is half of that.
    """
    axes, count = _axes(x), x.numel() / x.shape[1]
    ends = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
    equal = [(x == end).sum(axes, keepdim=True).to(x.dtype) for end in ends]
    return (count + equal[0].square() + equal[1].square()).sqrt()


def _statistics(
    mode: Rounding, given: Arguments, of_mean: Tensor, of_variance: Tensor
) -> None:
    """The running statistics, which the batch's own have gone into."""
    share = given.get("momentum", 0.1) or 0.0
    for name, size in (("running_mean", of_mean), ("running_var", of_variance)):
        if isinstance(buffer := given.get(name), Tensor):
            mode.disturb(buffer.data, share * size.view(buffer.shape))
            mode.disturb(buffer.data, buffer.data)


def _axes(x: Tensor) -> tuple[int, ...]:
    """All but that of the channels."""
    return (0, *range(2, x.dim()))


def _channel(values: Tensor, x: Tensor) -> Tensor:
    """One number per channel, to be used with a value of this rank."""
    return values.detach().view(1, -1, *[1] * (x.dim() - 2))


def _averaged(mode: Rounding, given: Arguments, result: Tensor, value: _Value) -> None:
    x = given.get("input")
    terms = x.numel() / result.numel() if isinstance(x, Tensor) else 1.0
    if "kernel_size" in given:
        rows, columns = pair(given["kernel_size"])
        terms = float(rows * columns)
    mode.rounded_sum(result, terms)


def _merged(mode: Rounding, given: Arguments, result: Tensor, value: _Value) -> None:
    """Sums and products; one value for many positions has a sum over them for its gradient."""
    operands = [v for v in given.values() if isinstance(v, Tensor)]
    for i, operand in enumerate(operands):
        positions = result.numel() / max(1, operand.numel())
        source = mode.read(operand, positions)
        if source is not None and positions > 1 and len(operands) == 2:
            other = operands[1 - i].detach()
            source.scaled.append((positions * _size(other), value))
    mode.disturb(result, result)


def _product(mode: Rounding, given: Arguments, result: Tensor, value: _Value) -> None:
    first = next((v for v in given.values() if isinstance(v, Tensor)), None)
    terms = first.shape[-1] if first is not None and first.dim() else 1
    mode.read(first, terms)
    mode.rounded_sum(result, terms)


def _cross_entropy(
    mode: Rounding, given: Arguments, result: Tensor, value: _Value
) -> None:
    """Probabilities minus labels: of numbers up to 1 over the batch, however small it is."""
    logits = next(v for v in given.values() if isinstance(v, Tensor))
    source = mode.read(logits, logits.shape[-1])
    if source is not None:
        one = torch.ones((), dtype=logits.dtype)
        source.scaled.append((one / len(logits), _Value(size=one)))
    mode.disturb(result, result, _UNKNOWN)


def _pointwise(mode: Rounding, given: Arguments, result: Tensor, value: _Value) -> None:
    mode.disturb(result, result, _UNKNOWN)


def _sigmoid(mode: Rounding, given: Arguments, result: Tensor, value: _Value) -> None:
    """Runtimes compute it as an odd function plus a half: near 0 it is rounded as the half is."""
    size = torch.ones_like(result) if mode.folding else result
    mode.disturb(result, size, _UNKNOWN)


_RULES: dict[str, Rule] = {
    "sigmoid": _sigmoid,
    "conv2d": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "cross_entropy": _cross_entropy,
    **dict.fromkeys(("mean", "sum", "avg_pool2d", "adaptive_avg_pool2d"), _averaged),
    **dict.fromkeys(("matmul", "mm", "bmm"), _product),
    **dict.fromkeys(("add", "sub", "rsub", "mul", "div"), _merged),
}
