"""Arithmetic over parameters, as specs write it: `4 * width`, `(depth - 2) / 9`.

The text is parsed by Python's own parser and walked by a whitelist of node types; nothing
is ever passed to `eval`. Numbers are exact fractions, so `(depth - 2) / 9` is whole or it
is not, and no rounding decides.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache, reduce

from resgraph.limits import (
    EXPRESSION_DENOMINATOR,
    EXPRESSION_MAGNITUDE,
    EXPRESSION_TEXT,
)
from resgraph.syntax import Infix, Literal, Name, Prefix, Syntax, infix, names

# Python folds look-alike letters into ASCII ones when it parses: admit ASCII alone.
_ALPHABET = re.compile(r"[0-9A-Za-z_+\-*/%(). ]+")
_SIGNS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}
_OPERATORS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: Fraction(a // b),
    "%": lambda a, b: a % b,
}

Number = int | float | Fraction


class ExprError(ValueError):
    """An expression that cannot be parsed or evaluated; the message says why."""


@dataclass(frozen=True)
class Expr:
    """An arithmetic expression as a tree; `Expr.parse` reads one, `total` adds some up."""

    tree: Syntax

    @classmethod
    def parse(cls, text: str) -> Expr:
        """The expression that `text` is. Raises `ExprError`."""
        return _parsed(text)

    @cached_property
    def text(self) -> str:
        """The expression in Python's canonical form."""
        return str(self.tree)

    def __str__(self) -> str:
        return self.text

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters that the expression reads, in order of appearance."""
        return tuple(dict.fromkeys(names(self.tree)))

    def evaluate(self, env: Mapping[str, Fraction], whole: bool = False) -> Fraction:
        """The exact value under `env`.

        With `whole`, every `/` must come out whole, so that Python's `//` in generated
        code computes the same. Raises `ExprError`.
        """
        return _evaluate(self.tree, env, whole)

    def syntax(self, prefix: str = "", whole: bool = True) -> Syntax:
        """Python's form of it, each parameter after `prefix` (`self.`)."""
        return _rewritten(self.tree, prefix, whole)


def total(values: Iterable[Expr | int]) -> Expr | int:
    """The sum, with equal terms gathered: `in_channels + 3 * growth`."""
    counts: dict[Syntax, int] = {}
    for value in values:
        for term in _terms(value.tree if isinstance(value, Expr) else Literal(value)):
            count, rest = _counted(term)
            counts[rest] = counts.get(rest, 0) + count
    constant = counts.pop(_ONE, 0)
    terms = [rest if n == 1 else _times(n, rest) for rest, n in counts.items() if n]
    if not terms:
        return constant
    return Expr(infix("+", *terms, *([Literal(constant)] if constant else [])))


_ONE = Literal(1)


def _terms(tree: Syntax) -> tuple[Syntax, ...]:
    if isinstance(tree, Infix) and tree.operator == "+":
        return tuple(term for part in tree.operands for term in _terms(part))
    return (tree,)


def _counted(term: Syntax) -> tuple[int, Syntax]:
    """A term as a whole number times the rest of it."""
    match term:
        case Literal(value=int(number)):
            return number, _ONE
        case Infix("*", (Literal(value=int(number)), *rest)):
            return number, infix("*", *rest)
    return 1, term


def _times(count: int, rest: Syntax) -> Syntax:
    factors = (
        rest.operands if isinstance(rest, Infix) and rest.operator == "*" else [rest]
    )
    return infix("*", count, *factors)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Expr:
    if len(text) > EXPRESSION_TEXT:
        raise ExprError(
            f"an expression may have {EXPRESSION_TEXT} characters, not {len(text)}"
        )
    if not _ALPHABET.fullmatch(text):
        raise ExprError(
            f"{text!r} is not arithmetic over parameters (letters, digits and + - * / // % ( ) are)"
        )
    text = text.strip()
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ExprError(f"'{text}' is not a complete arithmetic expression") from None
    return Expr(_admitted(tree, text))


