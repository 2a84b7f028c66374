"""Arithmetic over parameters, as specs write it: `4 * width`, `(depth - 2) / 9`.

The text is parsed by Python's own parser and walked by a whitelist of node types; nothing
is ever passed to `eval`. Numbers are exact fractions, so `(depth - 2) / 9` is whole or it
is not, and no rounding decides.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache

MAX_TEXT = 200
MAX_MAGNITUDE = 10**15

# Python folds look-alike letters into ASCII ones when it parses: admit ASCII alone.
_ALPHABET = re.compile(r"[0-9A-Za-z_+\-*/%(). ]+")
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: Fraction(a // b),
    ast.Mod: lambda a, b: a % b,
}

Number = int | float | Fraction


class ExprError(ValueError):
    """An expression that cannot be parsed or evaluated; the message says why."""


@dataclass(frozen=True)
class Expr:
    """An arithmetic expression in canonical Python text; make one with `Expr.parse`."""

    text: str

    @classmethod
    def parse(cls, text: str) -> Expr:
        """Parse and canonicalise `text`. Raises `ExprError`."""
        return cls(ast.unparse(_tree(text)))

    def __str__(self) -> str:
        return self.text

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The parameters that the expression reads, in order of appearance."""
        found = [n.id for n in ast.walk(_tree(self.text)) if isinstance(n, ast.Name)]
        return tuple(dict.fromkeys(found))

    def evaluate(self, env: Mapping[str, Fraction], whole: bool = False) -> Fraction:
        """The exact value under `env`.

        With `whole`, every `/` must come out whole, so that Python's `//` in generated
        code computes the same. Raises `ExprError`.
        """
        return _evaluate(_tree(self.text).body, env, whole)

    def source(self, prefix: str = "", whole: bool = True) -> str:
        """Python source of the expression, each parameter after `prefix` (`self.`)."""
        tree = _tree(self.text).body
        return ast.unparse(_Rewriter(prefix, whole).visit(tree))


@lru_cache(maxsize=4096)
def _checked(text: str) -> str:
    """The text, stripped, if its length and alphabet are those of arithmetic."""
    if len(text) > MAX_TEXT:
        raise ExprError(
            f"an expression may have {MAX_TEXT} characters, not {len(text)}"
        )
    if not _ALPHABET.fullmatch(text):
        raise ExprError(
            f"{text!r} is not arithmetic over parameters (letters, digits and + - * / // % ( ) are)"
        )
    return text.strip()


def _tree(text: str) -> ast.Expression:
    text = _checked(text)
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ExprError(f"'{text}' is not a complete arithmetic expression") from None
    for node in ast.walk(tree):
        _admit(node, text)
    return tree


def _admit(node: ast.AST, text: str) -> None:
    match node:
        case ast.Constant(value=int() | float() as value) if value is not True:
            if not abs(value) <= MAX_MAGNITUDE:
                raise ExprError(f"a number in '{text}' is too large")
        case ast.Expression() | ast.Name() | ast.Load() | ast.BinOp() | ast.UnaryOp():
            pass
        case ast.USub() | ast.UAdd():
            pass
        case ast.operator() if type(node) in _OPERATORS:
            pass
        case _:
            raise ExprError(
                f"'{text}' is not arithmetic: only numbers, parameters and "
                "+ - * / // % ( ) are"
            )


def _evaluate(node: ast.expr, env: Mapping[str, Fraction], whole: bool) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as value):
            return exact(value)
        case ast.Name(id=name):
            if name not in env:
                raise ExprError(f"unknown parameter '{name}'")
            return env[name]
        case ast.UnaryOp(op=op, operand=operand):
            number = _evaluate(operand, env, whole)
            return -number if isinstance(op, ast.USub) else number
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _evaluate(left, env, whole), _evaluate(right, env, whole)
            return _apply(node, op, a, b, whole)
    raise AssertionError(f"not admitted: {node}")


def _apply(
    node: ast.expr, op: ast.operator, a: Fraction, b: Fraction, whole: bool
) -> Fraction:
    if b == 0 and isinstance(op, ast.Div | ast.FloorDiv | ast.Mod):
        raise ExprError(f"'{ast.unparse(node)}' divides by zero")
    value = _OPERATORS[type(op)](a, b)
    if whole and isinstance(op, ast.Div) and value.denominator != 1:
        raise ExprError(f"'{ast.unparse(node)}' comes out as {show(value)}, not whole")
    if abs(value) > MAX_MAGNITUDE:
        raise ExprError(f"'{ast.unparse(node)}' is too large")
    return value


class _Rewriter(ast.NodeTransformer):
    def __init__(self, prefix: str, whole: bool) -> None:
        self.prefix, self.whole = prefix, whole

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self.prefix + node.id, node.ctx)

    def visit_Div(self, node: ast.Div) -> ast.operator:
        return ast.FloorDiv() if self.whole else node


def exact(value: Number) -> Fraction:
    """The number as written in decimal, not its binary neighbour: 0.1 is 1/10."""
    if isinstance(value, float):
        return Fraction(Decimal(repr(value)))
    return Fraction(value)


def show(value: Number) -> str:
    """A number as a person and as Python would write it: `18`, `0.5`, `18.1111`."""
    number = exact(value)
    if number.denominator == 1:
        return str(number.numerator)
    return repr(round(float(number), 4))


def literal(value: Number) -> int | float:
    """The plain Python number: an int where it is whole."""
    number = exact(value)
    return number.numerator if number.denominator == 1 else float(number)
