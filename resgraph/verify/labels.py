"""What a call of a torch function computes, by one name for all the ways to write it.

`torch.relu(x)`, `x.relu_()` and `nn.ReLU()` are one op; so are `x.mean((2, 3))` and an
adaptive pooling to one pixel, or a stride in a slice and in a pooling of one pixel. A
function that has no rule here keeps its own name and arguments, so that an unknown op equals
itself and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

Label = tuple[str, tuple[tuple[str, Any], ...]]
"""An op and what was chosen about it, in the order of the names."""

COMMUTATIVE = frozenset({"add", "mul"})
RANDOM = frozenset({"dropout", "bernoulli", "rand_like", "randn_like", "rand", "randn"})


@dataclass(frozen=True)
class Call:
    """A call of a function on tensors; tensors among the arguments are `None`.

    Shapes are those of the first tensor and of the result, with the batch.
    """

    name: str
    arguments: Mapping[str, Any]
    before: tuple[int, ...]
    after: tuple[int, ...]
    zeros: tuple[bool, ...]
    """Which of the tensors are known to hold nothing but zeros."""

    def get(self, name: str, default: Any) -> Any:
        value = self.arguments.get(name)
        return default if value is None else value


def labels(call: Call) -> list[Label]:
    """The ops that the call amounts to, one after the other; none if it changes nothing."""
    rule = _RULES.get(call.name)
    return _as_written(call) if rule is None else rule(call)


def function_name(function: Any) -> str:
    """The function's name, one for its variants: methods, in-place, reflected."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        return f"get {getattr(function.__self__, '__name__', '')}"
    name = re.sub(r"(?<!_)_$", "", name)
    if name.startswith("__") and name.endswith("__"):
        name = re.sub(r"^i(?=add|mul|sub|truediv)", "", name[2:-2])
        name = re.sub(r"^r(?=add|mul)", "", name)
    return _SYNONYMS.get(name, name)


def named(
    name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """All arguments by name, in the function's order; by number where it is unknown."""
    known = _SIGNATURES.get(name, ())
    given = {
        known[i] if i < len(known) else str(i): value for i, value in enumerate(args)
    } | dict(kwargs)
    ordered = {key: given[key] for key in known if key in given}
    return ordered | {key: given[key] for key in sorted(given) if key not in ordered}


_SYNONYMS = {
    "concat": "cat",
    "concatenate": "cat",
    "_max_pool2d": "max_pool2d",
    "multiply": "mul",
    "subtract": "sub",
    "truediv": "div",
    "reshape": "view",
    "flatten": "view",
    "squeeze": "view",
    "unflatten": "view",
}
_POOL = ("input", "kernel_size", "stride", "padding")
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "batch_norm": (
        *("input", "running_mean", "running_var", "weight", "bias"),
        *("training", "momentum", "eps"),
    ),
    "linear": ("input", "weight", "bias"),
    "relu": ("input", "inplace"),
    "sigmoid": ("input",),
    "dropout": ("input", "p", "training", "inplace"),
    "max_pool2d": (*_POOL, "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": (*_POOL, "ceil_mode", "count_include_pad", "divisor_override"),
    "adaptive_avg_pool2d": ("input", "output_size"),
    "pad": ("input", "pad", "mode", "value"),
    "mean": ("input", "dim", "keepdim"),
    "cat": ("tensors", "dim"),
    "getitem": ("input", "index"),
    "add": ("input", "other", "alpha"),
    "sub": ("input", "other", "alpha"),
    "rsub": ("input", "other", "alpha"),
    "mul": ("input", "other"),
    "div": ("input", "other"),
    "to": ("input", "target"),
}


def _label(op: str, **attributes: Any) -> Label:
    return op, tuple(sorted(attributes.items()))


def _as_written(call: Call) -> list[Label]:
    plain = {
        name: _plain(value)
        for name, value in call.arguments.items()
        if value is not None and name != "inplace"
    }
    return [_label(call.name, **plain)]


def _arithmetic(call: Call) -> list[Label]:
    """2 and 2.0 are one number to a tensor of floats."""
    numbers = {
        name: float(value)
        for name, value in call.arguments.items()
        if isinstance(value, int | float)
    }
    return [_label(call.name, **numbers)]


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_plain(v) for v in value)
    return (
        value
        if isinstance(value, int | float | str | bool | type(None))
        else repr(value)
    )


def pair(value: Any) -> tuple[int, ...]:
    """Height and width, of one number for both or of two."""
    items = tuple(value) if isinstance(value, list | tuple) else (value,)
    return items * 2 if len(items) == 1 else items


def _same(call: Call) -> list[Label]:
    return []


def _conv(call: Call) -> list[Label]:
    padding = call.get("padding", 0)
    chosen = {
        "stride": pair(call.get("stride", 1)),
        "padding": padding if isinstance(padding, str) else pair(padding),
        "dilation": pair(call.get("dilation", 1)),
        "groups": call.get("groups", 1),
    }
    return [_label("conv2d", **chosen)]


