"""Expressions as trees: printed as Python prints them, laid out as `ruff format` does."""

from __future__ import annotations

import ast
import random
import subprocess
import sys

import pytest

from resgraph.emit.layout import signature, statement
from resgraph.syntax import (
    Infix,
    Listing,
    Literal,
    Name,
    Prefix,
    Syntax,
    call,
    infix,
    names,
)


def word(rng: random.Random) -> str:
    return "".join(rng.choices("abcdefgh", k=rng.choice([1, 5, 20, 48])))


def arithmetic(rng: random.Random, depth: int) -> Syntax:
    if depth == 0 or rng.random() < 0.3:
        return Name(word(rng)) if rng.random() < 0.7 else Literal(rng.choice([3, 0.5]))
    if rng.random() < 0.1:
        return Prefix("-", arithmetic(rng, depth - 1))
    operator = rng.choice(["+", "-", "*", "/", "//", "%"])
    count = rng.choice([2, 2, 3, 6]) if operator in "+*" else 2
    parts = tuple(arithmetic(rng, depth - 1) for _ in range(count))
    if operator in "+*" and isinstance(parts[0], Infix):  # one sum is one node
        parts = (Name(word(rng)), *parts[1:])
    return Infix(operator, parts)


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


def functions(rng: random.Random) -> list[str]:
    """Statements as `__init__` and `forward` have them."""
    lines = ["def f(self, x):"]
    for _ in range(150):
        start = rng.choice(["return", f"{word(rng)} ="])
        made = rng.choice([expression(rng, rng.randint(1, 2)), summed(rng)])
        lines += [f"    {line}" for line in statement(start, made, 4)]
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
