"""BN, ReLU and the convolution that reads them, as one step that keeps BN's input alone.

Plainly, BN keeps its input and the convolution its own, the activation, which is as large.
Here the activation is forgotten after the forward pass and computed once more when the
convolution's gradient needs it: half the memory, for a pass over the map that costs less
than a convolution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

_aten = torch.ops.aten


class PendingBatchNorm2d(nn.BatchNorm2d):
    """A BN that, in training, waits for the ReLU and the convolution behind it."""

    @classmethod
    def adopt(cls, bn: nn.Module) -> None:
        """Make a BatchNorm2d one of these. Raises `TypeError` for any other module."""
        if type(bn) is not nn.BatchNorm2d:
            raise TypeError(f"a {type(bn).__name__} is no nn.BatchNorm2d")
        bn.__class__ = cls

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(input)
        # What generated code does with it next goes through __torch_function__.
        return _Pending(self, input)  # type: ignore[return-value]


class _Pending:
    """BN of a value, or its ReLU, not computed yet."""

    def __init__(self, bn: nn.BatchNorm2d, x: Tensor, relu: bool = False) -> None:
        self.bn, self.x, self.relu = bn, x, relu

    def value(self) -> Tensor:
        """It, computed plainly, for whatever is no ReLU and no convolution."""
        y = nn.BatchNorm2d.forward(self.bn, self.x)
        return torch.relu(y) if self.relu else y

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        first, *others = args
        if isinstance(first, cls) and not kwargs:
            if function is torch.relu and not first.relu:
                return cls(first.bn, first.x, relu=True)
            if function is torch.conv2d and first.relu:
                return _convolved(first, *others)
        plain = (a.value() if isinstance(a, cls) else a for a in args)
        return function(*plain, **(kwargs or {}))


def _convolved(
    a: _Pending,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    """conv2d of the activation, by `_BnReluConv`; `nn.Conv2d` gives all arguments."""
    bn, x = a.bn, a.x
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    if bn.track_running_stats and bn.num_batches_tracked is not None:
        bn.num_batches_tracked.add_(1)
    geometry = (stride, padding, dilation, groups)
    result: Tensor = _BnReluConv.apply(
        x, bn.weight, bn.bias, weight, bias, bn, geometry
    )  # type: ignore[no-untyped-call]
    return result


class _BnReluConv(Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gamma: Tensor,
        beta: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        bn: nn.BatchNorm2d,
        geometry: tuple[Any, Any, Any, int],
    ) -> Tensor:
        tracked = bn.track_running_stats
        normalised, mean, inverse = torch.native_batch_norm(
            x,
            gamma,
            beta,
            bn.running_mean if tracked else None,
            bn.running_var if tracked else None,
            True,
            bn.momentum or 0.0,
            bn.eps,
        )
        ctx.save_for_backward(x, gamma, beta, weight, mean, inverse)
        ctx.bias_sizes = None if bias is None else list(bias.shape)
        ctx.eps, ctx.geometry = bn.eps, geometry
        return torch.conv2d(normalised.relu_(), weight, bias, *geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, gamma, beta, weight, mean, inverse = ctx.saved_tensors
        activation = _normalised(x, gamma, beta, mean, inverse).relu_()
        stride, padding, dilation, groups = ctx.geometry
        to_activation, to_weight, to_bias = _aten.convolution_backward(
            gradient,
            activation,
            weight,
            ctx.bias_sizes,
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            groups,
            [True, True, ctx.bias_sizes is not None],
        )
        cut = _aten.threshold_backward(to_activation, activation, 0)
        to_x, to_gamma, to_beta = _aten.native_batch_norm_backward(
            cut, x, gamma, None, None, mean, inverse, True, ctx.eps, [True] * 3
        )
        return to_x, to_gamma, to_beta, to_weight, to_bias, None, None


def _normalised(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, inverse: Tensor
) -> Tensor:
    """BN by given statistics: bitwise what the training kernel of the CPU computed.

    That kernel multiplies by `scale` and adds `shift`, which it computes with one rounding;
    the inference kernel does the same to a map whose mean is 0 and whose variance is 1.
    """
    scale = inverse * gamma
    shift = (beta.double() - mean.double() * scale.double()).to(beta.dtype)
    zero, one = torch.zeros_like(mean), torch.ones_like(mean)
    return torch.batch_norm(x, scale, shift, zero, one, False, 0.0, 0.0, False)
