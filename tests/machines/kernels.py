"""Kernels and formulas that this machine does not have, as modes of torch.

`Kernels` rounds worse, anywhere: it shares nothing with the noise that verification uses for
its tolerance. `Formulas` computes the same network by what other authors write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from resgraph.verify.calls import function_name, named, pair


class _Noisy(torch.autograd.Function):
    """Every element times 1 + amount * u, forwards and, with new numbers, backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mode: Kernels) -> Tensor:
        ctx.mode = mode
        return mode.disturbed(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.mode.disturbed(gradient), None


class Kernels(TorchFunctionMode):
    """Every result of every op, and every gradient, off by up to `amount` of itself.

    u is uniform in [-1, 1], or normal of deviation 1/2, cut off at 1.
    """

    def __init__(self, amount: float, seed: int, normal: bool = False) -> None:
        super().__init__()
        self.amount, self.normal = amount, normal
        self.generator = torch.Generator().manual_seed(seed)
        self.seen: dict[int, Any] = {}

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for handle in self.seen.values():
            handle.remove()

    def disturbed(self, x: Tensor) -> Tensor:
        u = torch.empty_like(x)
        if self.normal:
            u.normal_(std=0.5, generator=self.generator).clamp_(-1, 1)
        else:
            u.uniform_(-1, 1, generator=self.generator)
        return x + x * u.mul_(self.amount)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function_name(func)
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, Tensor) or not result.is_floating_point():
            return result
        if name.startswith("get ") or isinstance(result, nn.Parameter):
            return result
        self._hook(args)
        if name == "batch_norm":
            self._statistics(named(name, args, kwargs or {}))
        if args and result is args[0]:
            result.data.copy_(self.disturbed(result.data))
            return result
        return _Noisy.apply(result, self)

    def _hook(self, args: Any) -> None:
        """The gradients of the parameters that an op reads."""
        for value in args:
            trained = isinstance(value, nn.Parameter) and value.requires_grad
            if trained and id(value) not in self.seen:
                self.seen[id(value)] = value.register_hook(self.disturbed)

    def _statistics(self, given: Mapping[str, Any]) -> None:
        if given.get("training"):
            for name in ("running_mean", "running_var"):
                if isinstance(buffer := given.get(name), Tensor):
                    buffer.data.copy_(self.disturbed(buffer.data))


class Formulas(TorchFunctionMode):
    """The same ops by other formulas: other roundings, and the same network.

    BN by hand, convolutions as sums over the kernel's taps or as products of matrices, means
    as sums over counts, sums the other way round.
    """

    def __init__(self, taps: bool) -> None:
        super().__init__()
        self.taps = taps

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function_name(func)
        rule = _FORMULAS.get(name)
        if rule is not None:
            found = rule(self, named(name, args, kwargs or {}))
            if found is not None:
                return found
        return func(*args, **(kwargs or {}))


Given = Mapping[str, Any]


def _conv(mode: Formulas, given: Given) -> Tensor | None:
    x, weight = given["input"], given["weight"]
    if isinstance(given.get("padding"), str):
        return None
    rows, columns = pair(given.get("padding", 0))
    stride, dilation = pair(given.get("stride", 1)), pair(given.get("dilation", 1))
    groups = given.get("groups", 1)
    x = functional.pad(x, (columns, columns, rows, rows))
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    size = [
        (n - span) // s + 1
        for n, span, s in zip(x.shape[2:], spans, stride, strict=True)
    ]
    way = _by_taps if mode.taps else _by_columns
    result = way(x, weight, stride, dilation, size, groups)
    bias = given.get("bias")
    return result if bias is None else result + bias.view(1, -1, 1, 1)


def _by_taps(
    x: Tensor, weight: Tensor, stride: Any, dilation: Any, size: Any, groups: int
) -> Tensor:
    """A product of channels for each tap of the kernel, from the last to the first."""
    terms = []
    count, inner = len(weight), weight.shape[1]
    for i in reversed(range(weight.shape[2])):
        for j in reversed(range(weight.shape[3])):
            rows = slice(
                i * dilation[0], i * dilation[0] + (size[0] - 1) * stride[0] + 1
            )
            cols = slice(
                j * dilation[1], j * dilation[1] + (size[1] - 1) * stride[1] + 1
            )
            part = x[:, :, rows, cols][:, :, :: stride[0], :: stride[1]]
            part = part.reshape(len(x), groups, inner, -1)
            tap = weight[:, :, i, j].reshape(groups, count // groups, inner)
            terms.append(tap @ part)
    return sum(terms[1:], terms[0]).reshape(len(x), count, *size)


def _by_columns(
    x: Tensor, weight: Tensor, stride: Any, dilation: Any, size: Any, groups: int
) -> Tensor:
    """One product with the columns of all windows."""
    columns = functional.unfold(
        x, tuple(weight.shape[2:]), dilation=dilation, stride=stride
    )
    columns = columns.reshape(len(x), groups, -1, columns.shape[-1])
    flat = weight.reshape(groups, len(weight) // groups, -1)
    return (flat @ columns).reshape(len(x), len(weight), *size)


def _batch_norm(mode: Formulas, given: Given) -> Tensor | None:
    x = given["input"]
    axes = (0, *range(2, x.dim()))
    shape = (1, -1, *[1] * (x.dim() - 2))
    mean, variance = given["running_mean"], given["running_var"]
    if given.get("training"):
        count = x.numel() // x.shape[1]
        batch_mean = x.sum(axes) / count
        centred = x - batch_mean.view(shape)
        batch_variance = (centred * centred).sum(axes) / count
        share = given.get("momentum", 0.1)
        with torch.no_grad():
            unbiased = batch_variance * (count / (count - 1))
            mean.copy_(mean + share * (batch_mean - mean))
            variance.copy_(variance + share * (unbiased - variance))
        mean, variance = batch_mean, batch_variance
    scale = (variance + given.get("eps", 1e-5)) ** -0.5
    weight, bias = given.get("weight"), given.get("bias")
    if mode.taps:
        scale = scale if weight is None else scale * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        return x * scale.view(shape) + shift.view(shape)
    result = (x - mean.view(shape)) * scale.view(shape)
    result = result if weight is None else result * weight.view(shape)
    return result if bias is None else result + bias.view(shape)


def _linear(mode: Formulas, given: Given) -> Tensor | None:
    x, weight, bias = given["input"], given["weight"], given.get("bias")
    result = (x.unsqueeze(-2) * weight).sum(-1) if mode.taps else x @ weight.t()
    return result if bias is None else bias + result


def _add(mode: Formulas, given: Given) -> Tensor | None:
    first, second = given.get("input"), given.get("other")
    if given.get("alpha", 1) != 1 or not isinstance(second, Tensor):
        return None
    return second + first


def _global_pool(mode: Formulas, given: Given) -> Tensor | None:
    if given.get("output_size") not in (1, (1, 1), [1, 1]):
        return None
    x = given["input"].flip(-1)
    return x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])


def _sigmoid(mode: Formulas, given: Given) -> Tensor | None:
    return 1 / (1 + (-given["input"]).exp())


_FORMULAS: dict[str, Callable[[Formulas, Given], Tensor | None]] = {
    "conv2d": _conv,
    "batch_norm": _batch_norm,
    "linear": _linear,
    "add": _add,
    "adaptive_avg_pool2d": _global_pool,
    "sigmoid": _sigmoid,
}
