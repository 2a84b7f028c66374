"""Expressions and conditions: exact, canonical, and nothing but what the language has."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resgraph.expr import (
    Condition,
    Expr,
    ExprError,
    exact,
    literal,
    python_name,
    show,
)
from resgraph.limits import EXPRESSION_TEXT
from resgraph.syntax import Infix, Literal, Name, Prefix, Subscript, Syntax


def evaluate(text: str, **env: int) -> Fraction:
    return Expr.parse(text).evaluate({k: Fraction(v) for k, v in env.items()})


def told(made: Callable[[], object]) -> str:
    with pytest.raises(ExprError) as caught:
        made()
    return str(caught.value)


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
        "[1]",
        "a[0",
        "a[]",
        "in.c",
        "in.d",
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


# --- names, lists -------------------------------------------------------------------------


def test_the_input_and_its_axes() -> None:
    expr = Expr.parse("in // 4 + in.h * skip.c - skip.w + in_2")
    assert expr.names == ("in", "in.h", "skip.c", "skip.w", "in_2")
    env = {name: Fraction(i) for i, name in enumerate(expr.names, 8)}
    assert expr.evaluate(env) == 2 + 9 * 10 - 11 + 12
    python = "in_channels // 4 + in_height * skip_channels - skip_width + in_2"
    assert str(expr.syntax()) == python
    assert str(Expr.parse(expr.text)) == expr.text
    names = ["in", "in.h", "in.w", "skip.c", "skip.h", "skip.w", "width", "inner"]
    made = [python_name(name) for name in names]
    assert made[:3] == ["in_channels", "in_height", "in_width"]
    assert made[3:6] == ["skip_channels", "skip_height", "skip_width"]
    assert made[6:] == ["width", "inner"]


@pytest.mark.parametrize("text", ["in .h", "in. h", "in.h.w", "f.c(1)"])
def test_no_name(text: str) -> None:
    assert "is not arithmetic" in told(lambda: Expr.parse(text))


def test_no_side() -> None:
    why = "there is no 'a.cat': a value has the sides .c, .h and .w"
    assert told(lambda: Expr.parse("2 * a.cat")) == why


def test_the_channels_of_the_input_have_one_name() -> None:
    assert "'in', not 'in.c'" in told(lambda: Expr.parse("2 * in.c"))


LISTS: dict[str, object] = {
    "widths": tuple(map(Fraction, (64, 128, 256, 512))),
    "one": (Fraction(5),),
    "none": (),
    "stage": Fraction(1),
    "n": Fraction(3),
    "half": Fraction(1, 2),
    "wide": True,
    "mode": "nearest",
    "act": object(),
}


def test_items_of_lists() -> None:
    expr = Expr.parse("4*widths[stage + 1] + one[ 0 ]")
    assert expr.tree == Infix(
        "+",
        (
            Infix(
                "*",
                (
                    Literal(4),
                    Subscript("widths", Infix("+", (Name("stage"), Literal(1)))),
                ),
            ),
            Subscript("one", Literal(0)),
        ),
    )
    assert expr.text == "4 * widths[stage + 1] + one[0]"
    assert expr.names == ("widths", "stage", "one")
    assert expr.evaluate(LISTS) == 4 * 256 + 5
    assert str(expr.syntax("self.")) == "4 * self.widths[self.stage + 1] + self.one[0]"
    index = Expr.parse("widths[in / 2]").syntax(whole=False)
    assert str(index) == "widths[in_channels // 2]"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "widths[stage + n]",
            "'widths[stage + n]' with stage = 1, n = 3: widths has 4 items, 0 to 3",
        ),
        ("widths[4]", "'widths[4]': widths has 4 items, 0 to 3"),
        ("widths[-1]", "'widths[-1]': widths has 4 items, 0 to 3"),
        ("one[n]", "'one[n]' with n = 3: one has 1 item, 0"),
        ("none[0]", "'none[0]': none has no items"),
        ("widths[n / 2]", "'n / 2' comes out as 1.5 with n = 3, not whole"),
        (
            "widths[half]",
            "'widths[half]' with half = 0.5: 0.5 is no place in a list",
        ),
        ("widths[stage / 0]", "'stage / 0' divides by zero"),
        ("widths[wide]", "'wide' is true, and a number is needed here"),
        ("widths[widths]", "'widths' is a list, and a number is needed here"),
        ("n[0]", "'n' is a number, and a list is needed in 'n[0]'"),
        ("mode[0]", "'mode' is text, and a list is needed in 'mode[0]'"),
        ("2 * widths", "'widths' is a list, and a number is needed here"),
        ("-wide", "'wide' is true, and a number is needed here"),
        ("mode + 1", "'mode' is text, and a number is needed here"),
        ("act", "'act' is an op, and a number is needed here"),
        ("depths[0]", "unknown parameter 'depths'"),
        ("widths[i]", "unknown parameter 'i'"),
    ],
)
def test_what_has_no_number(text: str, why: str) -> None:
    assert told(lambda: Expr.parse(text).evaluate(LISTS)) == why


def test_an_index_is_whole_in_python_too() -> None:
    assert "whole numbers" in told(lambda: Expr.parse("widths[1.0]"))
    assert "whole numbers" in told(lambda: Expr.parse("widths[one[0.5 * 2]]"))


# --- conditions ---------------------------------------------------------------------------


def holds(text: str, **env: object) -> bool:
    made = {k: exact(v) if type(v) is int else v for k, v in env.items()}
    return Condition.parse(text).holds({"in": Fraction(16), **made})


def test_conditions() -> None:
    assert holds("stride != 1 or in != 4 * width", stride=1, width=8)
    assert not holds("stride != 1 or in != 4 * width", stride=1, width=4)
    assert holds("wide", wide=True)
    assert holds("not wide and true", wide=False)
    assert not holds("false")
    assert holds("0.1 + 0.2 == 0.3")
    assert holds("in.h < 3", **{"in.h": 2})


def test_the_rest_is_not_read() -> None:
    text = "stride == 0 or in / stride > 3"
    assert holds(text, stride=0)
    assert not holds(text, stride=8)
    assert not holds("stride != 0 and in / stride > 3", stride=0)
    assert holds("true or nothing")
    with pytest.raises(ExprError, match="divides by zero"):
        holds("in / stride > 3 or stride == 0", stride=0)


@pytest.mark.parametrize(
    ("text", "canonical", "python"),
    [
        (
            "((stride)!=1)or((in)!=4*width)",
            "stride != 1 or in != 4 * width",
            "self.stride != 1 or self.in_channels != 4 * self.width",
        ),
        ("not(not(a))", "not not a", "not not self.a"),
        ("not (a == 1)", "not a == 1", "not self.a == 1"),
        ("a and (b and c)", "a and b and c", "self.a and self.b and self.c"),
        ("(a or b) and c", "(a or b) and c", "(self.a or self.b) and self.c"),
        ("a or (b and c)", "a or b and c", "self.a or self.b and self.c"),
        ("not (a and b)", "not (a and b)", "not (self.a and self.b)"),
        ("true", "true", "True"),
        ("a and false", "a and false", "self.a and False"),
        ("n / 2 >= w[i]", "n / 2 >= w[i]", "self.n / 2 >= self.w[self.i]"),
    ],
)
def test_canonical_conditions(text: str, canonical: str, python: str) -> None:
    made = Condition.parse(text)
    assert str(made) == made.text == canonical
    assert str(made.syntax("self.")) == python


def test_names_of_a_condition() -> None:
    made = Condition.parse("wide and true or widths[stage] < in.h + in")
    assert made.names == ("wide", "widths", "stage", "in.h", "in")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' is not a condition"),
        (" ", "is not a complete condition"),
        ("a ==", "'a ==' is not a complete condition"),
        ("a = b", "'a = b' is not a condition: only arithmetic"),
        ("a is b", "is not a condition: only arithmetic"),
        ("a if b else c", "is not a condition"),
        ("a in b", "is not a condition"),
        ("f(a)", "is not a condition"),
        ("a" * 201, "a condition may have 200 characters, not 201"),
        ("a < b < c", "one comparison at a time: 'a < b and b < c'"),
        ("a == b + 1 != c", "one comparison at a time: 'a == b + 1 and b + 1 != c'"),
        ("a < (b < c)", "'b < c' is true or false, and only numbers are compared"),
        ("a == true", "'true' is true or false, and only numbers are compared"),
        ("(a and b) + 1 > 2", "'(a and b) + 1' is true or false"),
        ("stride + 1", "compare it with something, such as 'stride + 1 != 1'"),
        ("a and 2 * b", "'2 * b' is a number: compare it"),
        ("not -a", "'-a' is a number: compare it"),
        ("w[0]", "'w[0]' is a number: compare it"),
        ("in.c == 1", "'in', not 'in.c'"),
        ("1e99 == a", "too large"),
    ],
)
def test_what_is_no_condition(text: str, why: str) -> None:
    assert why in told(lambda: Condition.parse(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "stride",
            "'stride' is a number: compare it with something, such as 'stride != 1'",
        ),
        ("mode", "'mode' is text, and true or false is needed here"),
        ("act", "'act' is an op, and true or false is needed here"),
        ("not widths", "'widths' is a list, and true or false is needed here"),
        ("wide == 1", "'wide' is true, and a number is needed here"),
        ("nothing", "unknown parameter 'nothing'"),
    ],
)
def test_what_is_not_true_or_false(text: str, why: str) -> None:
    env = LISTS | {"stride": Fraction(2)}
    assert told(lambda: Condition.parse(text).holds(env)) == why


@pytest.mark.parametrize(
    "text", ["a == b", "a and b", "not a", "a < b < c", "2 * (a or b)", "w[a < b]"]
)
def test_conditions_stand_only_under_when(text: str) -> None:
    why = told(lambda: Expr.parse(text))
    assert f"'{text}' is a condition" in why
    assert "only under 'when'" in why


OPERATORS = ["+", "-", "*", "/", "//", "%"]


def numbers_of(rng: random.Random, depth: int) -> Syntax:
    """Random arithmetic; the names and the lists are those of `ENV`."""
    if depth == 0 or rng.random() < 0.3:
        leaves = [
            Name("a"),
            Name("b"),
            Name("in"),
            Name("skip.h"),
            Literal(3),
            Literal(0),
        ]
        return rng.choice([*leaves, Subscript("w", Literal(rng.randrange(4)))])
    if rng.random() < 0.15:
        return Prefix(rng.choice("+-"), numbers_of(rng, depth - 1))
    if rng.random() < 0.1:
        return Subscript("w", numbers_of(rng, 1))
    sign = rng.choice(OPERATORS)
    return Infix(sign, (numbers_of(rng, depth - 1), numbers_of(rng, depth - 1)))


def truths_of(rng: random.Random, depth: int) -> Syntax:
    if depth == 0 or rng.random() < 0.4:
        if rng.random() < 0.3:
            return Name(rng.choice(["yes", "no", "true", "false"]))
        sign = rng.choice(["==", "!=", "<", "<=", ">", ">="])
        return Infix(sign, (numbers_of(rng, 2), numbers_of(rng, 1)))
    if rng.random() < 0.2:
        return Prefix("not", truths_of(rng, depth - 1))
    parts = tuple(truths_of(rng, depth - 1) for _ in range(rng.randint(2, 3)))
    return Infix(rng.choice(["and", "or"]), parts)


fractions = st.fractions(-20, 20, max_denominator=4)
trees = st.tuples(st.randoms(use_true_random=False), st.integers(0, 3))


def short(text: str) -> bool:
    return len(text) <= EXPRESSION_TEXT


class Places(tuple[Fraction, ...]):
    """A list that counts from 0 alone, as the language's do."""

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self) or index != int(index):
            raise IndexError(index)
        return super().__getitem__(int(index))


