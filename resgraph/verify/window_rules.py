"""Rules of the normal form: convolutions, poolings, and means, sums and maxima over axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf, prod

from resgraph.verify import spatial, windows
from resgraph.verify.arithmetic import affine
from resgraph.verify.calls import Label, label
from resgraph.verify.flow import Step
from resgraph.verify.normal import Builder, chosen, of
from resgraph.verify.windows import Axis


def conv_of_pad(made: Builder, step: Step) -> int | None:
    """Zeros around the maps that a convolution reads are its padding."""
    pad = made.get(step.inputs[0], "pad")
    if pad is None or of(pad, "value", 0.0) or any(of(pad, "amounts")[4:]):
        return None
    left, right, top, bottom, _, _ = of(pad, "amounts")
    return _conv_without(made, step, pad, ((top, bottom), (left, right)))


def conv_of_crop(made: Builder, step: Step) -> int | None:
    """What a convolution does not read may be there or not."""
    part = made.get(step.inputs[0], "slice")
    if part is None:
        return None
    channels, *sides = of(part, "ranges")
    whole, *sizes = made.shape(part.inputs[0])
    if channels != (0, whole, 1) or any(side[2] != 1 for side in sides):
        return None
    ends = [(-a, b - n) for (a, b, _), n in zip(sides, sizes, strict=True)]
    return _conv_without(made, step, part, ends)


def _conv_without(
    made: Builder, step: Step, before: Step, ends: Sequence[tuple[int, int]]
) -> int | None:
    """The convolution of what a padding by so much, or a crop, was made of."""
    pairs = zip(of(step, "taps"), ends, strict=True)
    taps = tuple(axis.padded(*amounts) for axis, amounts in pairs)
    if None in taps:
        return None
    return made.add(chosen(step, (*before.inputs, *step.inputs[1:]), taps=taps))


def conv_of_pixels(made: Builder, step: Step) -> int | None:
    """A 1x1 convolution of every second pixel has stride 2."""
    pixels = made.get(step.inputs[0], "subsample")
    if pixels is None or _kernel(step) != (1, 1) or _is_padded(step):
        return None
    parts = zip(
        of(step, "taps"),
        of(pixels, "steps"),
        made.shape(pixels.inputs[0])[1:],
        strict=True,
    )
    taps = [replace(t, size=n, stride=t.stride * s) for t, s, n in parts]
    return made.add(chosen(step, pixels.inputs, taps=tuple(taps)))


def conv_of_all(made: Builder, step: Step) -> int | None:
    """A convolution with one window, which is the map, is a linear layer."""
    shape = made.shape(step.inputs[0])
    whole = _kernel(step) == shape[1:] and step.shape[1:] == (1, 1)
    dilated = any(t.dilation > 1 and t.kernel > 1 for t in of(step, "taps"))
    if not whole or dilated or _is_padded(step) or of(step, "groups") != 1:
        return None
    (role, name, kernel), *rest = step.weights
    flat = (kernel[0], prod(kernel[1:]))
    vector = label("reshape", shape=flat[1:])._replace(shape=flat[1:])
    source = made.chain(step, step.inputs[0], [vector])
    weights = ((role, name, flat), *rest)
    linear = Step("linear", (), (source,), weights, step.scope, flat[:1])
    return made.reshaped(step, made.add(linear))


def _kernel(step: Step) -> tuple[int, ...] | None:
    """The size of a convolution's window, where its weight is the network's own."""
    if len(step.inputs) != 1 or not step.weights or step.weights[0][0] != "weight":
        return None
    return step.weights[0][2][2:]


def _is_padded(step: Step) -> bool:
    return any(taps.is_padded for taps in of(step, "taps"))


def pool_of_pad(made: Builder, step: Step) -> int | None:
    """A padding before a pooling is the pooling's, where it cannot be told from that.

    To a mean it is zeros; to a maximum nothing, that is minus infinity, or zeros if no
    value is below 0.
    """
    pad = made.get(step.inputs[0], "pad")
    if pad is None or any(of(pad, "amounts")[4:]):
        return None
    op, axes, told = _windows(made, step)
    value = of(pad, "value", 0.0)
    fits = value == 0
    if op == "max_pool2d":
        fits = value == -inf or (fits and made.never_negative(pad.inputs[0]))
    if (inner := _inside(made, pad, axes, read=fits)) is None:
        return None
    sizes = made.shape(pad.inputs[0])[1:]
    found = spatial.pooling(op, inner, f"{told}, after {pad}", sizes)
    return made.chain(step, pad.inputs[0], [] if found is None else [found])


def _inside(
    made: Builder, pad: Step, axes: Sequence[Axis], *, read: bool
) -> list[Axis] | None:
    """The windows without the padding; None if that is no pooling, or may not be read."""
    left, _, top, _, _, _ = of(pad, "amounts")
    sizes = made.shape(pad.inputs[0])[1:]
    kept = []
    for axis, start, size in zip(axes, (top, left), sizes, strict=True):
        inner = windows.unpadded(axis, start, size)
        if inner is None or not (read or windows.sizes(inner) == windows.sizes(axis)):
            return None
        kept.append(inner)
    return kept


def _windows(made: Builder, step: Step) -> tuple[str, Sequence[Axis], str]:
    """A pooling as one with windows: its op, the windows, and how they are told."""
    if step.op in spatial.GLOBAL:
        shown = of(step, "windows")
        return step.op, shown.key, shown.text
    if step.op == "subsample":
        sides = zip(of(step, "steps"), made.shape(step.inputs[0])[1:], strict=True)
        axes = [tuple((i, i + 1) for i in range(0, n, by)) for by, n in sides]
        return "max_pool2d", axes, str(step)
    op = next(op for op, whole in spatial.GLOBAL.items() if whole == step.op)
    sizes = made.shape(step.inputs[0])[1:]
    return op, [windows.adaptive_axis(n, 1, op == "avg_pool2d") for n in sizes], "all"


def reduction(made: Builder, step: Step) -> int | None:
    """A mean (or a maximum) of means over the rest of a map is that of the whole map."""
    whole = {"mean": "global_avg_pool", "amax": "global_max_pool"}[step.op]
    source = step.inputs[0]
    if 0 in of(step, "axes"):
        return None
    channels = made.shape(source)[0]
    if step.shape[0] != channels or prod(step.shape) != channels:
        return None
    while (before := _same_channels(made, source, step.op, channels)) is not None:
        source = before
    if len(made.shape(source)) != 3:
        return None
    if prod(made.shape(source)) == channels:
        return made.reshaped(step, source)
    pooled = label(whole)._replace(shape=(channels, 1, 1))
    return made.reshaped(step, made.chain(step, source, [pooled]))


def of_affine(made: Builder, step: Step) -> int | None:
    """The mean of a multiple is the multiple of the mean."""
    shaped = made.get(step.inputs[0], "reshape")
    inner = made.get((shaped or step).inputs[0], "affine")
    if inner is None or 0 in of(step, "axes", ()):
        return None
    (source,) = inner.inputs
    if shaped:
        source = made.reshaped(shaped, source)
    mean = made.add(replace(step, inputs=(source,)))
    return made.chain(step, mean, [Label("affine", inner.attributes)])


def _same_channels(made: Builder, index: int, op: str, channels: int) -> int | None:
    """What the value is a reshape, or a reduction by the same op, of, channel by channel."""
    before = made.get(index, "reshape") or made.get(index, op)
    if before is None or before.shape[0] != channels or 0 in of(before, "axes", ()):
        return None
    source = before.inputs[0]
    return source if made.shape(source)[0] == channels else None


def sum_as_mean(made: Builder, step: Step) -> int | None:
    """A sum over axes is so many times the mean."""
    axes = of(step, "axes")
    if 0 in axes:
        return None
    count = prod(made.shape(step.inputs[0])[i - 1] for i in axes)
    return made.chain(step, step.inputs[0], [label("mean", axes=axes), *affine(count)])


def of_stack(made: Builder, step: Step) -> int | None:
    """A sum (mean, maximum) along the axis on which values are stacked is that of these."""
    stack = made.get(step.inputs[0], "stack")
    axes = of(step, "axes")
    if stack is None or axes != (of(stack, "dim"),):
        return None
    if step.op == "amax" and len(stack.inputs) != 2:
        return None
    shape = made.shape(stack.inputs[0])
    op = "maximum" if step.op == "amax" else "add"
    source = made.add(Step(op, (), stack.inputs, (), step.scope, shape))
    share = affine(1 / len(stack.inputs) if step.op == "mean" else 1.0)
    like = replace(step, shape=shape)
    return made.reshaped(step, made.chain(like, source, share))
