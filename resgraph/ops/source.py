"""Attributes and layers of ops as Python, and ops in the words of a drawing."""

from __future__ import annotations

from typing import Any

from resgraph.expr import Expr, exact, literal
from resgraph.syntax import Call, Literal, Syntax, call


def whole(value: Any) -> Syntax:
    """A whole number, or an expression that comes out whole: `3`, `4 * width`."""
    if isinstance(value, Syntax):
        return value
    if isinstance(value, Expr):
        return value.syntax()
    return Literal(value if isinstance(value, bool) else literal(value))


def real(value: Any) -> Syntax:
    """A real number, or an expression: `3.0`, `width / 4`."""
    if isinstance(value, Syntax):
        return value
    if isinstance(value, Expr):
        return value.syntax(whole=False)
    return Literal(float(exact(value)))


def layer(constructor: str, *positional: Any, **keywords: Any) -> Call:
    """A constructor call; a keyword whose value is None (torch's default) is left out.

    Numbers are whole ones; a real number comes as `real(value)`.
    """
    named = {key: whole(value) for key, value in keywords.items() if value is not None}
    return call(constructor, *map(whole, positional), **named)


def unless(default: Any, value: Any) -> Any:
    """`value`, or None where it is the default and need not be written."""
    return None if value == default else value
