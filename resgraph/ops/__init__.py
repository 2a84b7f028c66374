"""One class per op. A new class in one of these modules is in the language at once."""

from resgraph.ops import merge, pointwise, pool, shortcut, weighted
from resgraph.ops.base import OnnxBuilder, Op, OpError, Shape, Weight
from resgraph.ops.facts import POINT, WHOLE, ReceptiveField, Role, Saved
from resgraph.ops.start import Init, Start

_MODULES = (weighted, pointwise, merge, pool, shortcut)

OPS: dict[str, type[Op]] = {
    value.kind: value
    for module in _MODULES
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Op) and hasattr(value, "kind")
}
"""Every op of the language, by the name that specs use."""

__all__ = [
    "OPS",
    "POINT",
    "WHOLE",
    "Init",
    "OnnxBuilder",
    "Op",
    "OpError",
    "ReceptiveField",
    "Role",
    "Saved",
    "Shape",
    "Start",
    "Weight",
]
