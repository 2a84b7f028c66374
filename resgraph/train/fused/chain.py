"""Rows of BN-ReLU-convolutions, put off until something else reads them, as one step.

A convolution of a waiting BN-ReLU is itself not done at once. Where a BN and ReLU read it, and
another convolution these, the row grows; where it is added to a map of its shape, or anything
else reads it, it is done. So a step knows what comes before and behind each BN: its sums are
taken as its input is written, the addition is done there, too, and backward the gradient of
BN's input is never written, but computed as it is read.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from resgraph.train.fused import ops
from resgraph.train.fused.ops import Gradient, Layer, Window

_ADDITIONS = (torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__)
_MOST = 2**31  # elements: kernels count in 32 bits


@dataclass(frozen=True)
class Link:
    """A BN-ReLU-convolution."""

    bn: nn.BatchNorm2d
    weight: Tensor
    window: Window
    counted: Callable[[], bool]
    """False the first time that it is asked, which is when running statistics go on."""


class Chain:
    """A row of them on x, not computed yet."""

    def __init__(self, x: Tensor, links: tuple[Link, ...]) -> None:
        self.x, self.links = x, links
        self._value: Tensor | None = None

    def then(self, link: Link) -> Chain:
        """One longer; it begins anew at what is computed already."""
        if self._value is not None:
            return Chain(self._value, (link,))
        return Chain(self.x, (*self.links, link))

    @property
    def shape(self) -> torch.Size:
        """The output's."""
        n, _, h, w = self.x.shape
        for link in self.links:
            h, w = link.window.over(h), link.window.over(w)
        return torch.Size((n, self.links[-1].weight.shape[0], h, w))

    @property
    def dtype(self) -> torch.dtype:
        return self.x.dtype

    @property
    def device(self) -> torch.device:
        return self.x.device

    def value(self) -> Tensor:
        """Its output."""
        if self._value is None:
            self._value = _computed(self, None)
        return self._value

    def plus(self, other: Any) -> Tensor:
        """Its output and a map, added as it is written if the two are alike."""
        other = other.value() if isinstance(other, Chain) else other
        fits = (
            self._value is None
            and isinstance(other, Tensor)
            and other.shape == self.shape
            and other.dtype == self.dtype
            and other.device == self.device
        )
        if fits:
            return _computed(self, other)
        result: Tensor = self.value() + other
        return result

    __add__ = __radd__ = plus

    def __getattr__(self, name: str) -> Any:
        return getattr(self.value(), name)

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function in _ADDITIONS and len(args) == 2 and not kwargs:
            one, other = args
            return one.plus(other) if isinstance(one, cls) else other.plus(one)
        kwargs = {k: _plain(v) for k, v in (kwargs or {}).items()}
        return function(*map(_plain, args), **kwargs)


def _plain(value: Any) -> Any:
    if isinstance(value, Chain):
        return value.value()
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    return value


def _delegated(name: str) -> Callable[..., Any]:
    function = getattr(operator, name.strip("_").removeprefix("r"), None)

    def call(self: Chain, *others: Any) -> Any:
        # The reflected ones are torch's own, too: number - tensor is Tensor.__rsub__.
        if function is None or name.startswith("__r"):
            return getattr(self.value(), name)(*others)
        return function(self.value(), *others)

    return call


for _name in ("sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "neg", "pow"):
    setattr(Chain, f"__{_name}__", _delegated(f"__{_name}__"))


def takes(
    x: Tensor | Chain, bn: nn.BatchNorm2d, weight: Tensor, *geometry: Any
) -> bool:
    """Whether there are kernels for a BN-ReLU-convolution; `geometry` is conv2d's."""
    bias, stride, padding, dilation, groups = geometry
    square = weight.dim() == 4 and weight.shape[2] == weight.shape[3]
    return (
        square
        and bias is None
        and groups == 1
        and tuple(dilation) == (1, 1)
        and _same(stride)
        and _same(padding)
        and padding[0] < weight.shape[2]
        and bn.affine
        and bn.momentum is not None
        and _float32(bn.weight, bn.bias)
        and weight.dtype in (torch.float32, x.dtype)
        and x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        and max(x.shape.numel(), weight.numel()) < _MOST
        and x.shape.numel() // x.shape[1] * weight.shape[0] < _MOST
        and x.shape.numel() // x.shape[1] > 1
    )


def _same(pair: Any) -> bool:
    return isinstance(pair, tuple) and len(pair) == 2 and pair[0] == pair[1]


def _float32(*tensors: Tensor) -> bool:
    return all(t.dtype == torch.float32 for t in tensors)


def _computed(chain: Chain, residual: Tensor | None) -> Tensor:
    links, x = chain.links, chain.x
    parameters = [p for k in links for p in (k.bn.weight, k.bn.bias, k.weight)]
    # The input itself as residual: its gradient is added where the input's is written.
    own = residual is x
    y, parts = _Chained.apply(links, own, x, None if own else residual, *parameters)  # type: ignore[no-untyped-call]
    y.resgraph_moments = (y._version, parts)
    result: Tensor = y
    return result


def _moments(x: Tensor) -> Tensor:
    """A map's moments, which the step that wrote it may have left with it."""
    version, parts = getattr(x, "resgraph_moments", (-1, x))
    if version == x._version:
        return parts
    return ops.moments(ops.channels_last(x))


class _Chained(Function):
    @staticmethod
    def forward(
        ctx: Any,
        links: Sequence[Link],
        own: bool,
        x: Tensor,
        residual: Tensor | None,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        parts = _moments(x)
        maps, norms, packed = [ops.channels_last(x)], list[Tensor](), list[Tensor]()
        added = maps[0] if own else residual
        for index, link in enumerate(links):
            last = index == len(links) - 1
            count = not link.counted()
            norm, weight = ops.prepare(parts, link.bn, link.weight, maps[-1], count)
            norms.append(norm)
            packed.append(weight)
            y, parts = ops.convolve(
                maps[-1],
                norm,
                weight,
                link.window,
                ops.channels_last(added) if last and added is not None else None,
            )
            maps.append(y)
        ctx.windows, ctx.own, ctx.residual = (
            [link.window for link in links],
            own,
            residual is not None,
        )
        ctx.save_for_backward(*maps[:-1], *norms, *parameters[2::3], *packed)
        ctx.mark_non_differentiable(parts)
        ctx.set_materialize_grads(False)
        return maps[-1], parts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        count = len(ctx.windows)
        saved = ctx.saved_tensors
        kinds = (saved[i * count : (i + 1) * count] for i in range(4))
        layers = list(map(Layer, *kinds, ctx.windows))
        gradient = ops.channels_last(gradient)
        g, results = Gradient(gradient), list[Tensor]()
        for index, layer in reversed(list(enumerate(layers))):
            found = ops.gradients(layer, g, keep=index > 0)
            results = [found.to_gamma, found.to_beta, found.to_weight, *results]
            if found.d is not None:
                g = Gradient(found.d, layer.x, found.back)
        to_x = None
        if ctx.needs_input_grad[2]:
            own = gradient if ctx.own else None
            to_x = ops.to_input(layers[0], found, own)
        to_residual = gradient if ctx.residual else None
        return None, None, to_x, to_residual, *results