def python_env(env: dict[str, object]) -> dict[str, object]:
    named = {python_name(k): v for k, v in env.items()}
    return named | {"w": Places(env["w"])}  # type: ignore[arg-type]


def exactly(text: str, env: dict[str, object]) -> object:
    """What Python computes, its whole numbers as fractions; None where it fails."""
    made = re.sub(r"(?<![\w.])\d+", lambda found: f"Fraction({found[0]})", text)
    try:
        return eval(made, python_env(env) | {"Fraction": Fraction})
    except (ZeroDivisionError, IndexError):
        return None


environments = st.fixed_dictionaries(
    {
        "a": fractions,
        "b": st.integers(0, 3).map(Fraction),
        "in": st.integers(1, 64).map(Fraction),
        "skip.h": fractions,
        "w": st.tuples(fractions, fractions, fractions),
        "yes": st.just(True),
        "no": st.just(False),
    }
)


@given(trees, environments)
def test_arithmetic_agrees_with_python(
    made: tuple[random.Random, int], env: dict[str, object]
) -> None:
    text = str(numbers_of(*made))
    if not short(text) or ("[" in text and "/" in text):
        return
    expr = Expr.parse(text)
    assert expr == Expr.parse(expr.text)
    try:
        ours: object = expr.evaluate(env)
    except ExprError as error:
        if "too" in str(error):
            return
        ours = None
    assert ours == exactly(str(expr.syntax(whole=False)), env)


