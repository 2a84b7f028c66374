"""What a call of a torch function computes, by one name for all the ways to write it.

`torch.relu(x)`, `x.clamp_(min=0)` and `nn.ReLU()` are one op; so are `x.mean((2, 3))` and an
adaptive pooling to one pixel, or a stride in a slice and in a pooling of one pixel. A
function that has no rule here keeps its own name and arguments, so that an unknown op equals
itself and nothing else. What takes several calls to write is in `rewrites.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from resgraph.verify import arithmetic, spatial
from resgraph.verify.calls import Call, Label, Number, as_written, label, with_filled

COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum"})
RANDOM = frozenset(
    {
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"),
        *("feature_alpha_dropout", "rrelu", "bernoulli"),
        *("rand", "randn", "rand_like", "randn_like"),
    }
)
POINTWISE = frozenset({"relu", "sigmoid", "silu", "clamp", "affine", "dropout"})
"""Ops that do the same to each element alone, whatever shape it is in."""


def labels(call: Call) -> list[Label]:
    """The ops that the call amounts to, one after the other; none if it changes nothing.

    All but the first of several are reshapes.
    """
    rule = _RULES.get(call.name)
    if rule is None or ("part" in call.arguments and call.name not in _IN_PARTS):
        return as_written(call)
    found = rule(call)
    if found and any(f is not None for f in call.filled) and call.name not in _FILLED:
        found[0] = with_filled(found[0], call)
    return found


def _same(call: Call) -> list[Label]:
    return []


def _expand(call: Call) -> list[Label]:
    """Rows and columns repeated, as arithmetic does by itself."""
    if call.after == call.before:
        return []
    same = len(call.after) == len(call.before) and call.after[:1] == call.before[:1]
    stretched = zip(call.before, call.after, strict=False)
    whole = same and all(a in (1, b) for a, b in stretched)
    return [label("expand")] if whole else as_written(call)


def _plain_call(call: Call) -> list[Label]:
    return [label(call.name)]


def _batch_norm(call: Call) -> list[Label]:
    training = bool(call.get("training", False))
    chosen = {"training": training, "eps": float(call.get("eps", 1e-5))}
    if training:  # else the statistics stay as they are
        chosen["momentum"] = call.arguments.get("momentum", 0.1)
    return [label("batch_norm", **chosen)]


def _dropout(call: Call) -> list[Label]:
    rate = Number(
        call.get("p", 0.5)
    )  # a module computes `rate * index / total` in floats
    active = call.get("training", True) and rate
    return [label(call.name, p=rate)] if active else []


def _reduction(call: Call) -> list[Label]:
    """A mean, a sum or a maximum over some axes: kept, and then dropped if they are."""
    rank, dims = len(call.before), call.arguments.get("dim")
    if dims is None or ("part" in call.arguments and call.arguments["part"] > 0):
        return as_written(call)
    axes = {d % rank for d in (dims if isinstance(dims, list | tuple) else (dims,))}
    if 0 in axes or "dtype" in call.arguments:
        stacked = axes == {0} and not {"dtype", "keepdim"} & call.arguments.keys()
        return [label(call.name, axes=(0,))] if stacked else as_written(call)
    kept = tuple(1 if i in axes else n for i, n in enumerate(call.before))[1:]
    op = {"max": "amax"}.get(call.name, call.name)
    first = label(op, axes=tuple(sorted(axes)))._replace(shape=kept)
    if prod(call.before[i] for i in axes) == 1:
        return _reshaped(call.before[1:], call)
    return [first, *_reshaped(kept, call)]


def _max(call: Call) -> list[Label]:
    """The largest along an axis, or of two tensors."""
    return arithmetic.maximum(call) if len(call.shapes) == 2 else _reduction(call)


# --- shapes -------------------------------------------------------------------------------


def _reshaped(shape: tuple[int, ...], call: Call) -> list[Label]:
    """From a shape without the batch to that of the result."""
    same = shape == call.after[1:]
    return [] if same else [label("reshape", shape=call.after[1:])]


def _view(call: Call) -> list[Label]:
    """Any change of shape that keeps the images apart; what was written does not matter."""
    if call.after[:1] == call.before[:1] and prod(call.after) == prod(call.before):
        return _reshaped(call.before[1:], call)
    return as_written(call)


def _setitem(call: Call) -> list[Label]:
    """Something written into a block of zeros is padded."""
    cuts = _cuts(call)
    inside = call.filled[:1] == (0.0,) and call.filled[1:] == (None,)
    if not inside or cuts is None or len(cuts) != 4 or cuts[0] != range(len(cuts[0])):
        return as_written(call)
    if call.shapes[1] != tuple(map(len, cuts)) or any(c.step != 1 for c in cuts):
        return as_written(call)
    ends = [(c.start, n - c.stop) for c, n in zip(cuts, call.before, strict=True)]
    amounts = [amount for end in reversed(ends[1:]) for amount in end]
    return [spatial.padding(amounts)] if any(amounts) else []


def _permute(call: Call) -> list[Label]:
    """Axes of one pixel may go anywhere."""
    rank = len(call.before)
    order = list(range(rank))
    if call.name == "transpose":
        a, b = (int(call.arguments[k]) % rank for k in ("dim0", "dim1"))
        order[a], order[b] = b, a
    else:
        order = [d % rank for d in call.get("*dims", ())]
    moved = [d for d in order if call.before[d] != 1]
    if moved == sorted(moved) and order[:1] == [0]:
        return _reshaped(call.before[1:], call)
    return [label("permute", order=tuple(order))]


def _getitem(call: Call) -> list[Label]:
    cuts = _cuts(call)
    return as_written(call) if cuts is None else _sliced(cuts, call)


def _cuts(call: Call) -> list[range] | None:
    """What an index takes of each axis; None for one by numbers or by a mask."""
    index = call.arguments.get("index")
    items = list(index) if isinstance(index, tuple) else [index]
    known = all(isinstance(i, slice | int | None) or i is Ellipsis for i in items)
    if (
        not known
        or any(isinstance(i, bool) for i in items)
        or items.count(Ellipsis) > 1
    ):
        return None
    cuts = [i for i in items if i is not None]
    if Ellipsis in cuts:
        at, missing = cuts.index(Ellipsis), len(call.before) - len(cuts) + 1
        cuts[at : at + 1] = [slice(None)] * missing
    cuts += [slice(None)] * (len(call.before) - len(cuts))
    return [_range(c, n) for c, n in zip(cuts, call.before, strict=True)]


def _range(item: int | slice, size: int) -> range:
    """What an index or a slice takes of an axis."""
    taken = slice(item, (item + 1) or None) if isinstance(item, int) else item
    return range(size)[taken]


def _sliced(cuts: Sequence[range], call: Call) -> list[Label]:
    """Pixels and channels that are taken, and then the shape that they are given."""
    kept = tuple(len(cut) for cut in cuts)
    if kept[0] != call.before[0] or kept[0] != call.after[0]:
        return as_written(call)
    whole = [c == range(0, n, c.step) for c, n in zip(cuts, call.before, strict=True)]
    if kept == call.before:
        first = []
    elif all(whole) and len(kept) == 4 and kept[1] == call.before[1]:
        first = spatial.subsampling([c.step for c in cuts[2:]], call.before[2:])
    else:
        ranges = tuple((c[0], c[-1] + 1, c.step if len(c) > 1 else 1) for c in cuts[1:])
        first = [label("slice", ranges=ranges)]
    return [f._replace(shape=kept[1:]) for f in first] + _reshaped(kept[1:], call)


def _part(call: Call) -> list[Label]:
    """One of the pieces that a tensor is cut into along an axis."""
    dim = int(call.get("dim", 0)) % len(call.before)
    cuts = [range(n) for n in call.before]
    start = int(call.get("start", call.start))
    cuts[dim] = cuts[dim][start : start + call.after[dim]]
    return _sliced(cuts, call)


def _pad(call: Call) -> list[Label]:
    amounts = tuple(call.get("pad", ()))
    if not any(amounts):
        return []
    value = float(call.get("value", 0))
    if call.get("mode", "constant") != "constant" or len(call.before) != 4:
        return as_written(call)
    if len(amounts) > 6:
        return as_written(call)
    return [spatial.padding(amounts, value)]


def _cat(call: Call) -> list[Label]:
    """Tensors behind one another; `holes` are zeros before so many of them."""
    dim = 1 if call.name == "hstack" else int(call.get("dim", 0)) % len(call.after)
    if any(f not in (None, 0.0) for f in call.filled) or dim == 0:
        return as_written(call)
    holes, kept = [], 0
    for shape, value in zip(call.shapes, call.filled, strict=True):
        if value is not None:
            holes.append((kept, shape[dim]))
        kept += value is None
    return concatenation(dim, holes, kept, len(call.after))


def concatenation(
    dim: int, holes: Sequence[tuple[int, int]], count: int, rank: int
) -> list[Label]:
    """So many tensors behind one another; (i, n): n zeros before the i-th of them."""
    joined: dict[int, int] = {}
    for place, zeros in holes:
        joined[place] = joined.get(place, 0) + zeros
    told = {i: n for i, n in sorted(joined.items()) if n}
    if count == 1 and not told:
        return []
    if count == 1 and rank == 4:
        amounts = [0] * 6
        at = 2 * (3 - dim)
        amounts[at : at + 2] = told.get(0, 0), told.get(1, 0)
        return [spatial.padding(amounts)]
    extra = {"holes": tuple(told.items())} if told else {}
    return [label("cat", dim=dim, **extra)]


def _stack(call: Call) -> list[Label]:
    return [label("stack", dim=int(call.get("dim", 0)) % len(call.after))]


def _cast(call: Call) -> list[Label]:
    """A move to another place, or a cast to float32: all is computed in float64."""
    told = [str(v) for name, v in call.arguments.items() if name != "memory_format"]
    casts = [text for text in told if "torch." in text]
    same = all("float32" in text or "torch.FloatTensor" in text for text in casts)
    return [] if same else as_written(call)


_RULES: dict[str, Callable[[Call], list[Label]]] = {
    "conv2d": spatial.conv,
    "batch_norm": _batch_norm,
    "linear": _plain_call,
    "relu": _plain_call,
    "relu6": arithmetic.relu6,
    "leaky_relu": arithmetic.leaky_relu,
    "hardtanh": arithmetic.hardtanh,
    "threshold": arithmetic.threshold,
    "clamp": arithmetic.clamp,
    "clamp_min": arithmetic.clamp,
    "clamp_max": arithmetic.clamp,
    "maximum": arithmetic.maximum,
    "minimum": arithmetic.maximum,
    "max": _max,
    "sigmoid": _plain_call,
    "silu": _plain_call,
    **dict.fromkeys(
        (
            *("dropout", "dropout1d", "dropout2d", "dropout3d"),
            *("alpha_dropout", "feature_alpha_dropout"),
        ),
        _dropout,
    ),
    "view": _view,
    "permute": _permute,
    "transpose": _permute,
    "adaptive_avg_pool2d": spatial.adaptive,
    "adaptive_max_pool2d": spatial.adaptive,
    "mean": _reduction,
    "sum": _reduction,
    "amax": _reduction,
    "max_pool2d": spatial.max_pool,
    "avg_pool2d": spatial.avg_pool,
    "getitem": _getitem,
    "setitem": _setitem,
    "narrow": _part,
    "chunk": _part,
    "split": _part,
    "tensor_split": _part,
    "pad": _pad,
    "cat": _cat,
    "hstack": _cat,
    "stack": _stack,
    "add": arithmetic.add,
    "sub": arithmetic.sub,
    "rsub": arithmetic.rsub,
    "mul": arithmetic.mul,
    "div": arithmetic.div,
    "neg": arithmetic.neg,
    **dict.fromkeys(("to", "type"), _cast),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to", "repeat"), _expand),
    **dict.fromkeys(
        ("float", "type_as", "cpu", "cuda", "contiguous", "clone", "alias", "positive"),
        _same,
    ),
}
_IN_PARTS = ("chunk", "split", "tensor_split", "max")
_FILLED = (
    "add",
    "sub",
    "rsub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "max",
    "cat",
    "hstack",
    "setitem",
)
"""Functions whose rules know what a tensor that is full of one number does."""
