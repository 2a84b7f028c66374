"""Arithmetic with numbers and with tensors, and what clamps, as labels."""

from __future__ import annotations

from math import inf

from resgraph.verify.calls import Call, Label, Number, as_written, label


def affine(factor: float = 1.0, offset: float = 0.0) -> list[Label]:
    """factor * x + offset; no op if that is x."""
    chosen = {"factor": (Number(factor), 1), "offset": (Number(offset), 0)}
    told = {k: v for k, (v, plain) in chosen.items() if v != plain}
    return [label("affine", **told)] if told else []


def _number(call: Call, name: str, place: int) -> float | None:
    """An operand that is one number: written as such, or as a tensor that is full of it."""
    value = call.arguments.get(name)
    if isinstance(value, int | float):
        return float(value)
    known = len(call.filled) == 2 and call.shapes[1 - place] == call.after
    return call.filled[place] if known else None


def add(call: Call) -> list[Label]:
    """input + alpha * other."""
    alpha = float(call.get("alpha", 1))
    first, second = _number(call, "input", 0), _number(call, "other", 1)
    if second is not None:
        return affine(offset=alpha * second)
    if first is not None:
        return affine(alpha, first)
    if any(f is not None for f in call.filled):
        return as_written(call)
    return [label("add") if alpha == 1 else label("sub", alpha=-alpha)]


def sub(call: Call) -> list[Label]:
    """input - alpha * other."""
    opposite = {**call.arguments, "alpha": -float(call.get("alpha", 1))}
    return add(Call("add", opposite, call.shapes, call.after, call.filled))


def rsub(call: Call) -> list[Label]:
    """other - alpha * input, where other is a number."""
    other = _number(call, "other", 1)
    if other is None:
        return as_written(call)
    return affine(-float(call.get("alpha", 1)), other)


def mul(call: Call) -> list[Label]:
    numbers = _number(call, "input", 0), _number(call, "other", 1)
    factor = next((n for n in numbers if n is not None), None)
    if factor is not None:
        return affine(factor)
    return as_written(call) if _has_filled(call) else [label("mul")]


def div(call: Call) -> list[Label]:
    divisor = _number(call, "other", 1)
    if divisor and "rounding_mode" not in call.arguments:
        return affine(1 / divisor)
    return as_written(call)


def neg(call: Call) -> list[Label]:
    return affine(-1.0)


def _has_filled(call: Call) -> bool:
    return any(f is not None for f in call.filled)


def _clamped(low: float, high: float) -> list[Label]:
    if (low, high) == (0, inf):
        return [label("relu")]
    return [label("clamp", min=low, max=high)] if (low, high) != (-inf, inf) else []


def clamp(call: Call) -> list[Label]:
    ends = call.arguments.get("min"), call.arguments.get("max")
    if "clamp" in call.name and any(
        not isinstance(e, int | float | None) for e in ends
    ):
        return as_written(call)
    low, high = call.get("min", -inf), call.get("max", inf)
    return as_written(call) if _has_filled(call) else _clamped(float(low), float(high))


def hardtanh(call: Call) -> list[Label]:
    return _clamped(float(call.get("min_val", -1)), float(call.get("max_val", 1)))


def relu6(call: Call) -> list[Label]:
    return _clamped(0.0, 6.0)


def threshold(call: Call) -> list[Label]:
    """Values up to the threshold are replaced by another."""
    is_relu = (call.get("threshold", 0), call.get("value", 0)) == (0, 0)
    return [label("relu")] if is_relu else as_written(call)


def leaky_relu(call: Call) -> list[Label]:
    slope = call.get("negative_slope", 0.01)
    return [label("relu")] if slope == 0 else [label(call.name, slope=float(slope))]


def maximum(call: Call) -> list[Label]:
    """The larger of two, element by element, or `minimum`: of a number, a clamp."""
    numbers = _number(call, "input", 0), _number(call, "other", 1)
    number = next((n for n in numbers if n is not None), None)
    largest = call.name != "minimum"
    if number is not None:
        return _clamped(number, inf) if largest else _clamped(-inf, number)
    plain = label("maximum" if largest else "minimum")
    return as_written(call) if _has_filled(call) else [plain]
