"""A call of a torch function: one name for its variants, and all arguments by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Call:
    """A call of a function on tensors; tensors among the arguments are `None`.

    All shapes are with the batch.
    """

    name: str
    arguments: Mapping[str, Any]
    shapes: tuple[tuple[int, ...], ...]
    """Of each tensor among the arguments, in order."""
    after: tuple[int, ...]
    """The result's shape."""
    filled: tuple[float | None, ...] = ()
    """Of each tensor: the number that is known to be in all its elements."""
    start: int = 0
    """Where the result starts, if it is one of the parts that an input is cut into."""

    @property
    def before(self) -> tuple[int, ...]:
        """The shape of the first tensor."""
        return self.shapes[0] if self.shapes else ()

    def get(self, name: str, default: Any) -> Any:
        """An argument that may be left out, or be None."""
        value = self.arguments.get(name)
        return default if value is None else value


class Label(NamedTuple):
    """An op and what was chosen about it, in the order of the names."""

    op: str
    attributes: tuple[tuple[str, Any], ...] = ()
    shape: tuple[int, ...] | None = None
    """Of the value, without the batch; None: that of the call's result."""


AS_WRITTEN = "torch."
"""Before the name of a function that is compared by its arguments as they are written."""


class Number(float):
    """A number that is compared without its last bits: 49 * (1 / 49) is 1."""

    def __repr__(self) -> str:
        return f"{float(self):.12g}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float | int) and repr(self) == repr(Number(other))

    def __hash__(self) -> int:
        return hash(repr(self))


def label(op: str, **attributes: Any) -> Label:
    """An op with its attributes in order."""
    return Label(op, tuple(sorted(attributes.items())))


def as_written(call: Call) -> list[Label]:
    """The function itself, with its arguments: for what no rule knows."""
    plain = {
        name: _plain(value)
        for name, value in call.arguments.items()
        if value is not None and name != "inplace"
    }
    return [with_filled(label(AS_WRITTEN + call.name, **plain), call)]


def with_filled(found: Label, call: Call) -> Label:
    """The label, unlike that of a call on tensors whose numbers are not known."""
    told = [
        (i, call.shapes[i][1:], value)
        for i, value in enumerate(call.filled)
        if value is not None
    ]
    if not told:
        return found
    return found._replace(attributes=(*found.attributes, ("filled", tuple(told))))


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
    """All arguments by name, in the function's order; by number where it is unknown.

    `*name` takes all that are left, or one tuple of them.
    """
    known = _SIGNATURES.get(name, ())
    many = len(known) - 1 if known and known[-1].startswith("*") else len(args)
    given = {
        known[i] if i < len(known) else str(i): v for i, v in enumerate(args[:many])
    }
    if rest := args[many:]:
        given[known[many]] = rest[0] if isinstance(rest[0], list | tuple) else rest
    for key, value in kwargs.items():
        given[_RENAMED.get((name, key), key)] = value
    ordered = {key: given[key] for key in known if key in given}
    return ordered | {key: given[key] for key in sorted(given) if key not in ordered}


_SYNONYMS = {
    "absolute": "abs",
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "_max_pool2d": "max_pool2d",
    "_adaptive_max_pool2d": "adaptive_max_pool2d",
    "multiply": "mul",
    "negative": "neg",
    "special_expit": "sigmoid",
    "_threshold": "threshold",
    "subtract": "sub",
    "truediv": "div",
    "divide": "div",
    "true_divide": "div",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "feature_dropout": "dropout2d",
    **dict.fromkeys(
        (
            *("reshape", "flatten", "squeeze", "unsqueeze", "unflatten"),
            *("view_as", "reshape_as", "ravel"),
        ),
        "view",
    ),
}
"""Names of functions that do the same to the last bit."""
_POOL = ("input", "kernel_size", "stride", "padding")
_REDUCTION = ("input", "dim", "keepdim")
_DROPOUT = ("input", "p", "training", "inplace")
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "batch_norm": (
        *("input", "running_mean", "running_var", "weight", "bias"),
        *("training", "momentum", "eps"),
    ),
    "linear": ("input", "weight", "bias"),
    "relu": ("input", "inplace"),
    "relu6": ("input", "inplace"),
    "silu": ("input", "inplace"),
    "leaky_relu": ("input", "negative_slope", "inplace"),
    "hardtanh": ("input", "min_val", "max_val", "inplace"),
    "threshold": ("input", "threshold", "value", "inplace"),
    "clamp": ("input", "min", "max"),
    "clamp_min": ("input", "min"),
    "clamp_max": ("input", "max"),
    "maximum": ("input", "other"),
    "minimum": ("input", "other"),
    "sigmoid": ("input",),
    "dropout": _DROPOUT,
    "dropout1d": _DROPOUT,
    "dropout2d": _DROPOUT,
    "dropout3d": _DROPOUT,
    "alpha_dropout": _DROPOUT,
    "feature_alpha_dropout": _DROPOUT,
    "max_pool2d": (*_POOL, "dilation", "ceil_mode", "return_indices"),
    "avg_pool2d": (*_POOL, "ceil_mode", "count_include_pad", "divisor_override"),
    "adaptive_avg_pool2d": ("input", "output_size"),
    "adaptive_max_pool2d": ("input", "output_size", "return_indices"),
    "pad": ("input", "pad", "mode", "value"),
    "mean": _REDUCTION,
    "sum": _REDUCTION,
    "amax": _REDUCTION,
    "max": _REDUCTION,
    "cat": ("tensors", "dim"),
    "stack": ("tensors", "dim"),
    "hstack": ("tensors",),
    "chunk": ("input", "chunks", "dim"),
    "split": ("input", "split_size_or_sections", "dim"),
    "tensor_split": ("input", "indices_or_sections", "dim"),
    "narrow": ("input", "dim", "start", "length"),
    "permute": ("input", "*dims"),
    "transpose": ("input", "dim0", "dim1"),
    "getitem": ("input", "index"),
    "setitem": ("input", "index", "value"),
    "add": ("input", "other", "alpha"),
    "sub": ("input", "other", "alpha"),
    "rsub": ("input", "other", "alpha"),
    "mul": ("input", "other"),
    "div": ("input", "other"),
    "neg": ("input",),
    "to": ("input", "target"),
    "type": ("input", "target"),
    "full": ("size", "fill_value"),
    "full_like": ("input", "fill_value"),
    "new_full": ("input", "size", "fill_value"),
    "fill": ("input", "fill_value"),
    "tensor": ("data",),
    "new_tensor": ("input", "data"),
}
_RENAMED = {
    ("mean", "axis"): "dim",
    ("sum", "axis"): "dim",
    ("cat", "axis"): "dim",
    ("permute", "dims"): "*dims",
}
"""Keywords that have two names, or may be given as many arguments."""
