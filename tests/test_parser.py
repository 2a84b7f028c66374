"""The parser of arithmetic and conditions, held to Python's own."""

from __future__ import annotations

import ast
import keyword
import re
import textwrap
import warnings
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resgraph.expr import (
    Expr,
    ExprError,
)
from resgraph.limits import EXPRESSION_MAGNITUDE, EXPRESSION_TEXT
from resgraph.syntax import Infix, Literal, Name, Prefix, Syntax
from tests.helpers import printed

_SIGNS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
}


def by_python(text: str) -> Syntax | str:
    """What Python's parser makes of arithmetic: a tree, or why there is none."""
    if not re.fullmatch(r"[0-9A-Za-z_+\-*/%(). ]+", text):
        return f"{text!r} is not arithmetic over parameters (letters, digits and + - * / // % ( ) are)"
    text = text.strip()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text, mode="eval").body
    except SyntaxError:
        return f"'{text}' is not a complete arithmetic expression"
    try:
        return tree_of(body, text)
    except ExprError as error:
        return str(error)


def tree_of(node: ast.expr, text: str) -> Syntax:
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
            return Prefix(sign, tree_of(operand, text))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _SIGNS:
            sign, first = _SIGNS[type(op)], tree_of(left, text)
            same = isinstance(first, Infix) and first.operator == sign and sign in "+*"
            before = first.operands if same and isinstance(first, Infix) else (first,)
            return Infix(sign, (*before, tree_of(right, text)))
    raise ExprError(
        f"'{text}' is not arithmetic: only numbers, parameters and + - * / // % ( ) are"
    )


def by_us(text: str) -> Syntax | str:
    try:
        return Expr.parse(text).tree
    except ExprError as error:
        return str(error)


NUMBERS = [
    "0",
    "00",
    "0_0",
    "7",
    "007",
    "08.5",
    "08",
    "1_000",
    "1__0",
    "1_",
    "0x10",
    "0xfF",
    "0x_f",
    "0xg",
    "0b101",
    "0b12",
    "0o17",
    "0o8",
    "1e5",
    "1E-3",
    "1e",
    "1e+",
    ".5",
    "5.",
    "5.e1",
    "1_0.2_5",
    "1.2.3",
    "1j",
    "0.5J",
    "...",
    "1e15",
    "1e16",
    "99999999999999999",
    "1e999",
    "5.h",
]
NAMES = [
    "a",
    "b",
    "width",
    "_",
    "__x",
    "match",
    "type",
    "x1",
    "if",
    "else",
    "is",
    "None",
    "True",
    "False",
    "class",
    "lambda",
    "é",
]
SIGNS = [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "(",
    ")",
    "(",
    ")",
    "(",
    ")",
    ".",
    ",",
    "-",
    "-",
]
soup = st.lists(
    st.tuples(st.sampled_from([*NUMBERS, *NAMES, *SIGNS]), st.sampled_from(["", " "])),
    max_size=9,
).map(lambda pieces: "".join(piece + space for piece, space in pieces))
axis = re.compile(r"[A-Za-z_]\w*\.[chw]\b")


@given(soup)
@example("-" * 199 + "1")
@example("(" * 99 + "1" + ")" * 99)
@example("-(" * 66 + "1" + ")" * 66)
@example("1+(" * 49 + "1" + ")" * 49)
@example("f(" * 66 + "1" + ")" * 66)
@example("1**" * 66 + "1")
@example("a if b else " * 16 + "a")
@example("f(*a)")
@example("f(**a) + 1e999")
@example("1e999 ** 2 + (")
@example("a is not b")
@example("a if 1else 2")
@example("a.b.cat(1)(2)()")
@example("a5.e1")
def test_it_reads_as_python_does(text: str) -> None:
    ours, theirs = by_us(text), by_python(text)
    if isinstance(ours, str) and "only under 'when'" in ours:
        assert isinstance(theirs, str)
        assert "is not arithmetic:" in theirs
    elif isinstance(ours, str) and "a value has the sides" in ours:
        assert isinstance(theirs, str)
    elif not axis.search(text):
        assert ours == theirs


written_numbers = st.sampled_from([n for n in NUMBERS if by_us(n).__class__ is not str])
arithmetic = st.recursive(
    written_numbers | st.sampled_from(["a", "b", "width"]),
    lambda e: (
        st.tuples(e, st.sampled_from(["+", "-", "*", "/", "//", "%"]), e).map(" ".join)
        | st.tuples(st.sampled_from("+-"), e).map("".join)
        | e.map(lambda t: f"({t})")
    ),
    max_leaves=12,
).filter(lambda text: len(text) <= EXPRESSION_TEXT)


@given(arithmetic)
def test_arithmetic_is_the_tree_that_python_makes(text: str) -> None:
    tree = by_us(text)
    assert isinstance(tree, Syntax)
    assert tree == by_python(text)
    assert Expr.parse(str(tree)).tree == tree if len(str(tree)) <= 200 else True


def test_the_words_of_python_stay_no_names() -> None:
    for word in keyword.kwlist:
        if word != "in":
            assert isinstance(by_us(f"{word} + 1"), str)
            assert isinstance(by_us(f"{word}.h"), str)
    assert {*keyword.softkwlist} >= {"match"}
    assert Expr.parse("match + 1").evaluate({"match": Fraction(1)}) == 2


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a b", (2, 3)),
        ("  a +", (5, 5)),
        ("a + é", (4, 5)),
        ("2 ** 3", (2, 4)),
        ("width * f(1)", (9, 10)),
    ],
)
def test_an_error_points(text: str, columns: tuple[int, int]) -> None:
    with pytest.raises(ExprError) as caught:
        Expr.parse(text)
    assert caught.value.columns == columns


def test_it_is_shallow_enough_for_a_deep_caller() -> None:
    """Nothing that fits into the limit comes near Python's own."""
    code = """
        import sys
        from resgraph.expr import Condition, Expr
        from fractions import Fraction
        sys.setrecursionlimit(700)
        env = {"a": Fraction(1), "b": True}
        for text in ("(" * 99 + "a" + ")" * 99, "-(" * 66 + "a" + ")" * 66,
                     "1+(" * 49 + "a" + ")" * 49, "1*-(" * 39 + "a" + ")" * 39):
            tree = Expr.parse(text)
            tree.evaluate(env), str(tree), str(tree.syntax()), tree.names, hash(tree)
        for text in ("not (" * 33 + "b" + ")" * 33, "(a<a)or(" * 22 + "b" + ")" * 22):
            tree = Condition.parse(text)
            tree.holds(env), str(tree), str(tree.syntax()), tree.names, hash(tree)
        print("done")
    """
    assert printed(textwrap.dedent(code)) == "done"
