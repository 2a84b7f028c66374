"""Tensors that are known to hold one number in all their elements, as the zeros of option A."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

from resgraph.verify.calls import Call

_MADE = {
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros", "zero"), 0.0),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), 1.0),
}
_TOLD = {
    **dict.fromkeys(("full", "full_like", "new_full", "fill"), "fill_value"),
    **dict.fromkeys(("tensor", "new_tensor"), "data"),
}
"""The argument that is the number."""
_KEPT = frozenset(
    {
        *("getitem", "view", "permute", "transpose", "narrow", "chunk", "split"),
        *("expand", "expand_as", "broadcast_to", "repeat", "contiguous", "clone"),
        *("to", "type_as", "type", "float", "detach", "cat", "stack"),
    }
)
"""Functions whose results have no other elements than their inputs."""


_COMPUTED: dict[str, Callable[[float, float, float], float]] = {
    "add": lambda a, b, alpha: a + alpha * b,
    "sub": lambda a, b, alpha: a - alpha * b,
    "rsub": lambda a, b, alpha: b - alpha * a,
    "mul": lambda a, b, _: a * b,
    "div": lambda a, b, _: a / b if b else nan,
}


def fill_of(call: Call) -> float | None:
    """The one number that the call's result is full of, if that is known."""
    if call.name in _MADE:
        return _MADE[call.name]
    if call.name in _TOLD:
        value = call.arguments.get(_TOLD[call.name])
        return float(value) if isinstance(value, int | float) else None
    if call.name == "mul" and call.arguments.get("other") == 0:
        return 0.0
    if call.name in _COMPUTED:
        return _computed(call)
    if call.name in _KEPT and call.shapes and len(set(call.filled)) == 1:
        return call.filled[0]
    return None


def _computed(call: Call) -> float | None:
    """The number that arithmetic makes of two, each written as such or all of a tensor."""
    tensors = iter(call.filled)
    numbers = []
    for name in ("input", "other"):
        value = call.arguments.get(name)
        numbers.append(next(tensors, None) if value is None else value)
    first, second = numbers
    if not (isinstance(first, int | float) and isinstance(second, int | float)):
        return None
    if "rounding_mode" in call.arguments:
        return None
    return _COMPUTED[call.name](first, second, float(call.get("alpha", 1)))