def _batch_norm(call: Call) -> list[Label]:
    """The momentum is one of training: at inference it does nothing."""
    training = bool(call.get("training", False))
    chosen = {"training": training, "eps": call.get("eps", 1e-5)}
    if training:
        chosen["momentum"] = call.arguments.get("momentum", 0.1)
    return [_label("batch_norm", **chosen)]


def _plain_call(call: Call) -> list[Label]:
    return [_label(call.name)]


def _dropout(call: Call) -> list[Label]:
    rate = call.get("p", 0.5)
    return [_label("dropout", p=rate)] if call.get("training", True) and rate else []


def _view(call: Call) -> list[Label]:
    """Any change of shape that keeps the images apart; what was written does not matter."""
    if call.after == call.before:
        return []
    if call.after[:1] == call.before[:1] and prod(call.after) == prod(call.before):
        return [_label("reshape", shape=call.after[1:])]
    return _as_written(call)


def _pooled(call: Call) -> list[Label]:
    """The mean of each map, as a map of one pixel, then as a vector if it is one."""
    vector = _label("reshape", shape=call.after[1:])
    return [_label("global_avg_pool"), *([vector] if len(call.after) == 2 else [])]


def _mean(call: Call) -> list[Label]:
    dims = call.get("dim", ())
    axes = {d % 4 for d in (dims if isinstance(dims, list | tuple) else (dims,))}
    whole = len(call.before) == 4 and axes == {2, 3}
    return _pooled(call) if whole else _as_written(call)


def _adaptive(call: Call) -> list[Label]:
    size = pair(call.get("output_size", 1))
    return _pooled(call) if size == (1, 1) else [_label(call.name, size=size)]


def _pool(call: Call) -> list[Label]:
    kernel = pair(call.get("kernel_size", 1))
    stride = pair(call.get("stride", kernel) or kernel)
    padding = pair(call.get("padding", 0))
    if kernel == (1, 1) and padding == (0, 0):
        return _subsampled(stride)
    maps = call.before[-2:]
    if call.name == "avg_pool2d" and kernel == maps and padding == (0, 0):
        return _pooled(call)
    rest = {
        name: value
        for name, value in call.arguments.items()
        if name not in _POOL and value is not None
    }
    defaults = {
        "dilation": 1,
        "ceil_mode": False,
        "return_indices": False,
        "count_include_pad": True,
    }
    told = {name: value for name, value in rest.items() if value != defaults.get(name)}
    return [_label(call.name, kernel=kernel, stride=stride, padding=padding, **told)]


def _subsampled(steps: tuple[int, ...]) -> list[Label]:
    return [] if steps == (1, 1) else [_label("subsample", steps=steps)]


def _getitem(call: Call) -> list[Label]:
    index = call.arguments.get("index")
    items = index if isinstance(index, tuple) else (index,)
    if Ellipsis in items:
        at, missing = items.index(Ellipsis), len(call.before) - len(items) + 1
        items = (*items[:at], *[slice(None)] * missing, *items[at + 1 :])
    if not all(isinstance(item, slice) for item in items):
        return _as_written(call)
    ranges = [
        item.indices(size) for item, size in zip(items, call.before, strict=False)
    ]
    whole = all(
        start == 0 and stop == size
        for (start, stop, _), size in zip(ranges, call.before, strict=False)
    )
    steps = [step for _, _, step in ranges] + [1] * (len(call.before) - len(ranges))
    if whole and steps[:2] == [1, 1] and len(steps) == 4:
        return _subsampled((steps[2], steps[3]))
    return [] if call.after == call.before else [_label("slice", ranges=tuple(ranges))]


def _pad(call: Call) -> list[Label]:
    amounts = tuple(call.get("pad", ()))
    while amounts[-2:] == (0, 0):
        amounts = amounts[:-2]
    if not amounts:
        return []
    if call.get("mode", "constant") != "constant" or call.get("value", 0):
        return _as_written(call)
    return [_label("pad", amounts=amounts)]


def _cat(call: Call) -> list[Label]:
    """Zeros behind the channels are a padding of these."""
    dim = call.get("dim", 0)
    if dim % 4 == 1 and call.zeros[1:] == (True,) and not call.zeros[0]:
        extra = call.after[1] - call.before[1]
        return [_label("pad", amounts=(0, 0, 0, 0, 0, extra))]
    return [_label("cat", dim=dim % len(call.after))]


def _cast(call: Call) -> list[Label]:
    target = call.arguments.get("target", call.arguments.get("dtype"))
    same = target is None or "float32" in str(target) or "device" in str(target)
    return [] if same else _as_written(call)


_RULES: dict[str, Callable[[Call], list[Label]]] = {
    "conv2d": _conv,
    "batch_norm": _batch_norm,
    "linear": _plain_call,
    "relu": _plain_call,
    "sigmoid": _plain_call,
    "dropout": _dropout,
    "view": _view,
    "adaptive_avg_pool2d": _adaptive,
    "mean": _mean,
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "getitem": _getitem,
    "pad": _pad,
    "cat": _cat,
    "add": _arithmetic,
    "sub": _arithmetic,
    "rsub": _arithmetic,
    "mul": _arithmetic,
    "div": _arithmetic,
    "to": _cast,
    "float": _same,
    "contiguous": _same,
    "clone": _same,
    "alias": _same,
}