@given(trees, environments)
def test_conditions_agree_with_python(
    made: tuple[random.Random, int], env: dict[str, object]
) -> None:
    text = str(truths_of(*made))
    if not short(text) or ("[" in text and "/" in text):
        return
    condition = Condition.parse(text)
    assert condition == Condition.parse(condition.text)
    assert len(condition.text) <= len(text)
    try:
        ours: object = condition.holds(env)
    except ExprError as error:
        if "too" in str(error):
            return
        ours = None
    assert ours == exactly(str(condition.syntax()), env)


@given(trees, st.integers(0, 10**6))
def test_any_parentheses_give_the_same_text(
    made: tuple[random.Random, int], seed: int
) -> None:
    """As many as Python allows, put around any part, change nothing."""
    tree = truths_of(*made)
    full = bracketed(tree, random.Random(seed))
    if short(full):
        assert Condition.parse(full) == Condition.parse(str(tree))


def bracketed(tree: Syntax, rng: random.Random) -> str:
    match tree:
        case Infix(sign, operands):
            text = f" {sign} ".join(f"({bracketed(o, rng)})" for o in operands)
        case Prefix(sign, operand):
            text = f"{sign}({bracketed(operand, rng)})"
        case Subscript(name, index):
            text = f"{name}[({bracketed(index, rng)})]"
        case _:
            text = str(tree)
    return f"({text})" if rng.random() < 0.2 else text
