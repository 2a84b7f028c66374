"""The ops that act on each element alone, and have no weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from pydantic import Field

from resgraph.ops.base import Fractional, OnnxBuilder, Op, Real, Shape, layer, source


class Relu(Op):
    """Rectifier: max(x, 0)."""

    kind: ClassVar[str] = "relu"
    also: ClassVar[tuple[str, ...]] = ("rectifier", "activation")

    def torch_call(
        self, layer: str, *values: str, attribute: Callable[[Any], str]
    ) -> str:
        return f"torch.relu({values[0]})"

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Relu", *values)


class Sigmoid(Op):
    """Logistic function: 1 / (1 + exp(-x)); the gate of Fig. 2 c and d."""

    kind: ClassVar[str] = "sigmoid"
    also: ClassVar[tuple[str, ...]] = ("gate", "logistic")

    def torch_call(
        self, layer: str, *values: str, attribute: Callable[[Any], str]
    ) -> str:
        return f"torch.sigmoid({values[0]})"

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Sigmoid", *values)


class Scale(Op):
    """Multiplication by a constant, as on the shortcut of Fig. 2 b."""

    kind: ClassVar[str] = "scale"

    factor: Real = Field(description="What every element is multiplied by.")

    def torch_call(
        self, layer: str, *values: str, attribute: Callable[[Any], str]
    ) -> str:
        return f"{attribute(self.factor)} * {operand(values[0])}"

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Mul", *values, g.scalar(self.factor))


class OneMinus(Op):
    """1 - x: the complement of a gate, as on the shortcut of Fig. 2 c and d."""

    kind: ClassVar[str] = "one_minus"
    also: ClassVar[tuple[str, ...]] = ("complement", "1-x")

    def torch_call(
        self, layer: str, *values: str, attribute: Callable[[Any], str]
    ) -> str:
        return f"1 - {operand(values[0])}"

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Sub", g.scalar(1.0), *values)


class Dropout(Op):
    """Dropout while training, as on the shortcut of Fig. 2 f; nothing at inference."""

    kind: ClassVar[str] = "dropout"

    rate: Fractional = Field(description="Share of the elements that are zeroed.")

    def torch_layer(self, *channels: Any) -> str:
        return layer("nn.Dropout", source(self.rate, whole=False))

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return values[0]


class Identity(Op):
    """The value itself: h(x) = x."""

    kind: ClassVar[str] = "identity"
    also: ClassVar[tuple[str, ...]] = ("skip", "shortcut", "noop")

    def torch_call(
        self, layer: str, *values: str, attribute: Callable[[Any], str]
    ) -> str:
        return values[0]

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return values[0]


def operand(text: str) -> str:
    """`text` in parentheses if it is a sum, a difference or a product."""
    depth = 0
    for token in re.findall(r"[()\[\]]|\s[-+*/]\s", text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token, 0)
        if depth == 0 and token not in "()[]":
            return f"({text})"
    return text
