"""Arithmetic and conditions over parameters: `4 * width`, `(depth - 2) / 9`, `stride != 1`.

Nothing is ever passed to `eval`. Numbers are exact fractions, so `(depth - 2) / 9` is whole or
it is not, and no rounding decides.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property, lru_cache, reduce

from resgraph.limits import EXPRESSION_DENOMINATOR, EXPRESSION_MAGNITUDE
from resgraph.parser import INPUT, Truth, arithmetic, condition, to_compare
from resgraph.parser import ExprError as ExprError
from resgraph.parser import KindError as KindError
from resgraph.syntax import (
    Infix,
    Literal,
    Name,
    Prefix,
    Subscript,
    Syntax,
    infix,
    names,
)

_OPERATORS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": lambda a, b: Fraction(a // b),
    "%": operator.mod,
}
_COMPARED: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_AXES = {"c": "channels", "h": "height", "w": "width"}

Number = int | float | Fraction
Env = Mapping[str, object]
"""The value of each name, as `resgraph.values` has them."""


@dataclass(frozen=True)
class _Written:
    """What arithmetic and conditions have in common: a tree."""

    tree: Syntax

    @cached_property
    def text(self) -> str:
        """In Python's canonical form, with no more parentheses than it needs."""
        return str(self.tree)

    def __str__(self) -> str:
        return self.text

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What it reads, in order of appearance: parameters, `in`, `skip.h`."""
        return tuple(dict.fromkeys(names(self.tree)))


@dataclass(frozen=True)
class Expr(_Written):
    """An arithmetic expression as a tree; `Expr.parse` reads one, `total` adds some up."""

    @classmethod
    def parse(cls, text: str) -> Expr:
        """The expression that `text` is. Raises `ExprError`."""
        return _expression(text)

    def evaluate(self, env: Env, whole: bool = False) -> Fraction:
        """The exact value under `env`.

        With `whole`, every `/` must come out whole, so that Python's `//` in generated
        code computes the same. Raises `ExprError`.
        """
        return _evaluate(self.tree, env, whole)

    def syntax(self, prefix: str = "", whole: bool = True) -> Syntax:
        """Python's form of it, each parameter after `prefix` (`self.`)."""
        return _rewritten(self.tree, prefix, whole)


@dataclass(frozen=True)
class Condition(_Written):
    """What stands under `when`: comparisons of arithmetic, true or false parameters."""

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition that `text` is. Raises `ExprError`."""
        return _condition(text)

    def both(self, other: Condition) -> Condition:
        """The condition that both hold."""
        parts = [
            part
            for tree in (self.tree, other.tree)
            for part in (
                tree.parts() if getattr(tree, "operator", "") == "and" else (tree,)
            )
        ]
        return Condition(Infix("and", tuple(parts)))

    def holds(self, env: Env) -> bool:
        """Whether it is so under `env`, read from left to right as far as need be.

        Raises `ExprError`.
        """
        return _holds(self.tree, env)

    def syntax(self, prefix: str = "") -> Syntax:
        """Python's form of it, each parameter after `prefix` (`self.`)."""
        return _rewritten(self.tree, prefix, whole=False)


def python_name(name: str) -> str:
    """What generated code calls it: `in` is `in_channels`, `skip.h` is `skip_height`."""
    base, _, axis = name.partition(".")
    if base == INPUT and not axis:
        axis = "c"
    return f"{base}_{_AXES[axis]}" if axis else name


@lru_cache(maxsize=4096)
def _expression(text: str) -> Expr:
    return Expr(arithmetic(text))


@lru_cache(maxsize=4096)
def _condition(text: str) -> Condition:
    return Condition(condition(text))


# --- evaluating ---------------------------------------------------------------------------


def _evaluate(tree: Syntax, env: Env, whole: bool) -> Fraction:
    match tree:
        case Name(text=name):
            return _number(name, _value(name, env))
        case Literal(value=int() | float() as value):
            return exact(value)
        case Infix(operator=sign, operands=operands):
            values = (_evaluate(operand, env, whole) for operand in operands)
            return reduce(lambda a, b: _apply(tree, a, b, env, whole), values)
        case Prefix(operator=sign, operand=operand):
            number = _evaluate(operand, env, whole)
            return -number if sign == "-" else number
        case Subscript():
            return _item(tree, env)
    raise AssertionError(f"not admitted: {tree}")


