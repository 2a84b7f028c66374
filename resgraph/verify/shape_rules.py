"""Rules of the normal form: shapes, parts, paddings, concatenations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from resgraph.verify import spatial
from resgraph.verify.calls import label
from resgraph.verify.flow import Step
from resgraph.verify.labels import concatenation
from resgraph.verify.normal import Builder, of


def reshape(made: Builder, step: Step) -> int | None:
    """A reshape of a reshape is one; one to the shape that is there is none."""
    (source,) = step.inputs
    if step.shape == made.shape(source):
        return source
    before = made.get(source, "reshape")
    return made.add(replace(step, inputs=before.inputs)) if before else None


def behind_reshape(made: Builder, step: Step) -> int | None:
    """What is done to each element alone is done before a change of shape."""
    before = made.get(step.inputs[0], "reshape")
    if before is None:
        return None
    (source,) = before.inputs
    moved = replace(step, inputs=(source,), shape=made.shape(source))
    return made.reshaped(step, made.add(moved))


def norm_behind_reshape(made: Builder, step: Step) -> int | None:
    """BN of maps does not ask in which shape a map is."""
    before = made.get(step.inputs[0], "reshape")
    same = before and before.shape[:1] == made.shape(before.inputs[0])[:1]
    return behind_reshape(made, step) if same else None


def permute(made: Builder, step: Step) -> int | None:
    """Axes that are moved twice are moved once, or back."""
    before = made.get(step.inputs[0], "permute")
    if before is None:
        return None
    inner = of(before, "order")
    order = tuple(inner[i] for i in of(step, "order"))
    moved = [] if order == tuple(sorted(order)) else [label("permute", order=order)]
    return made.chain(step, before.inputs[0], moved)


def subsample(made: Builder, step: Step) -> int | None:
    """Pixels are taken before channels are padded; every second of every second is one in four."""
    (source,) = step.inputs
    if (pad := made.get(source, "pad")) and not any(of(pad, "amounts")[:4]):
        (inner,) = pad.inputs
        size = (made.shape(inner)[0], *step.shape[1:])
        moved = made.add(replace(step, inputs=(inner,), shape=size))
        return made.add(replace(pad, inputs=(moved,), shape=step.shape))
    if before := made.get(source, "subsample"):
        (inner,) = before.inputs
        pairs = zip(of(step, "steps"), of(before, "steps"), strict=True)
        found = spatial.subsampling([a * b for a, b in pairs], made.shape(inner)[1:])
        return made.chain(step, inner, found)
    return None


def part_of_part(made: Builder, step: Step) -> int | None:
    """A part of a part is a part."""
    before = made.get(step.inputs[0], "slice")
    if before is None:
        return None
    pairs = zip(of(before, "ranges"), of(step, "ranges"), strict=True)
    cuts = [range(*inner)[slice(*outer)] for inner, outer in pairs]
    ranges = tuple((c[0], c[-1] + 1, c.step if len(c) > 1 else 1) for c in cuts)
    return made.chain(step, before.inputs[0], [label("slice", ranges=ranges)])


def crop(made: Builder, step: Step) -> int | None:
    """A padding by less than nothing takes a part."""
    amounts = of(step, "amounts")
    if min(amounts) >= 0:
        return None
    shape = made.shape(step.inputs[0])
    ends = zip(amounts[4::-2], amounts[5::-2], shape, strict=True)
    ranges = tuple((max(-a, 0), n + min(b, 0), 1) for a, b, n in ends)
    if any(start >= stop for start, stop, _ in ranges):
        return None
    kept = tuple(stop - start for start, stop, _ in ranges)
    part = label("slice", ranges=ranges)._replace(shape=kept)
    more = [max(a, 0) for a in amounts]
    rest = [spatial.padding(more, of(step, "value", 0.0))] if any(more) else []
    return made.chain(step, step.inputs[0], [part, *rest])


def pad(made: Builder, step: Step) -> int | None:
    """Paddings of one value add up."""
    amounts, value = of(step, "amounts"), of(step, "value", 0.0)
    before = made.get(step.inputs[0], "pad")
    if before is None or of(before, "value", 0.0) != value:
        return None
    inner = of(before, "amounts")
    total = [a + b for a, b in zip(amounts, inner, strict=True)]
    return made.chain(step, before.inputs[0], [spatial.padding(total, value)])


def pad_of_cat(made: Builder, step: Step) -> int | None:
    """Zero channels around a concatenation are part of it."""
    amounts = of(step, "amounts")
    cat = made.get(step.inputs[0], "cat")
    if cat is None or of(cat, "dim") != 1 or any(amounts[:4]):
        return None
    if of(step, "value", 0.0) != 0:
        return None
    count = len(cat.inputs)
    holes = [*of(cat, "holes", ()), (0, amounts[4]), (count, amounts[5])]
    return _joined(made, step, 1, holes, cat.inputs)


def cat(made: Builder, step: Step) -> int | None:
    """Concatenations in one another are one, and so are the parts of one value side by side."""
    dim = of(step, "dim")
    sources: list[int] = []
    holes: list[tuple[int, int]] = []
    between = dict(of(step, "holes", ()))
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
    if cat and of(cat, "dim") == dim:
        return cat.inputs, of(cat, "holes", ())
    pad = made.get(index, "pad")
    if pad and len(pad.shape) == 3 and of(pad, "value", 0.0) == 0:
        at, amounts = 2 * (3 - dim), list(of(pad, "amounts"))
        ends = amounts[at : at + 2]
        amounts[at : at + 2] = 0, 0
        if not any(amounts):
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
    ours, theirs = list(of(a, "ranges")), list(of(b, "ranges"))
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
