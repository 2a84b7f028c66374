"""The ops that act on each element alone, and have no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar

from pydantic import Field

from resgraph.expr import Expr, exact, show
from resgraph.ops.base import Fractional, Numbers, OnnxBuilder, Op, Real, Shape
from resgraph.ops.facts import POINT, ReceptiveField, Role, Saved
from resgraph.ops.source import layer, real
from resgraph.syntax import Call, Syntax, call, infix


class Relu(Op):
    """Rectifier: max(x, 0)."""

    kind: ClassVar[str] = "relu"
    also: ClassVar[tuple[str, ...]] = ("rectifier",)
    role: ClassVar[Role] = Role.ACTIVATION

    def never_negative(self, *inputs: bool) -> bool:
        return True

    def idle(self, *never_negative: bool) -> bool:
        return all(never_negative)

    def receptive_field(self) -> ReceptiveField | None:
        return POINT

    def saved(self, *inputs: Shape) -> Saved:
        return Saved(output=True)

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return call("torch.relu", *values)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Relu", *values)


class Sigmoid(Op):
    """Logistic function: 1 / (1 + exp(-x)); the gate of Fig. 2 c and d."""

    kind: ClassVar[str] = "sigmoid"
    also: ClassVar[tuple[str, ...]] = ("logistic",)
    role: ClassVar[Role] = Role.ACTIVATION
    squashes: ClassVar[bool] = True

    def never_negative(self, *inputs: bool) -> bool:
        return True

    def receptive_field(self) -> ReceptiveField | None:
        return POINT

    def saved(self, *inputs: Shape) -> Saved:
        return Saved(output=True)

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return call("torch.sigmoid", *values)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Sigmoid", *values)


class Scale(Op):
    """Multiplication by a constant, as on the shortcut of Fig. 2 b."""

    kind: ClassVar[str] = "scale"
    role: ClassVar[Role] = Role.PLAIN

    factor: Real = Field(description="What every element is multiplied by.")

    def gain(self, *inputs: Shape) -> float | None:
        return None if isinstance(self.factor, Expr) else float(self.factor)

    def never_negative(self, *inputs: bool) -> bool:
        gain = self.gain()
        return gain is not None and gain >= 0 and all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        return POINT

    def saved(self, *inputs: Shape) -> Saved:
        return Saved()

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return infix("*", number("factor"), *values)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Mul", *values, g.scalar(self.factor))


class OneMinus(Op):
    """1 - x: the complement of a gate, as on the shortcut of Fig. 2 c and d."""

    kind: ClassVar[str] = "one_minus"
    also: ClassVar[tuple[str, ...]] = ("complement", "1-x")
    role: ClassVar[Role] = Role.PLAIN
    complements: ClassVar[bool] = True

    def receptive_field(self) -> ReceptiveField | None:
        return POINT

    def saved(self, *inputs: Shape) -> Saved:
        return Saved()

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return infix("-", 1, *values)

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return g.node("Sub", g.scalar(1.0), *values)


class Dropout(Op):
    """Dropout while training, as on the shortcut of Fig. 2 f; nothing at inference."""

    kind: ClassVar[str] = "dropout"
    role: ClassVar[Role] = Role.PLAIN

    rate: Fractional = Field(description="Share of the elements that are zeroed.")

    def conventions(self) -> Mapping[str, tuple[str, str]]:
        """TensorFlow 1 and the papers of its time give the share that is kept."""
        if isinstance(self.rate, Expr) or self.rate < 0.75:
            return {}
        kept = show(1 - exact(self.rate))
        what = f"a rate of {self.rate} keeps {kept} of the elements"
        return {"rate": (what, f"where {self.rate} was to be kept: rate: {kept}")}

    def gain(self, *inputs: Shape) -> float | None:
        return 1.0 if self.rate == 0 else None

    def never_negative(self, *inputs: bool) -> bool:
        return all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        return POINT

    def saved(self, *inputs: Shape) -> Saved:
        """Its mask: numbers on the CPU, less on CUDA."""
        return Saved(elements=prod(inputs[0]) if self.rate else 0, view=not self.rate)

    def torch_layer(self, *channels: Any) -> Call:
        return layer("nn.Dropout", real(self.rate))

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return values[0]


class Identity(Op):
    """The value itself: h(x) = x."""

    kind: ClassVar[str] = "identity"
    also: ClassVar[tuple[str, ...]] = ("noop",)
    role: ClassVar[Role] = Role.PLAIN

    def gain(self, *inputs: Shape) -> float | None:
        return 1.0

    def never_negative(self, *inputs: bool) -> bool:
        return all(inputs)

    def receptive_field(self) -> ReceptiveField | None:
        return POINT

    def saved(self, *inputs: Shape) -> Saved:
        return Saved(view=True)

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        return values[0]

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        return values[0]
