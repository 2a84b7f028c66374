"""What the expressions of a block may read, and what its uses of other blocks are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from resgraph.expr import Expr, exact
from resgraph.graph.ir import Block, Call, Row, Style
from resgraph.graph.uses import OWN, POSITION, word
from resgraph.names import INPUT
from resgraph.ops import Op, Shape
from resgraph.values import Value

AXES = "chw"
"""The letters by which expressions call the sides of a value: `skip.c`, `in.h`."""
Context = Mapping[str, Value]
"""What is known of the place of a block: `index`, `total`, `stage`, and sides of inputs."""


def sides(
    inputs: Sequence[str], shapes: Sequence[Shape | None]
) -> Iterator[tuple[str, int]]:
    """By name, the sides of a block's inputs, of those whose shapes are known."""
    for i, (name, shape) in enumerate(zip(inputs, shapes, strict=True)):
        if shape is None:
            continue
        for side, number in named_sides(shape).items():
            if i == 0:
                yield ("in" if side == "c" else f"in.{side}"), number
            if i or name != INPUT:
                yield f"{name}.{side}", number


def named_sides(shape: Shape) -> dict[str, int]:
    """The sides of a value that have a letter, by it: of tokens [T, C] the channels alone."""
    if len(shape) == 2:
        return {"c": channels(shape)}
    return dict(zip(AXES, shape, strict=False))


def channels(shape: Shape) -> int:
    """The channels of a value: the first side of a map [C, H, W] or a vector [C], the last
    one of tokens [T, C]."""
    return shape[-1] if len(shape) == 2 else shape[0]


def scope(
    block: Block, args: Mapping[str, Value], context: Context
) -> dict[str, Value]:
    """All that the block's expressions may read; a parameter hides what else has its name."""
    own = {
        p.name: p.default
        for p in block.params
        if p.default is not None and not isinstance(p.default, Expr)
    }
    return {**context, **own, **args}


def position(
    row: Row, context: Context, index: int, total: int | None
) -> dict[str, Value]:
    """Where a block of a row stands: in a row that is not numbered, where the row stands."""
    found = {name: context[name] for name in POSITION if name in context}
    if row.style is Style.NUMBERED:
        found["index"] = Fraction(index)
        found.pop("total", None)
        if total is not None:
            found["total"] = Fraction(total)
    return found


def evaluated(value: Any, names: Mapping[str, Any]) -> Any:
    """An argument's value. Raises `ExprError`, or `OpError` for the attributes of an op."""
    if isinstance(value, Expr):
        only = word(value)
        return names[only] if only else value.evaluate(names)
    if isinstance(value, tuple):
        return tuple(exact(evaluated(item, names)) for item in value)
    if isinstance(value, Op):
        return value.resolve(names)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return exact(value)
    return value


@dataclass(frozen=True)
class Position:
    """Where the blocks of a call stand, and what its arguments may read there."""

    call: Call
    row: Row
    outer: Mapping[str, Value]
    """The scope of the block that the call is in."""
    context: Context
    """The context of that block."""
    total: int | None
    in_network: bool

    def context_at(self, index: int) -> dict[str, Value]:
        """Where the block of that number stands."""
        return position(self.row, self.context, index, self.total)

    def names_at(self, index: int, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """What the arguments may read: in the network, sides of what the block is given.

        What stands for a default reads these everywhere, each after `OWN`.
        """
        there = self.context_at(index)
        own = {OWN + name: value for name, value in {**inputs, **there}.items()}
        if self.in_network:
            return {**self.outer, **inputs, **there, **self.call.given, **own}
        if self.row.style is not Style.NUMBERED:
            return {**self.outer, **self.call.given, **own}
        hidden = {n: v for n, v in self.outer.items() if n not in self.context}
        return {**self.outer, **there, **hidden, **self.call.given, **own}
