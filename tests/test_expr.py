"""Expressions: exact, canonical, and nothing but arithmetic."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resgraph.expr import Expr, ExprError, exact, literal, show
from resgraph.limits import EXPRESSION_TEXT


def evaluate(text: str, **env: int) -> Fraction:
    return Expr.parse(text).evaluate({k: Fraction(v) for k, v in env.items()})


def test_exact() -> None:
    assert evaluate("(depth - 2) / 9", depth=164) == 18
    assert evaluate("(depth - 2) / 9 * 9", depth=165) == 163
    assert evaluate("0.1 + 0.2") == Fraction(3, 10)
    assert evaluate("-7 // 2") == -4
    assert evaluate("7 % 4 - +1") == 2


def test_canonical_text() -> None:
    assert Expr.parse(" 4*width ").text == "4 * width"
    assert Expr.parse("((a))+b").names == ("a", "b")
    assert str(Expr.parse("width / 4").syntax()) == "width // 4"
    assert str(Expr.parse("width / 4").syntax("self.", False)) == "self.width / 4"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1 +",
        "a b",
        "2 ** 3",
        "f(1)",
        "a.b",
        "a[0]",
        "a if b else c",
        "a and b",
        "lambda: 0",
        "'x'",
        "True + 1",
        "1; 2",
        "a\nb",
        "x := 1",
        "{{ a }}",
        "__import__('os')",
        "𝐰idth",
        "1e999",
        "9" * 30,
        "(" * 150 + "1" + ")" * 150,
        "-" * 199 + "1",
        "1" * (EXPRESSION_TEXT + 1),
        "~a",
        "1j",
    ],
)
def test_refused_or_plain_arithmetic(text: str) -> None:
    try:
        number = Expr.parse(text).evaluate({"a": Fraction(1)})
    except ExprError as error:
        assert str(error)
    else:
        assert text == "-" * 199 + "1"
        assert number == -1


def test_division_by_zero_and_size() -> None:
    for text in ("1 / 0", "1 // 0", "1 % 0", "999999999999 * 999999999999"):
        with pytest.raises(ExprError):
            evaluate(text)


def test_every_quotient_must_be_whole_where_code_floors() -> None:
    with pytest.raises(ExprError, match="not whole"):
        Expr.parse("n / 2 * 2").evaluate({"n": Fraction(3)}, whole=True)


expressions = st.recursive(
    st.integers(0, 99).map(str) | st.sampled_from(["a", "b"]),
    lambda e: (
        st.tuples(e, st.sampled_from("+-*%") | st.just("//"), e).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        )
        | e.map(lambda t: f"-{t}")
    ),
    max_leaves=6,
)


@given(expressions, st.integers(-50, 50), st.integers(-50, 50))
def test_agrees_with_python(text: str, a: int, b: int) -> None:
    try:
        ours: Fraction | None = evaluate(text, a=a, b=b)
    except ExprError:
        ours = None
    try:
        theirs: int | None = eval(text, {"a": a, "b": b})
    except ZeroDivisionError:
        theirs = None
    assert ours == theirs or (theirs is not None and abs(theirs) > 10**14)


@given(expressions, st.integers(-50, 50), st.integers(-50, 50))
def test_source_computes_the_same(text: str, a: int, b: int) -> None:
    try:
        expected = evaluate(text, a=a, b=b)
    except ExprError:
        return
    assert eval(str(Expr.parse(text).syntax()), {"a": a, "b": b}) == expected


@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
)
def test_numbers_survive(value: float) -> None:
    assert literal(exact(value)) == value
    assert show(Fraction(3)) == "3"
