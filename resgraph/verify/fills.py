"""Tensors that are known to hold one number in all their elements, as the zeros of option A."""

from __future__ import annotations

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


def fill_of(call: Call) -> float | None:
    """The one number that the call's result is full of, if that is known."""
    if call.name in _MADE:
        return _MADE[call.name]
    if call.name in _TOLD:
        value = call.arguments.get(_TOLD[call.name])
        return float(value) if isinstance(value, int | float) else None
    if call.name == "mul" and call.arguments.get("other") == 0:
        return 0.0
    if call.name in _KEPT and call.shapes and len(set(call.filled)) == 1:
        return call.filled[0]
    return None
