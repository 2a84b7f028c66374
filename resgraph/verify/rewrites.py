"""Equal ways to write what takes several steps: one function per rule.

A rule holds for every input, in training and at inference, up to rounding, and up to the
choice of a gradient where there is none (a ReLU at exactly 0). It gets a step whose inputs
are in normal form, and says where the step's value is in the normal form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf, prod
from typing import Any

from resgraph.verify import spatial, windows
from resgraph.verify.calls import label
from resgraph.verify.flow import Flow, Step
from resgraph.verify.labels import POINTWISE, affine, concatenation, rounded
from resgraph.verify.normal import Builder, Normal, Rule, normal
from resgraph.verify.windows import Edge, Shown


def normalised(flow: Flow) -> Normal:
    """The normal form of a flow: equal for flows that the rules here call equal."""
    return normal(flow, _RULES)


# --- shapes -------------------------------------------------------------------------------


def _reshape(made: Builder, step: Step) -> int | None:
    """A reshape of a reshape is one; one to the shape that is there is none."""
    (source,) = step.inputs
    if step.shape == made.shape(source):
        return source
    before = made.get(source, "reshape")
    return made.add(replace(step, inputs=before.inputs)) if before else None


def _behind_reshape(made: Builder, step: Step) -> int | None:
    """What is done to each element alone is done before a change of shape."""
    before = made.get(step.inputs[0], "reshape")
    if before is None:
        return None
    (source,) = before.inputs
    moved = replace(step, inputs=(source,), shape=made.shape(source))
    return _reshaped(made, step, made.add(moved))


def _norm_behind_reshape(made: Builder, step: Step) -> int | None:
    """BN of maps does not ask in which shape a map is."""
    before = made.get(step.inputs[0], "reshape")
    same = before and before.shape[:1] == made.shape(before.inputs[0])[:1]
    return _behind_reshape(made, step) if same else None


def _reshaped(made: Builder, step: Step, source: int) -> int:
    """A value in the shape of the step."""
    return made.chain(step, source, [label("reshape", shape=step.shape)])


def _subsample(made: Builder, step: Step) -> int | None:
    """Pixels are taken before channels are padded; every second of every second is one in four."""
    (source,) = step.inputs
    if (pad := made.get(source, "pad")) and not any(_of(pad, "amounts")[:4]):
        (inner,) = pad.inputs
        size = (made.shape(inner)[0], *step.shape[1:])
        moved = made.add(replace(step, inputs=(inner,), shape=size))
        return made.add(replace(pad, inputs=(moved,), shape=step.shape))
    if before := made.get(source, "subsample"):
        (inner,) = before.inputs
        pairs = zip(_of(step, "steps"), _of(before, "steps"), strict=True)
        found = spatial.subsampling([a * b for a, b in pairs], made.shape(inner)[1:])
        return made.chain(step, inner, found)
    return None


# --- padding, concatenation ---------------------------------------------------------------


def _pad(made: Builder, step: Step) -> int | None:
    """Paddings of one value add up."""
    amounts, value = _of(step, "amounts"), _of(step, "value", 0.0)
    before = made.get(step.inputs[0], "pad")
    if before is None or _of(before, "value", 0.0) != value:
        return None
    inner = _of(before, "amounts")
    if min(*amounts, *inner) < 0:
        return None
    total = [a + b for a, b in zip(amounts, inner, strict=True)]
    return made.chain(step, before.inputs[0], [spatial.padding(total, value)])


def _pad_of_cat(made: Builder, step: Step) -> int | None:
    """Zero channels around a concatenation are part of it."""
    amounts = _of(step, "amounts")
    cat = made.get(step.inputs[0], "cat")
    if cat is None or _of(cat, "dim") != 1 or any(amounts[:4]) or min(amounts) < 0:
        return None
    if _of(step, "value", 0.0) != 0:
        return None
    count = len(cat.inputs)
    holes = [*_of(cat, "holes", ()), (0, amounts[4]), (count, amounts[5])]
    return _joined(made, step, 1, holes, cat.inputs)


def _cat(made: Builder, step: Step) -> int | None:
    """Concatenations in one another are one, and so are the parts of one value side by side."""
    dim = _of(step, "dim")
    sources: list[int] = []
    holes: list[tuple[int, int]] = []
    between = dict(_of(step, "holes", ()))
    for place in range(len(step.inputs) + 1):
        holes.append((len(sources), between.get(place, 0)))
        if place < len(step.inputs):
            inner, zeros = _operands(made, step.inputs[place], dim)
            holes += [(len(sources) + at, n) for at, n in zeros]
            sources += inner
    sources, holes = _adjoined(made, sources, [h for h in holes if h[1]], dim)
    if tuple(sources) == step.inputs:
        return None
    return _joined(made, step, dim, holes, sources)


def _joined(
    made: Builder,
    step: Step,
    dim: int,
    holes: Sequence[tuple[int, int]],
    sources: Sequence[int],
) -> int:
    found = concatenation(dim, holes, len(sources), len(step.shape) + 1)
    if not found:
        return sources[0]
    ((op, attributes, _),) = found
    return made.add(Step(op, attributes, tuple(sources), (), step.scope, step.shape))


def _operands(
    made: Builder, index: int, dim: int
) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
    """What a value is a concatenation of, and the zeros in it: (i, n), n before the i-th."""
    cat = made.get(index, "cat")
    if cat and _of(cat, "dim") == dim:
        return cat.inputs, _of(cat, "holes", ())
    pad = made.get(index, "pad")
    if pad and len(pad.shape) == 3 and _of(pad, "value", 0.0) == 0:
        at, amounts = 2 * (3 - dim), list(_of(pad, "amounts"))
        ends = amounts[at : at + 2]
        amounts[at : at + 2] = 0, 0
        if not any(amounts) and min(ends) >= 0:
            return pad.inputs, ((0, ends[0]), (1, ends[1]))
    return (index,), ()


def _adjoined(
    made: Builder, sources: Sequence[int], holes: Sequence[tuple[int, int]], dim: int
) -> tuple[list[int], list[tuple[int, int]]]:
    """Neighbouring parts of one value as one part, or as the value itself."""
    starts = {place for place, _ in holes}
    found: list[int] = []
    moved: dict[int, int] = {}
    for i, source in enumerate(sources):
        whole = (
            _union(made, found[-1], source, dim) if found and i not in starts else None
        )
        if whole is None:
            moved[i] = len(found)
            found.append(source)
        else:
            moved[i] = len(found) - 1
            found[-1] = whole
    moved[len(sources)] = len(found)
    return found, [(moved[place], zeros) for place, zeros in holes]


def _union(made: Builder, first: int, second: int, dim: int) -> int | None:
    """The part of a value that two parts make side by side."""
    a, b = made.get(first, "slice"), made.get(second, "slice")
    if a is None or b is None or a.inputs != b.inputs:
        return None
    ours, theirs = list(_of(a, "ranges")), list(_of(b, "ranges"))
    mine, other = ours[dim - 1], theirs[dim - 1]
    if mine[1] != other[0] or not mine[2] == other[2] == 1:
        return None
    ours[dim - 1] = theirs[dim - 1] = (mine[0], other[1], 1)
    if ours != theirs:
        return None
    shape = (*a.shape[: dim - 1], other[1] - mine[0], *a.shape[dim:])
    found = label("slice", ranges=tuple(ours))._replace(shape=shape)
    return (
        a.inputs[0]
        if shape == made.shape(a.inputs[0])
        else made.chain(a, a.inputs[0], [found])
    )


# --- convolution and pooling --------------------------------------------------------------


def _conv_of_pad(made: Builder, step: Step) -> int | None:
    """Zeros around the maps that a convolution reads are its padding."""
    pad = made.get(step.inputs[0], "pad")
    if pad is None or _of(pad, "value", 0.0) or any(_of(pad, "amounts")[4:]):
        return None
    left, right, top, bottom, _, _ = _of(pad, "amounts")
    rows, columns = _of(step, "padding")
    edges = rows.padded(top, bottom), columns.padded(left, right)
    if None in edges:
        return None
    return made.add(_chosen(step, (*pad.inputs, *step.inputs[1:]), padding=edges))


def _conv_of_pixels(made: Builder, step: Step) -> int | None:
    """A 1x1 convolution of every second pixel has stride 2."""
    pixels = made.get(step.inputs[0], "subsample")
    if pixels is None or _kernel(step) != (1, 1) or _is_padded(step):
        return None
    sizes, counts = made.shape(pixels.inputs[0])[1:], step.shape[1:]
    factors = [s.key for s in _of(step, "stride")]
    strides = [a * b for a, b in zip(factors, _of(pixels, "steps"), strict=True)]
    edges = [
        Edge(0, windows.last_read(n, s, 1, 1) - size, 0)
        for n, s, size in zip(counts, strides, sizes, strict=True)
    ]
    shown = [
        Shown(s if n > 1 else 1, str(s)) for s, n in zip(strides, counts, strict=True)
    ]
    return made.add(
        _chosen(step, pixels.inputs, stride=tuple(shown), padding=tuple(edges))
    )


def _conv_of_all(made: Builder, step: Step) -> int | None:
    """A convolution with one window, which is the map, is a linear layer."""
    shape = made.shape(step.inputs[0])
    whole = _kernel(step) == shape[1:] and step.shape[1:] == (1, 1)
    dilated = any(d.key != 1 for d in _of(step, "dilation", ()))
    if not whole or dilated or _is_padded(step) or _of(step, "groups") != 1:
        return None
    (role, name, kernel), *rest = step.weights
    flat = (kernel[0], prod(kernel[1:]))
    vector = label("reshape", shape=flat[1:])._replace(shape=flat[1:])
    source = made.chain(step, step.inputs[0], [vector])
    weights = ((role, name, flat), *rest)
    linear = Step("linear", (), (source,), weights, step.scope, flat[:1])
    return _reshaped(made, step, made.add(linear))


def _kernel(step: Step) -> tuple[int, ...] | None:
    """The size of a convolution's window, where its weight is the network's own."""
    if len(step.inputs) != 1 or not step.weights or step.weights[0][0] != "weight":
        return None
    return step.weights[0][2][2:]


def _is_padded(step: Step) -> bool:
    return any(e.left or e.beyond > 0 for e in _of(step, "padding"))


def _pool_of_pad(made: Builder, step: Step) -> int | None:
    """A padding before a pooling is the pooling's, where it cannot be told from that.

    To a mean it is zeros; to a maximum nothing, that is minus infinity, or zeros if no
    value is below 0.
    """
    pad = made.get(step.inputs[0], "pad")
    if pad is None or min(_of(pad, "amounts")) < 0 or any(_of(pad, "amounts")[4:]):
        return None
    value = _of(pad, "value", 0.0)
    harmless = value == 0 and made.never_negative(pad.inputs[0])
    if step.op == "max_pool2d" and not (value == -inf or harmless):
        return None
    if step.op == "avg_pool2d" and value != 0:
        return None
    left, _, top, _, _, _ = _of(pad, "amounts")
    sizes = made.shape(pad.inputs[0])[1:]
    shown = _of(step, "windows")
    axes = [
        windows.unpadded(axis, start, size)
        for axis, start, size in zip(shown.key, (top, left), sizes, strict=True)
    ]
    if None in axes:
        return None
    kept = [axis for axis in axes if axis is not None]
    told = f"{shown.text}, after {pad}"
    found = spatial.pooling(step.op, kept, told, sizes)
    return made.chain(step, pad.inputs[0], [] if found is None else [found])


# --- means, sums and maxima over axes -----------------------------------------------------


def _reduction(made: Builder, step: Step) -> int | None:
    """A mean (or a maximum) of means over the rest of a map is that of the whole map."""
    whole = {"mean": "global_avg_pool", "amax": "global_max_pool"}[step.op]
    source = step.inputs[0]
    if 0 in _of(step, "axes"):
        return None
    channels = made.shape(source)[0]
    if step.shape[0] != channels or prod(step.shape) != channels:
        return None
    while (before := _same_channels(made, source, step.op, channels)) is not None:
        source = before
    if len(made.shape(source)) != 3:
        return None
    if prod(made.shape(source)) == channels:
        return _reshaped(made, step, source)
    pooled = label(whole)._replace(shape=(channels, 1, 1))
    return _reshaped(made, step, made.chain(step, source, [pooled]))


def _same_channels(made: Builder, index: int, op: str, channels: int) -> int | None:
    """What the value is a reshape, or a reduction by the same op, of, channel by channel."""
    before = made.get(index, "reshape") or made.get(index, op)
    if before is None or before.shape[0] != channels or 0 in _of(before, "axes", ()):
        return None
    source = before.inputs[0]
    return source if made.shape(source)[0] == channels else None


def _sum(made: Builder, step: Step) -> int | None:
    """A sum over axes is so many times the mean."""
    axes = _of(step, "axes")
    if 0 in axes:
        return None
    count = prod(made.shape(step.inputs[0])[i - 1] for i in axes)
    return made.chain(step, step.inputs[0], [label("mean", axes=axes), *affine(count)])


def _of_stack(made: Builder, step: Step) -> int | None:
    """A sum (mean, maximum) along the axis on which values are stacked is that of these."""
    stack = made.get(step.inputs[0], "stack")
    axes = _of(step, "axes")
    if stack is None or axes != (_of(stack, "dim"),):
        return None
    if step.op == "amax" and len(stack.inputs) != 2:
        return None
    shape = made.shape(stack.inputs[0])
    op = "maximum" if step.op == "amax" else "add"
    source = made.add(Step(op, (), stack.inputs, (), step.scope, shape))
    share = affine(1 / len(stack.inputs) if step.op == "mean" else 1.0)
    like = replace(step, shape=shape)
    return _reshaped(made, step, made.chain(like, source, share))


# --- arithmetic ---------------------------------------------------------------------------


def _linear_form(made: Builder, step: Step) -> int | None:
    """Sums, differences and multiples: numbers times values, plus a number.

    A sum that is used elsewhere too stays a value of its own.
    """
    terms: dict[int, float] = {}
    offset = _collect(made, step, 1.0, terms)
    left = [(j, factor) for j, factor in terms.items() if factor != 0]
    if step.shape not in {made.shape(j) for j, _ in left}:
        return None  # nothing is left, or what is left is smaller
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
    factors = [factor * _of(step, "factor", 1.0)] * len(step.inputs)
    if step.op == "sub":
        factors[1] *= -_of(step, "alpha")
    pairs = zip(step.inputs, factors, strict=True)
    over = sum(_term(made, j, c, terms) for j, c in pairs)
    return over + factor * float(_of(step, "offset", 0.0))


def _term(made: Builder, index: int, factor: float, terms: dict[int, float]) -> float:
    """Add factor times a value to the terms, or what it is a sum of."""
    inner = made.get(index, "affine")
    if inner and (made.used_once(index) or not made.get(inner.inputs[0], "add")):
        return _collect(made, inner, factor, terms)
    total = made.get(index, "add")
    if total and made.used_once(index):
        return _collect(made, total, factor, terms)
    terms[index] = rounded(terms.get(index, 0.0) + factor)
    return 0.0


def _scaled(made: Builder, step: Step, index: int, factor: float) -> int:
    return made.chain(
        replace(step, shape=made.shape(index)), index, affine(factor, 0.0)
    )


def _product(made: Builder, step: Step) -> int | None:
    """Products in one another are one, with their numbers in front.

    A product that is used elsewhere too stays a value of its own.
    """
    factor, inputs = 1.0, list[int]()
    for index in step.inputs:
        scale = made.get(index, "affine")
        if scale and not _of(scale, "offset", 0.0):
            factor *= _of(scale, "factor")
            (index,) = scale.inputs
        inner = made.get(index, "mul")
        inputs += inner.inputs if inner and made.used_once(index) else [index]
    if tuple(sorted(inputs)) == tuple(sorted(step.inputs)):
        return None
    product = made.add(replace(step, inputs=tuple(sorted(inputs))))
    return made.chain(step, product, affine(factor))


def _silu(made: Builder, step: Step) -> int | None:
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


def _of(step: Step, name: str, default: Any = None) -> Any:
    """An attribute of a step."""
    return next((value for key, value in step.attributes if key == name), default)


def _chosen(step: Step, inputs: tuple[int, ...], **chosen: Any) -> Step:
    """The step with other inputs and some other attributes."""
    attributes = tuple((k, chosen.get(k, v)) for k, v in step.attributes)
    return replace(step, inputs=inputs, attributes=attributes)


_RULES: Mapping[str, Sequence[Rule]] = {
    **dict.fromkeys(POINTWISE, (_behind_reshape,)),
    "affine": (_behind_reshape, _linear_form),
    "batch_norm": (_norm_behind_reshape,),
    "add": (_linear_form,),
    "sub": (_linear_form,),
    "mul": (_silu, _product),
    "reshape": (_reshape,),
    "subsample": (_subsample,),
    "pad": (_pad, _pad_of_cat),
    "cat": (_cat,),
    "conv2d": (_conv_of_pad, _conv_of_pixels, _conv_of_all),
    "max_pool2d": (_pool_of_pad,),
    "avg_pool2d": (_pool_of_pad,),
    "mean": (_of_stack, _reduction),
    "amax": (_of_stack, _reduction),
    "sum": (_of_stack, _sum),
}
