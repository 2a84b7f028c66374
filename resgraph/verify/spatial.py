"""Convolutions and poolings as labels: by the pixels that each window reads."""

from __future__ import annotations

from collections.abc import Sequence

from resgraph.verify import windows
from resgraph.verify.calls import Call, Label, as_written, label, pair
from resgraph.verify.windows import Axis, Shown, Taps


def conv(call: Call) -> list[Label]:
    """By the pixels that each window reads."""
    if len(call.before) != 4 or len(call.after) != 4:
        return as_written(call)
    axes = zip(
        call.before[2:],
        call.after[2:],
        kernels := call.shapes[1][2:],
        pair(call.get("stride", 1)),
        *_padding(call, kernels),
        pair(call.get("dilation", 1)),
        strict=True,
    )
    taps = tuple(Taps(*axis) for axis in axes)
    return [label("conv2d", taps=taps, groups=call.get("groups", 1))]


def _padding(
    call: Call, kernels: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Zeros before and behind each axis, by number or by a name.

    Four numbers, which ONNX knows, are those before and then those behind.
    """
    padding = call.get("padding", 0)
    if padding != "same":
        sides = (0, 0) if padding == "valid" else pair(padding)
        return sides[:2], sides[-2:]
    dilations = pair(call.get("dilation", 1))
    totals = [d * (k - 1) for k, d in zip(kernels, dilations, strict=True)]
    return tuple(n // 2 for n in totals), tuple(n - n // 2 for n in totals)


def max_pool(call: Call) -> list[Label]:
    if len(call.before) != 4 or call.get("return_indices", False):
        return as_written(call)
    kernel, stride, padding = _window(call)
    dilation = pair(call.get("dilation", 1))
    axes = [
        windows.max_axis(*sizes)
        for sizes in zip(
            call.before[2:],
            call.after[2:],
            kernel,
            stride,
            padding,
            dilation,
            strict=True,
        )
    ]
    told = _told(call, kernel, stride, padding, "dilation", "ceil_mode")
    return _pooling("max_pool2d", axes, told, call)


def avg_pool(call: Call) -> list[Label]:
    if len(call.before) != 4:
        return as_written(call)
    kernel, stride, padding = _window(call)
    divisor = call.get("divisor_override", 0)
    counted = bool(call.get("count_include_pad", True))
    axes = [
        windows.mean_axis(*sizes, counted)
        for sizes in zip(
            call.before[2:], call.after[2:], kernel, stride, padding, strict=True
        )
    ]
    if divisor and {h[2] * w[2] for h in axes[0] for w in axes[1]} != {divisor}:
        return as_written(call)
    told = _told(call, kernel, stride, padding, "ceil_mode", "count_include_pad")
    return _pooling("avg_pool2d", axes, told, call)


def _window(call: Call) -> tuple[tuple[int, ...], ...]:
    """Kernel, stride and padding of a pooling, in height and width."""
    kernel = pair(call.get("kernel_size", 1))
    stride = pair(call.get("stride", kernel) or kernel)
    return kernel, stride, pair(call.get("padding", 0))


_DEFAULTS = {"dilation": 1, "ceil_mode": False, "count_include_pad": True}


def _told(
    call: Call,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    *others: str,
) -> str:
    """A pooling's arguments as its network has them."""
    chosen = {"kernel": kernel, "stride": stride, "padding": padding}
    texts = [f"{k}={v[0] if v[0] == v[1] else v}" for k, v in chosen.items()]
    given = {k: call.arguments[k] for k in others if k in call.arguments}
    texts += [f"{k}={v}" for k, v in given.items() if v != _DEFAULTS[k]]
    return ", ".join(texts)


def adaptive(call: Call) -> list[Label]:
    mean = "avg" in call.name
    if len(call.before) != 4 or call.get("return_indices", False):
        return as_written(call)
    axes = [
        windows.adaptive_axis(size, count, mean)
        for size, count in zip(call.before[2:], call.after[2:], strict=True)
    ]
    told = f"adaptive, to {call.after[2]}x{call.after[3]}"
    return _pooling("avg_pool2d" if mean else "max_pool2d", axes, told, call)


def _pooling(op: str, axes: Sequence[Axis], told: str, call: Call) -> list[Label]:
    found = pooling(op, axes, told, call.before[2:])
    return [] if found is None else [found]


def pooling(
    op: str, axes: Sequence[Axis], told: str, sizes: Sequence[int]
) -> Label | None:
    """A pooling by its windows; None where each of them is its own pixel."""
    strides = [windows.steps_of(axis, n) for axis, n in zip(axes, sizes, strict=True)]
    if None not in strides:
        steps = [s for s in strides if s is not None]
        return next(iter(subsampling(steps, sizes)), None)
    if all(windows.is_pixels(axis) for axis in axes):
        starts = tuple(tuple(span[0] for span in axis) for axis in axes)
        return label("pixels", windows=Shown(starts, told))
    if all(windows.is_whole(axis, n) for axis, n in zip(axes, sizes, strict=True)):
        return label(GLOBAL[op])
    return label(op, windows=Shown(tuple(axes), told))


GLOBAL = {"avg_pool2d": "global_avg_pool", "max_pool2d": "global_max_pool"}
"""A pooling of whole maps, by the op that has windows."""


def subsampling(strides: Sequence[int], sizes: Sequence[int]) -> list[Label]:
    """Every so-manieth pixel, beginning with the first."""
    steps = windows.whole_pixels(strides, sizes)
    same = all(s == 1 or n == 1 for s, n in zip(steps, sizes, strict=True))
    return [] if same else [label("subsample", steps=steps)]


def padding(amounts: Sequence[int], value: float = 0.0) -> Label:
    """Zeros, or another value, around maps: left, right, top, bottom, front, back."""
    told = {"value": value} if value else {}
    return label("pad", amounts=(*amounts, *[0] * (6 - len(amounts))), **told)
