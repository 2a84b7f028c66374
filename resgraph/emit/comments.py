"""The shapes that stand behind statements: formulas of the unit's input, or numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resgraph.ops import Shape

if TYPE_CHECKING:
    from resgraph.emit.class_source import ClassSource

LETTERS = "HW"


def comment(source: ClassSource, node: str) -> str:
    """The shape of a node's value; of several ones, each behind its name."""
    channels = source.formulas.channels
    several = [value for value in channels if value.startswith(f"{node}.")]
    if node in channels or not several:
        return _shape(source, node)
    return ", ".join(f"{v.partition('.')[2]} {_shape(source, v)}" for v in several)


def show_shape(shape: Shape) -> str:
    """`[N, 64, 32, 32]`"""
    return f"[{', '.join(['N', *map(str, shape)])}]"


def _shape(source: ClassSource, value: str) -> str:
    formulas = source.formulas
    shapes = [formulas.shape(body, value) for body in source.bodies]
    if source.variant is None:
        return show_shape(shapes[0])
    channels = str(formulas.channels[value])
    if len(shapes[0]) == 2:
        return f"[N, T, {channels}]"
    sides = [_side(source, shapes, axis) for axis in range(1, len(shapes[0]))]
    return f"[{', '.join(['N', channels, *sides])}]"


def _side(source: ClassSource, shapes: list[Shape], axis: int) -> str:
    """A map's side as a formula of the first input's that holds in every instance."""
    letter = LETTERS[axis - 1]
    inputs = [body.instance.input for body in source.bodies]
    if any(len(shape) <= axis for shape in inputs):
        return f"{letter}'"
    pairs = [(a[axis], b[axis]) for a, b in zip(inputs, shapes, strict=True)]
    if all(before == after for before, after in pairs):
        return letter
    if all(after == 1 for _, after in pairs):
        return "1"
    for param in source.formulas.strides:
        strides: list[Any] = [body.instance.args[param] for body in source.bodies]
        if not isinstance(strides[0], tuple) and all(
            stride > 0 and -(-before // stride) == after
            for (before, after), stride in zip(pairs, strides, strict=True)
        ):
            return f"{letter}/{source.formulas.local[param]}"
    return _ratio(letter, {before / after for before, after in pairs})


def _ratio(letter: str, ratios: set[float]) -> str:
    ratio, *others = ratios
    if not others and ratio.is_integer():
        return f"{letter}/{ratio:g}"
    if not others and (1 / ratio).is_integer():
        return f"{1 / ratio:g} * {letter}"
    return f"{letter}'"