def _value(name: str, env: Env) -> object:
    try:
        return env[name]
    except KeyError:
        raise ExprError(f"unknown parameter '{name}'") from None


def _number(name: str, value: object) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return exact(value)
    raise KindError(f"'{name}' is {kind_of(value)}, and a number is needed here")


def _item(tree: Subscript, env: Env) -> Fraction:
    """An element of a list. In Python `/` in the index would give no whole number: as `whole`."""
    items = _value(tree.name, env)
    if not isinstance(items, tuple):
        why = f"'{tree.name}' is {kind_of(items)}, and a list is needed in '{tree}'"
        raise KindError(why)
    index = _evaluate(tree.index, env, whole=True)
    if index.denominator == 1 and 0 <= index < len(items):
        return _number(str(tree), items[int(index)])
    given = _given(tree.index, env)
    if index.denominator != 1:
        raise ExprError(f"'{tree}'{given}: {show(index)} is no place in a list")
    raise ExprError(f"'{tree}'{given}: {tree.name} has {_places(len(items))}")


def _given(tree: Syntax, env: Env) -> str:
    """What the numbers are that an expression reads: ` with a = 3, b = 4`."""
    read = [f"{n} = {show(_evaluate(Name(n), env, True))}" for n in names(tree)]
    return f" with {', '.join(dict.fromkeys(read))}" if read else ""


def _places(count: int) -> str:
    match count:
        case 0:
            return "no items"
        case 1:
            return "1 item, 0"
    return f"{count} items, 0 to {count - 1}"


def _apply(tree: Infix, a: Fraction, b: Fraction, env: Env, whole: bool) -> Fraction:
    sign = tree.operator
    if b == 0 and sign in ("/", "//", "%"):
        raise ExprError(f"'{tree}' divides by zero")
    value = _OPERATORS[sign](a, b)
    if whole and sign == "/" and value.denominator != 1:
        came = f"'{tree}' comes out as {show(value)}{_given(tree, env)}, not whole"
        raise ExprError(came)
    if abs(value) > EXPRESSION_MAGNITUDE:
        raise ExprError(f"'{tree}' is too large")
    if value.denominator > EXPRESSION_DENOMINATOR:
        raise ExprError(f"'{tree}' is a fraction with too many digits")
    return value


def _holds(tree: Syntax, env: Env) -> bool:
    match tree:
        case Truth(value):
            return value
        case Name(text=name):
            return _truth(name, _value(name, env))
        case Prefix(operand=operand):
            return not _holds(operand, env)
        case Infix(operator="and", operands=operands):
            return all(_holds(operand, env) for operand in operands)
        case Infix(operator="or", operands=operands):
            return any(_holds(operand, env) for operand in operands)
        case Infix(operator=sign, operands=(left, right)):
            sides = (_evaluate(side, env, whole=False) for side in (left, right))
            return _COMPARED[sign](*sides)
    raise AssertionError(f"not admitted: {tree}")


def _truth(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, Number):
        raise KindError(to_compare(Name(name)))
    raise KindError(f"'{name}' is {kind_of(value)}, and true or false is needed here")


def kind_of(value: object) -> str:
    """What kind of value it is, in the words of the findings."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float() | Fraction():
            return "a number"
        case str():
            return "text"
        case tuple():
            return "a list"
    return "an op"


def general_kind(value: object) -> str:
    """The same in words that hold for all values of the kind."""
    return "true or false" if isinstance(value, bool) else kind_of(value)


# --- in Python ----------------------------------------------------------------------------


def _rewritten(tree: Syntax, prefix: str, whole: bool) -> Syntax:
    match tree:
        case Name(text=name):
            return Name(prefix + python_name(name))
        case Prefix(operator=sign, operand=operand):
            return Prefix(sign, _rewritten(operand, prefix, whole))
        case Infix(operator=sign, operands=operands):
            sign = "//" if whole and sign == "/" else sign
            return Infix(sign, tuple(_rewritten(o, prefix, whole) for o in operands))
        case Subscript(name, index):
            return Subscript(
                prefix + python_name(name), _rewritten(index, prefix, True)
            )
        case Truth(value):
            return Literal(value)
    return tree


# --- sums ---------------------------------------------------------------------------------


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


# --- numbers ------------------------------------------------------------------------------


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
