"""Shapes of the commonest results, without asking torch.

On `meta`, torch computes batch normalisation step by step in Python, and convolutions and
sums by long detours, for which it first imports symbolic algebra; a network of a thousand
layers would take seconds for its shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from resgraph.verify.calls import pair

_POINTWISE = ("batch_norm", "relu", "relu6", "sigmoid", "silu")
_MERGES = ("add", "mul")


def shape_of(name: str, arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The result's shape, or None where torch is to be asked, or has a reason to refuse."""
    x = arguments.get("input")
    if not isinstance(x, Tensor):
        return None
    if name in _POINTWISE:
        return tuple(x.shape)
    if name in _MERGES:
        other = arguments.get("other")
        same = isinstance(other, Tensor) and other.shape == x.shape
        return tuple(x.shape) if same else None
    rule = _RULES.get(name)
    return rule(x, arguments) if rule else None


def _linear(x: Tensor, arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
    weight = arguments.get("weight")
    fits = isinstance(weight, Tensor) and x.shape[-1:] == weight.shape[1:]
    return (*x.shape[:-1], weight.shape[0]) if fits and weight is not None else None


def _pooled(x: Tensor, arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
    sides = pair(arguments.get("output_size", 1))
    whole = x.dim() == 4 and all(isinstance(side, int) for side in sides)
    return (*x.shape[:2], *sides) if whole else None


def _convolved(x: Tensor, arguments: Mapping[str, Any]) -> tuple[int, ...] | None:
    weight, padding = arguments.get("weight"), arguments.get("padding", 0)
    groups = arguments.get("groups", 1)
    if not isinstance(weight, Tensor) or isinstance(padding, str) or x.dim() != 4:
        return None
    if x.shape[1] != weight.shape[1] * groups:
        return None
    chosen = [pair(arguments.get("stride", 1)), pair(padding)]
    chosen.append(pair(arguments.get("dilation", 1)))
    sides = [
        (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for size, kernel, stride, pad, dilation in zip(
            x.shape[2:], weight.shape[2:], *chosen, strict=True
        )
    ]
    return (x.shape[0], weight.shape[0], *sides) if min(sides) > 0 else None


_RULES: dict[str, Callable[[Tensor, Mapping[str, Any]], tuple[int, ...] | None]] = {
    "adaptive_avg_pool2d": _pooled,
    "conv2d": _convolved,
    "linear": _linear,
}
