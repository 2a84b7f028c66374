"""Expressions as trees: printed as Python prints them, laid out as `ruff format` does."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from functools import reduce

import pytest

from resgraph.emit.layout import signature, statement
from resgraph.expr import Expr
from resgraph.syntax import (
    COMPARISONS,
    Infix,
    Listing,
    Literal,
    Name,
    Prefix,
    Spread,
    Subscript,
    Syntax,
    Ternary,
    call,
    free_names,
    infix,
    names,
    replaced,
)


def word(rng: random.Random) -> str:
    return "".join(rng.choices("abcdefgh", k=rng.choice([1, 5, 20, 48])))


def arithmetic(rng: random.Random, depth: int) -> Syntax:
    if depth == 0 or rng.random() < 0.3:
        return Name(word(rng)) if rng.random() < 0.7 else Literal(rng.choice([3, 0.5]))
    if rng.random() < 0.1:
        return Prefix("-", arithmetic(rng, depth - 1))
    if rng.random() < 0.1:
        return Subscript(word(rng), arithmetic(rng, depth - 1))
    operator = rng.choice(["+", "-", "*", "/", "//", "%"])
    count = rng.choice([2, 2, 3, 6]) if operator in "+*" else 2
    parts = tuple(arithmetic(rng, depth - 1) for _ in range(count))
    if operator in "+*" and isinstance(parts[0], Infix):  # one sum is one node
        parts = (Name(word(rng)), *parts[1:])
    return Infix(operator, parts)


def condition(rng: random.Random, depth: int) -> Syntax:
    """What stands under `when`."""
    if depth == 0 or rng.random() < 0.4:
        if rng.random() < 0.3:
            return Name(f"self.{word(rng)}")
        sides = (arithmetic(rng, 1), arithmetic(rng, 1))
        return Infix(rng.choice(COMPARISONS), sides)
    if rng.random() < 0.2:
        return Prefix("not", condition(rng, depth - 1))
    operator = rng.choice(["and", "or"])
    parts = (condition(rng, depth - 1) for _ in range(rng.choice([2, 2, 3, 5])))
    rows = (
        p.operands if isinstance(p, Infix) and p.operator == operator else (p,)
        for p in parts
    )
    return Infix(operator, tuple(o for row in rows for o in row))


def choice(rng: random.Random) -> Syntax:
    """A value if a condition holds, and another if not."""
    then, otherwise = (expression(rng, rng.randint(0, 1)) for _ in range(2))
    made = Ternary(then, condition(rng, rng.randint(0, 2)), otherwise)
    return (
        Ternary(arithmetic(rng, 1), condition(rng, 1), made)
        if rng.random() < 0.2
        else made
    )


def expression(rng: random.Random, depth: int) -> Syntax:
    """What ops make: calls and lists of calls and arithmetic."""
    if depth == 0:
        return arithmetic(rng, 2)
    inner = [expression(rng, depth - 1) for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.2:
        return call("torch.cat", Listing(tuple(inner)), 1)
    keywords = (
        {"stride": 2, "padding": arithmetic(rng, 1)} if rng.random() < 0.5 else {}
    )
    return call(f"self.{word(rng)}", *inner, **keywords)


@pytest.mark.parametrize("seed", range(20))
def test_it_prints_as_python_does(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        text = str(expression(rng, 2))
        assert ast.unparse(ast.parse(text, mode="eval")) == text


@pytest.mark.parametrize("seed", range(10))
def test_parentheses_are_those_that_python_needs(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        made = rng.choice([condition(rng, 3), choice(rng)])
        read, meant = (ast.parse(text, mode="eval") for text in (str(made), full(made)))
        assert ast.dump(read) == ast.dump(meant)


def full(tree: Syntax) -> str:
    """The expression with every operand in parentheses."""
    match tree:
        case Infix("+" | "*" as sign, operands):
            return reduce(lambda a, b: f"({a} {sign} {b})", map(full, operands))
        case Infix(sign, operands):
            return f"({f' {sign} '.join(map(full, operands))})"
        case Prefix(sign, operand):
            return f"({sign} {full(operand)})"
        case Subscript(name, index):
            return f"{name}[{full(index)}]"
        case Ternary(then, test, otherwise):
            return f"({full(then)} if {full(test)} else {full(otherwise)})"
    return str(tree)


def functions(rng: random.Random) -> list[str]:
    """Statements as `__init__` and `forward` have them."""
    lines = ["def f(self, x):"]
    for _ in range(150):
        start = rng.choice(["return", f"{word(rng)} ="])
        kinds = [
            expression(rng, rng.randint(1, 2)),
            summed(rng),
            arithmetic(rng, 3),
            infix(rng.choice("+*"), Name(word(rng)), expression(rng, 1)),
            condition(rng, 2),
            choice(rng),
            call(word(rng), choice(rng), padding=choice(rng)),
        ]
        made = rng.choice(kinds)
        lines += [f"    {line}" for line in statement(start, made, 4)]
        test = [*statement("if", condition(rng, 2), 4, ":"), "    pass"]
        lines += [f"    {line}" for line in test]
        layer = statement(f"self.{word(rng)} =", expression(rng, 1), 4)
        lines += [f"    {line}" for line in layer]
    items = [f"{word(rng)}: int" for _ in range(rng.randint(1, 9))]
    return [*lines, "", "", *signature("def g(", items, "):", 0), "    pass"]


def summed(rng: random.Random) -> Syntax:
    """The values of an `add` or a `mul`."""
    values = [Name(word(rng)) for _ in range(rng.randint(2, 9))]
    return infix(rng.choice("+*"), *values)


@pytest.mark.parametrize("seed", range(10))
def test_it_is_laid_out_as_ruff_format_does(seed: int) -> None:
    text = "\n".join(functions(random.Random(seed))) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "-"]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=True
    )
    assert done.stdout == text


def test_names_are_read_off_the_tree() -> None:
    made = call("nn.Conv2d", Name("in_channels_pool"), infix("*", 4, Name("width")))
    assert [*names(made)] == ["nn.Conv2d", "in_channels_pool", "width"]


def test_names_are_replaced_without_needless_parentheses() -> None:
    tree = Expr.parse("4 * width + in_channels - (a + b)").tree
    values = {
        "width": Expr.parse("2 * n").tree,
        "in_channels": Expr.parse("c + 1").tree,
        "a": Expr.parse("n - 1").tree,
    }
    made = Expr(replaced(tree, values))
    assert str(made) == "4 * 2 * n + c + 1 - (n - 1 + b)"
    numbers = {"n": 3, "c": 5, "b": 2}
    assert made.evaluate(numbers) == 4 * 2 * 3 + 5 + 1 - (3 - 1 + 2)


def test_the_variable_of_a_loop_is_not_free() -> None:
    made = call("Body", Name("index"), width=Name("width"))
    loop = call("nn.Sequential", Spread(made, "index", call("range", Name("n"))))
    assert (
        str(loop) == "nn.Sequential(*(Body(index, width=width) for index in range(n)))"
    )
    assert {"index", "width", "n"} <= {*names(loop)}
    assert {"width", "n"} == {*free_names(loop)} - {"Body", "range", "nn.Sequential"}
