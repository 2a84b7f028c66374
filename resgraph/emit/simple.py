"""Arithmetic of formulas: constants folded, and sums over the units of a row."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from resgraph.syntax import (
    Infix,
    Literal,
    Name,
    Prefix,
    Subscript,
    Syntax,
    infix,
    names,
    replaced,
)

Term = tuple[int, Syntax]
"""What is added (1) or taken away (-1)."""
_ZERO, _ONE = Literal(0), Literal(1)


def put(tree: Syntax, values: Mapping[str, Syntax]) -> Syntax:
    """The expression with other ones in the place of names, and simple where it was changed.

    Raises `ValueError` as `replaced` does.
    """
    made = replaced(tree, values)
    return made if made == tree else simplified(made)


def simplified(tree: Syntax) -> Syntax:
    """The same number, without `x + 0`, `x * 1`, `x * 0` and sums of constants."""
    match tree:
        case Infix("+" | "-") | Prefix("+" | "-"):
            return _sum([*_terms(tree, 1)])
        case Infix("*", operands):
            return _product([simplified(operand) for operand in operands])
        case Infix(("/" | "//" | "%") as sign, operands):
            return _quotient(sign, [simplified(operand) for operand in operands])
        case Subscript(name, index):
            return Subscript(name, simplified(index))
    return tree


def _terms(tree: Syntax, sign: int) -> Iterator[Term]:
    match tree:
        case Infix("+", operands):
            for operand in operands:
                yield from _terms(operand, sign)
        case Infix("-", (start, *rest)):
            yield from _terms(start, sign)
            for operand in rest:
                yield from _terms(operand, -sign)
        case Prefix("+" | "-", operand):
            yield from _terms(operand, -sign if tree.operator == "-" else sign)
        case Literal(value=int(number)) if number < 0:
            yield -sign, Literal(-number)
        case _:
            inner = simplified(tree)
            yield from [(sign, inner)] if inner == tree else _terms(inner, sign)


def _sum(terms: Sequence[Term]) -> Syntax:
    """The terms in their order; several constants are one, behind the others."""
    left: list[Term] = []
    for sign, tree in terms:
        if (-sign, tree) in left:
            left.remove((-sign, tree))
        else:
            left.append((sign, tree))
    constants = [sign * n for sign, t in left if (n := _whole(t)) is not None]
    if len(constants) > 1 or 0 in constants:
        total = sum(constants)
        rest = [(sign, t) for sign, t in left if _whole(t) is None]
        left = [*rest, (1 if total > 0 else -1, Literal(abs(total)))] if total else rest
    return _added(sorted(left, key=lambda term: term[0] < 0)) if left else _ZERO


def _added(terms: Sequence[Term]) -> Syntax:
    (sign, made), *rest = terms
    if sign < 0:
        number = _whole(made)
        made = Prefix("-", made) if number is None else Literal(-number)
    for sign, tree in rest:
        operator = "+" if sign > 0 else "-"
        alike = isinstance(made, Infix) and made.operator == operator
        before = made.operands if alike and isinstance(made, Infix) else (made,)
        made = Infix(operator, (*before, tree))
    return made


def _product(factors: Sequence[Syntax]) -> Syntax:
    if _ZERO in factors:
        return _ZERO
    flat = [
        part
        for f in factors
        for part in (f.operands if isinstance(f, Infix) and f.operator == "*" else (f,))
    ]
    constants = [n for f in flat if (n := _whole(f)) is not None]
    if len(constants) > 1 or 1 in constants:
        number = math.prod(constants)
        rest = [f for f in flat if _whole(f) is None]
        flat = [*([Literal(number)] if number != 1 or not rest else []), *rest]
    return infix("*", *flat)


def _quotient(sign: str, operands: Sequence[Syntax]) -> Syntax:
    start, *rest = operands
    if sign != "%" and (start == _ZERO or all(o == _ONE for o in rest)):
        return start
    return Infix(sign, tuple(operands))


def _whole(tree: Syntax) -> int | None:
    """The whole number that it is; None of anything else, `True` among it."""
    if isinstance(tree, Literal) and type(tree.value) is int:
        return tree.value
    return None


# --- sums over the units of a row ---------------------------------------------------------


def added_up(step: Syntax, variable: str, count: Syntax) -> list[Syntax] | None:
    """The terms of the sum of `step` for the variable from 0 to below `count`.

    None where the step does not grow evenly: its sum is no short formula.
    """
    slope = _slope(step, variable)
    if slope is None:
        return None
    start = put(step, {variable: _ZERO})
    if slope == _ZERO:
        return [infix("*", count, start)]
    if start == slope:  # 1 + 2 + 3
        return [_times(slope, _half(count, simplified(infix("+", count, 1))))]
    pairs = _times(slope, _half(count, simplified(infix("-", count, 1))))
    return [pairs] if start == _ZERO else [_times(count, start), pairs]


def _half(a: Syntax, b: Syntax) -> Syntax:
    return infix("//", infix("*", a, b), 2)


def _times(a: Syntax, b: Syntax) -> Syntax:
    return _product([a, b])


def _slope(tree: Syntax, variable: str) -> Syntax | None:
    """By how much it grows with each step of the variable; None where that is not constant."""
    if variable not in names(tree):
        return _ZERO
    match tree:
        case Name():
            return _ONE
        case Prefix(sign, operand):
            inner = _slope(operand, variable)
            return None if inner is None else simplified(Prefix(sign, inner))
        case Infix(("+" | "-") as sign, operands):
            slopes = [_slope(operand, variable) for operand in operands]
            known = [slope for slope in slopes if slope is not None]
            whole = len(known) == len(slopes)
            return simplified(infix(sign, *known)) if whole else None
        case Infix("*", operands):
            return _slope_of_product(operands, variable)
    return None


def _slope_of_product(factors: Sequence[Syntax], variable: str) -> Syntax | None:
    (inner, *more) = (f for f in factors if variable in names(f))
    slope = _slope(inner, variable)
    if more or slope is None:
        return None
    return simplified(infix("*", *(slope if f == inner else f for f in factors)))
