"""BN that waits for the ReLU and the convolution behind it, and they for those behind them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from resgraph.train.fused.chain import Chain, Link, takes
from resgraph.train.fused.ops import Window
from resgraph.train.module import parted, units_of
from resgraph.train.recompute import PendingBatchNorm2d


def fuse(network: nn.Module) -> nn.Module:
    """Let a network on a GPU train by these kernels where they fit; changed in place, returned.

    Names in the state_dict stay. Inference stays as it is.
    """
    for module in network.modules():
        if type(module) in (nn.BatchNorm2d, PendingBatchNorm2d):
            module.__class__ = FusedBatchNorm2d
    # Whoever looks at a unit's output from outside sees a tensor.
    for part in (network, *units_of(network).values()):
        part.register_forward_hook(_settled)
    return network


def _settled(_module: nn.Module, _inputs: object, output: Any) -> Any:
    if isinstance(output, (_Waiting, Chain)):
        return output.value()
    if isinstance(output, Tensor):
        return output
    tensors, made = parted(output)
    return made([_settled(_module, _inputs, tensor) for tensor in tensors])


class FusedBatchNorm2d(nn.BatchNorm2d):
    """A BN that, in training, waits for what reads it."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input.value() if isinstance(input, Chain) else input)
        # What generated code does with it next goes through __torch_function__.
        return _Waiting(_Normed(self, input))  # type: ignore[return-value]


class _Normed:
    """BN of a value, which may be read more than once but counts its batch once."""

    def __init__(self, bn: nn.BatchNorm2d, x: Tensor | Chain) -> None:
        self.bn, self.x = bn, x
        self._counted = False
        self._value: Tensor | None = None

    def counted(self) -> bool:
        """Whether its running statistics have seen the batch; from now on they have."""
        before, self._counted = self._counted, True
        return before

    def value(self) -> Tensor:
        """It, computed plainly, for whatever is no ReLU and no convolution."""
        if self._value is None:
            x = self.x.value() if isinstance(self.x, Chain) else self.x
            self._value = self._again(x) if self.counted() else self._first(x)
        return self._value

    def _first(self, x: Tensor) -> Tensor:
        return nn.BatchNorm2d.forward(self.bn, x)

    def _again(self, x: Tensor) -> Tensor:
        bn = self.bn
        return functional.batch_norm(
            x, None, None, bn.weight, bn.bias, training=True, eps=bn.eps
        )


class _Waiting:
    """BN of a value, or its ReLU, not computed yet."""

    def __init__(self, normed: _Normed, relu: bool = False) -> None:
        self.normed, self.relu = normed, relu

    def value(self) -> Tensor:
        """It, computed plainly."""
        y = self.normed.value()
        return torch.relu(y) if self.relu else y

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        first, *others = args
        if isinstance(first, cls) and not kwargs:
            if function is torch.relu and not first.relu:
                return cls(first.normed, relu=True)
            if function is torch.conv2d and first.relu:
                return _convolved(first, *others)
        plain = (a.value() if isinstance(a, (cls, Chain)) else a for a in args)
        return function(*plain, **(kwargs or {}))


def _convolved(a: _Waiting, weight: Tensor, *geometry: Any) -> Tensor | Chain:
    """conv2d of the activation; `nn.Conv2d` gives all of its arguments."""
    bn, x = a.normed.bn, a.normed.x
    if isinstance(x, Tensor) and torch.is_autocast_enabled(x.device.type):
        x = x.to(torch.get_autocast_dtype(x.device.type))
    if not takes(x, bn, weight, *geometry):
        return torch.conv2d(a.value(), weight, *geometry)
    _, stride, padding, _, _ = geometry
    window = Window(weight.shape[2], stride[0], padding[0])
    link = Link(bn, weight, window, a.normed.counted)
    return x.then(link) if isinstance(x, Chain) else Chain(x, (link,))
