"""What a parameter may be: a number, true or false, text, a list of numbers, an op; and
numbers for a reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, ClassVar, Protocol

from resgraph import expr
from resgraph.diagnostics import plain
from resgraph.expr import Expr, Number


class OpValue(Protocol):
    """An op as a value: `resgraph.ops` has them all."""

    kind: ClassVar[str]

    @property
    def name(self) -> str | None:
        """The layer's name, where the spec gives one."""

    def attributes(self) -> Mapping[str, Any]:
        """What differs from the defaults."""


Value = Fraction | bool | str | tuple[Fraction, ...] | OpValue


def written(value: object) -> str:
    """A value in full, so that no two read the same: `0.5`, `true`, `"same"`, `[3, 4]`, `relu`."""
    return _put(value, expr.written, json.dumps)


def show(value: object) -> str:
    """A value for a reader; numbers rounded where they are long, text on one line."""
    return _put(value, expr.show, lambda text: f"'{plain(text)}'")


_SCALES = ((10**10, 10**9, "G"), (10**6, 10**6, "M"), (10**4, 10**3, "K"))
"""From how many on a large number is given in what."""


def amount(number: int, of: int | None = None) -> str:
    """`640`, `57.34K`, `244.50M`: a large number for a reader; one of several in the unit
    that suits `of`, their sum."""
    size = number if of is None else of
    for least, unit, sign in _SCALES:
        if size >= least:
            return f"{number / unit:,.2f}{sign}"
    return f"{number:,}"


def _put(
    value: object, number: Callable[[Number], str], text: Callable[[str], str]
) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int() | float() | Fraction():
            return number(value)
        case str():
            return text(value)
        case Expr():
            return value.text
        case tuple() | list():
            return f"[{', '.join(_put(item, number, text) for item in value)}]"
    return _op(value, lambda item: _put(item, number, text))


def _op(value: Any, put: Callable[[object], str]) -> str:
    """`relu`, `leaky_relu(slope=0.1)`."""
    given = {**({"name": value.name} if value.name else {}), **value.attributes()}
    if not given:
        return str(value.kind)
    return f"{value.kind}({', '.join(f'{k}={put(v)}' for k, v in given.items())})"
