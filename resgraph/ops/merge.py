"""The ops that bring several values together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from math import prod
from typing import Any, ClassVar

from resgraph import codes
from resgraph.expr import total
from resgraph.ops.base import Numbers, OnnxBuilder, Op, OpError, Shape, form
from resgraph.ops.facts import POINT, ReceptiveField, Role, Saved
from resgraph.syntax import Listing, Syntax, call, infix


class Add(Op):
    """Sum of values of equal shapes: the addition of a residual unit, Eq. (1)."""

    kind: ClassVar[str] = "add"
    also: ClassVar[tuple[str, ...]] = ("sum", "plus")
    inputs: ClassVar[tuple[int, int | None]] = (2, None)
    role: ClassVar[Role] = Role.PLAIN
    sums: ClassVar[bool] = True
    commutes: ClassVar[bool] = True
    associates: ClassVar[bool] = True

    def channels_out(self, channels: Sequence[Any]) -> Any:
        return simplest(channels)

    def shape(self, *inputs: Shape) -> Shape:
        for a, b in pairwise(inputs):
            if a != b:
                raise OpError(
                    codes.SHAPE_MISMATCH,
                    f"add needs equal shapes, and gets {list(a)} and {list(b)}",
                    hint=mend(a, b),
                )
        return inputs[0]

    def gain(self, *inputs: Shape) -> float | None:
        return 1.0

    def never_negative(self, *inputs: bool) -> bool:
        return all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        return POINT

    def saved(self, *inputs: Shape) -> Saved:
        return Saved()

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return infix("+", *values)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return reduce(lambda a, b: g.node("Add", a, b), values)


class Mul(Op):
    """Product, element by element; a [C, 1, 1] value scales whole maps."""

    kind: ClassVar[str] = "mul"
    also: ClassVar[tuple[str, ...]] = ("multiply", "product", "times")
    inputs: ClassVar[tuple[int, int | None]] = (2, None)
    role: ClassVar[Role] = Role.PLAIN
    multiplies: ClassVar[bool] = True
    commutes: ClassVar[bool] = True
    associates: ClassVar[bool] = True

    def channels_out(self, channels: Sequence[Any]) -> Any:
        return simplest(channels)

    def shape(self, *inputs: Shape) -> Shape:
        largest = max(inputs, key=lambda shape: (len(shape), shape[1:]))
        for shape in inputs:
            if shape != largest and shape != (largest[0], 1, 1):
                raise OpError(
                    codes.SHAPE_MISMATCH,
                    f"mul needs equal shapes (or one of [C, 1, 1]), and gets "
                    f"{list(largest)} and {list(shape)}",
                    hint=mend(largest, shape),
                )
        return largest

    def activated(self, *inputs: bool) -> bool:
        """A product of several values is no linear map, whatever they are."""
        return len(inputs) > 1 or all(inputs)

    def never_negative(self, *inputs: bool) -> bool:
        return all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        return POINT

    def saved(self, *inputs: Shape) -> Saved:
        """Both factors of each product; all but the last product are factors."""
        return self.saved_for([True] * len(inputs), *inputs)

    def saved_for(self, needs: Sequence[bool], *inputs: Shape) -> Saved:
        """A factor is kept for the other one's gradient, where that is needed."""
        before = [any(needs[:i]) for i in range(1, len(inputs))]
        products = [inputs[:i] for i in range(2, len(inputs)) if needs[i]]
        return Saved(
            inputs=(needs[1], *before),
            elements=sum(prod(self.shape(*factors)) for factors in products),
        )

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return infix("*", *values)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return reduce(lambda a, b: g.node("Mul", a, b), values)


class Concat(Op):
    """Values behind one another along the channels."""

    kind: ClassVar[str] = "concat"
    also: ClassVar[tuple[str, ...]] = ("cat", "concatenate")
    inputs: ClassVar[tuple[int, int | None]] = (2, None)
    role: ClassVar[Role] = Role.PLAIN
    keeps: ClassVar[bool] = True
    associates: ClassVar[bool] = True

    def channels_out(self, channels: Sequence[Any]) -> Any:
        return total(channels)

    def shape(self, *inputs: Shape) -> Shape:
        if len(inputs[0]) == 2:
            message = f"concat needs maps or vectors, and gets {form(inputs[0])}"
            raise OpError(codes.WRONG_RANK, message)
        for a, b in pairwise(inputs):
            if a[1:] != b[1:]:
                raise OpError(
                    codes.SHAPE_MISMATCH,
                    f"concat needs maps of one size, and gets {list(a)} and {list(b)}",
                    hint=mend((0, *a[1:]), (0, *b[1:])),
                )
        return (sum(shape[0] for shape in inputs), *inputs[0][1:])

    def never_negative(self, *inputs: bool) -> bool:
        return all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        return POINT

    def saved(self, *inputs: Shape) -> Saved:
        return Saved()

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return call("torch.cat", Listing(values), 1)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Concat", *values, axis=1)


def simplest(channels: Sequence[Any]) -> Any:
    """Of equal channel counts, the one that reads best in source: the shortest."""
    return min(channels, key=lambda c: len(str(c)))


def mend(a: Shape, b: Shape) -> str | None:
    """What usually makes two shapes equal."""
    if len(a) != len(b):
        return "one of them is a vector: global_avg_pool: {keepdim: true} keeps a map"
    if a[1:] != b[1:] and a[0] != b[0]:
        return "a 1x1 conv with a stride, or option_a, changes a shortcut's shape"
    if a[1:] != b[1:]:
        return "give both sides the same stride"
    return "give both sides the same channels"
