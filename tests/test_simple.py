"""Formulas made simple have the values that they had."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resgraph.emit.simple import added_up, put, simplified
from resgraph.expr import Expr, ExprError
from resgraph.syntax import Infix, Literal, Name, Prefix, Syntax, infix

LEAVES = st.one_of(
    st.integers(-3, 4).map(Literal),
    st.sampled_from("abi").map(Name),
    st.just(Name("i")),
)


def _larger(inner: st.SearchStrategy[Syntax]) -> st.SearchStrategy[Syntax]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    signs = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    return st.one_of(
        st.builds(Infix, signs, several),
        st.builds(Prefix, st.sampled_from("+-"), inner),
    )


TREES = st.recursive(LEAVES, _larger, max_leaves=8)
VALUES = {"a": Fraction(5), "b": Fraction(3), "i": Fraction(2)}


@given(tree=TREES)
def test_the_same_number(tree: Syntax) -> None:
    try:
        wanted = Expr(tree).evaluate(VALUES)
    except ExprError:
        return
    simple = simplified(tree)
    assert Expr(simple).evaluate(VALUES) == wanted
    assert Expr.parse(str(simple)).evaluate(VALUES) == wanted
    assert simplified(simple) == simple


@given(step=TREES, count=st.integers(1, 5))
def test_the_sum_of_all_steps(step: Syntax, count: int) -> None:
    terms = added_up(step, "i", Name("n"))
    if terms is None:
        return
    env = {**VALUES, "n": Fraction(count)}
    try:
        steps = [Expr(step).evaluate({**env, "i": Fraction(i)}) for i in range(count)]
        total = Expr(infix("+", *terms)).evaluate(env)
    except ExprError:
        return
    assert total == sum(steps)


@pytest.mark.parametrize(
    ("text", "at", "wanted"),
    [
        ("w + i", "0", "w"),
        ("w * (i + 1)", "0", "w"),
        ("w + 2 * i", "0", "w"),
        ("w + i", "n - 1", "w + n - 1"),
        ("w * (i + 1)", "i - 1", "w * i"),
        ("6 + 2 * i", "i", "6 + 2 * i"),
        ("w * i / 4", "0", "0"),
        ("w - i", "n - 1", "w + 1 - n"),
    ],
)
def test_put(text: str, at: str, wanted: str) -> None:
    made = put(Expr.parse(text).tree, {"i": Expr.parse(at).tree})
    assert str(made) == wanted