def _admitted(node: ast.expr, text: str) -> Syntax:
    """The node as a tree of ours, if it is arithmetic."""
    match node:
        case ast.Constant(value=bool() | None):
            pass
        case ast.Constant(value=int() | float() as value):
            if not abs(value) <= EXPRESSION_MAGNITUDE:
                raise ExprError(f"a number in '{text}' is too large")
            return Literal(value)
        case ast.Name(id=name):
            return Name(name)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
            sign = "-" if isinstance(op, ast.USub) else "+"
            return Prefix(sign, _admitted(operand, text))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SIGNS:
            return _joined(
                _SIGNS[type(op)], _admitted(left, text), _admitted(right, text)
            )
    raise ExprError(
        f"'{text}' is not arithmetic: only numbers, parameters and + - * / // % ( ) are"
    )


def _joined(sign: str, left: Syntax, right: Syntax) -> Infix:
    """`a + b + c` is one sum of three, and `a * b * c` one product."""
    if isinstance(left, Infix) and left.operator == sign and sign in "+*":
        return Infix(sign, (*left.operands, right))
    return Infix(sign, (left, right))


def _evaluate(tree: Syntax, env: Mapping[str, Fraction], whole: bool) -> Fraction:
    match tree:
        case Literal(value=int() | float() as value):
            return exact(value)
        case Name(text=name):
            if name not in env:
                raise ExprError(f"unknown parameter '{name}'")
            return env[name]
        case Prefix(operator=sign, operand=operand):
            number = _evaluate(operand, env, whole)
            return -number if sign == "-" else number
        case Infix(operator=sign, operands=operands):
            values = (_evaluate(operand, env, whole) for operand in operands)
            return reduce(lambda a, b: _apply(tree, sign, a, b, whole), values)
    raise AssertionError(f"not admitted: {tree}")


def _apply(tree: Syntax, sign: str, a: Fraction, b: Fraction, whole: bool) -> Fraction:
    if b == 0 and sign in ("/", "//", "%"):
        raise ExprError(f"'{tree}' divides by zero")
    value = _OPERATORS[sign](a, b)
    if whole and sign == "/" and value.denominator != 1:
        raise ExprError(f"'{tree}' comes out as {show(value)}, not whole")
    if abs(value) > EXPRESSION_MAGNITUDE:
        raise ExprError(f"'{tree}' is too large")
    if value.denominator > EXPRESSION_DENOMINATOR:
        raise ExprError(f"'{tree}' is a fraction with too many digits")
    return value


def _rewritten(tree: Syntax, prefix: str, whole: bool) -> Syntax:
    match tree:
        case Name(text=name):
            return Name(prefix + name)
        case Prefix(operator=sign, operand=operand):
            return Prefix(sign, _rewritten(operand, prefix, whole))
        case Infix(operator=sign, operands=operands):
            sign = "//" if whole and sign == "/" else sign
            return Infix(sign, tuple(_rewritten(o, prefix, whole) for o in operands))
    return tree


def exact(value: Number) -> Fraction:
    """The number as written in decimal, not its binary neighbour: 0.1 is 1/10."""
    if isinstance(value, float):
        return Fraction(Decimal(repr(value)))
    return Fraction(value)


def show(value: Number) -> str:
    """A number for a reader: `18`, `0.5`, `18.1111`, `2e-05`; rounded where it is long."""
    number = exact(value)
    if number.denominator == 1:
        return str(number.numerator)
    size = abs(float(number))
    digits = 4 if size == 0 else max(4, 3 - math.floor(math.log10(size)))
    return repr(round(float(number), digits))


def written(value: Number) -> str:
    """A number in full, so that no two read the same: `18`, `0.5`, `2e-05`, `163/9`."""
    number = exact(value)
    if number.denominator == 1:
        return str(number.numerator)
    decimal = repr(float(number))
    return decimal if Fraction(Decimal(decimal)) == number else str(number)


def literal(value: Number) -> int | float:
    """The plain Python number: an int where it is whole."""
    number = exact(value)
    return number.numerator if number.denominator == 1 else float(number)
