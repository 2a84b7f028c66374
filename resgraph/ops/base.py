"""What every op is: attributes, shape rule, weights, cost, PyTorch text, ONNX nodes.

A subclass of `Op` states all facts of one op. The rest of resgraph asks the op and never
switches on its name, so a new op is one new class in one of the modules of this package
(`docs/adding-an-op.md` walks through it).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Protocol, Self, get_args

from pydantic import BaseModel, ConfigDict, Field

from resgraph import codes
from resgraph.diagnostics import Code
from resgraph.expr import Expr, ExprError, KindError
from resgraph.names import LayerName
from resgraph.ops.facts import ReceptiveField, Role, Saved
from resgraph.ops.fields import AnyField, FlagField, NumberField
from resgraph.ops.start import Init, Start
from resgraph.syntax import Call, Syntax, call
from resgraph.values import Value

Shape = tuple[int, ...]
"""A value's shape without the batch: (C, H, W) for maps, (T, C) for tokens, (C,) for
vectors."""

AXES: Mapping[int, tuple[str, str]] = {
    1: ("vector", "C"),
    2: ("tokens", "TC"),
    3: ("map", "CHW"),
}
"""By rank, what a value is called, and its axes."""

# Statically these are the plain numbers that `Op.resolve` leaves; before it, an Expr.
Count = Annotated[int, NumberField(minimum=1, whole=True)]
Channels = Annotated[int, NumberField(minimum=1, whole=True, channels=True)]
Size = Annotated[int, NumberField(minimum=0, whole=True)]
Real = Annotated[float, NumberField()]
Positive = Annotated[float, NumberField(minimum=1e-12)]
Fractional = Annotated[float, NumberField(minimum=0, maximum=1)]


Flag = Annotated[bool, FlagField()]

Numbers = Callable[[str], Syntax]
"""One of an op's attributes, by its name, as `forward` reads it."""


class OpError(ValueError):
    """An op that does not fit its inputs; `field` names the attribute at fault, if one is."""

    def __init__(
        self,
        code: Code,
        message: str,
        hint: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.field = code, message, hint, field


@dataclass(frozen=True)
class Weight:
    """One tensor of the state_dict: its name within the op, shape, start; buffers don't train."""

    name: str
    shape: tuple[int, ...]
    start: Start
    trainable: bool = True

    @property
    def init(self) -> Init:
        """The numbers that it starts with."""
        return self.start.init(self.shape)


class OnnxBuilder(Protocol):
    """What an op's `onnx` writes to. Values are named by strings."""

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output and return the output's name."""

    def weight(self, name: str) -> str:
        """The initialiser of the op's weight `name`."""

    def ints(self, *values: int) -> str:
        """A constant int64 vector."""

    def scalar(self, value: float) -> str:
        """A constant float32 scalar."""


class Op(BaseModel):
    """One operation with its attributes; the class states everything about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ClassVar[str]
    inputs: ClassVar[tuple[int, int | None]] = (1, 1)
    """How many values it takes: at least, and at most (None: any number)."""
    also: ClassVar[tuple[str, ...]] = ()
    """What others call it, in lower case and without '_': for the hint at a wrong name."""
    torch_starts: ClassVar[Mapping[str, Start]] = {}
    """How its layer in torch starts its weights by itself; the others get a statement."""
    helper: ClassVar[str] = ""
    """Source of a module class that the generated file needs beside torch's."""
    role: ClassVar[Role] = Role.UNKNOWN
    """Weight layer, normalisation, activation, or none of them."""
    sums: ClassVar[bool] = False
    """Whether it adds its inputs up, as the addition of Eq. (1) does."""
    multiplies: ClassVar[bool] = False
    """Whether it multiplies its inputs, so that one may be a gate for another."""
    squashes: ClassVar[bool] = False
    """Whether its output is bounded, as that of a gate is."""
    complements: ClassVar[bool] = False
    """Whether it takes a gate to its complement."""
    keeps: ClassVar[bool] = False
    """Whether each input stands in the output as it is, beside the others."""
    commutes: ClassVar[bool] = False
    """Whether the order of its inputs does not matter."""
    associates: ClassVar[bool] = False
    """Whether inputs that are it again may be written out: a + (b + c) as a + b + c."""
    rereads: ClassVar[bool] = False
    """Whether training can let it read an activation anew for the gradient, computed once
    more from what stands before BN, where it alone reads it (`train/recompute.py`)."""

    known: ClassVar[bool] = True
    """Whether it is all there; an op with findings is not (`resgraph.ops.unknown`)."""

    name: LayerName | None = Field(
        default=None, description="The layer's name in the state_dict."
    )

    # --- attributes -----------------------------------------------------------------

    @classmethod
    def numbers(cls) -> Mapping[str, AnyField]:
        """The attributes that may be expressions, those that may be None among them."""
        return _numbers(cls)

    def resolve(self, env: Mapping[str, Value]) -> Op:
        """A copy with every expression evaluated. Raises `OpError` naming the field."""
        numbers, values = self.numbers(), dict[str, Any]()
        for name, value in self.attributes().items():
            if isinstance(value, Expr):
                try:
                    values[name] = numbers[name].settle(value, env)
                except ExprError as error:
                    wrong_kind = isinstance(error, KindError)
                    code = codes.WRONG_TYPE if wrong_kind else codes.INVALID_NUMBER
                    raise OpError(code, str(error), field=name) from None
        return self.having(values) if values else self

    def having(self, values: Mapping[str, Any]) -> Self:
        """A copy with these attributes."""
        return self.model_copy(update=values)

    def written(self) -> frozenset[str]:
        """The attributes that the spec gives."""
        return frozenset(self.model_fields_set)

    def attributes(self) -> dict[str, Any]:
        """What differs from the defaults, as it was written, without the layer's name."""
        return {
            name: value
            for name, default in _defaults(type(self))
            if (value := getattr(self, name)) != default
        }

    def conventions(self) -> Mapping[str, tuple[str, str]]:
        """Attributes that read as another framework's convention has them: what they do
        here, and what was perhaps meant."""
        return {}

    # --- shapes and cost (of a resolved op) -----------------------------------------

    def channels_out(self, channels: Sequence[Any]) -> Any:
        """Channels out from channels in: ints, or `Expr` for the generated source."""
        return channels[0]

    def shape(self, *inputs: Shape) -> Shape:
        """The output's shape. Raises `OpError` where the inputs do not fit."""
        return inputs[0]

    def starts(self) -> Mapping[str, Start]:
        """How each weight starts, by its name; also of an op that is not resolved."""
        return {}

    def weights(self, *inputs: Shape) -> tuple[Weight, ...]:
        """The tensors of the state_dict, in its order; `weight` makes one."""
        return ()

    def weight(
        self, name: str, shape: tuple[int, ...], trainable: bool = True
    ) -> Weight:
        """The weight of that name, with its start."""
        return Weight(name, shape, self.starts()[name], trainable)

    def multiply_adds(self, *inputs: Shape) -> int:
        """Multiply-adds per image; the paper's count has convolutions and linear only."""
        return 0

    # --- topology (of a resolved op; the defaults claim nothing) --------------------

    def gain(self, *inputs: Shape) -> float | None:
        """The constant that each input is multiplied by on its way into the output.

        1 for an op that an identity path may pass: the output is the input, or a sum with
        the input as a term. None where there is no such constant. `inputs` is empty where
        shapes are not known yet.
        """
        return None

    def activated(self, *inputs: bool) -> bool:
        """Whether an activation has acted on the output since the last weight layer.

        `inputs` says the same of each input. A merge is activated if all of its inputs are.
        """
        if self.role in (Role.ACTIVATION, Role.UNKNOWN):
            return True
        return self.role is not Role.WEIGHT and all(inputs)

    def mixes(self, *inputs: Shape) -> bool:
        """Whether, as a weight layer, it lets channels act on one another."""
        return True

    def never_negative(self, *inputs: bool) -> bool:
        """Whether no element of the output is below zero, given which inputs have none."""
        return False

    def idle(self, *never_negative: bool) -> bool:
        """Whether it changes nothing, given which inputs are never negative."""
        return False

    def receptive_field(self) -> ReceptiveField | None:
        """What an output position sees of each input; None: not stated."""
        return None

    # --- training (of a resolved op) ------------------------------------------------

    def saved(self, *inputs: Shape) -> Saved:
        """What PyTorch keeps for the gradient; the most there can be, unless stated."""
        return Saved(inputs=True, output=True)

    def saved_for(self, needs: Sequence[bool], *inputs: Shape) -> Saved:
        """The same where a gradient is asked for, but only these inputs need one."""
        return self.saved(*inputs)

    # --- PyTorch --------------------------------------------------------------------

    def torch_layer(self, *channels: Any) -> Call | None:
        """The constructor call of the layer, or None for an op without one."""
        return None

    def torch_call(self, layer: Syntax, *values: Syntax, number: Numbers) -> Syntax:
        """The expression that computes the op; `number` is one of its attributes, by name."""
        return call(str(layer), *values)

    # --- ONNX (of a resolved op) ----------------------------------------------------

    def onnx(self, g: OnnxBuilder, *values: str, shapes: Sequence[Shape]) -> str:
        """Append the op's inference nodes and return the name of its result."""
        raise NotImplementedError(f"{self.kind} has no ONNX form")


@cache
def _defaults(cls: type[Op]) -> tuple[tuple[str, Any], ...]:
    fields = cls.model_fields.items()
    return tuple((name, field.default) for name, field in fields if name != "name")


@cache
def _numbers(cls: type[Op]) -> Mapping[str, AnyField]:
    return {
        name: meta
        for name, field in cls.model_fields.items()
        for kind in (field, *get_args(field.annotation))
        for meta in getattr(kind, "metadata", getattr(kind, "__metadata__", ()))
        if isinstance(meta, AnyField)
    }


def form(shape: Shape) -> str:
    """What the value is, with its axes: `the tokens [T, C] = [196, 64]`."""
    name, axes = AXES.get(len(shape), ("value", ""))
    named = f" [{', '.join(axes)}] =" if name == "tokens" else ""
    return f"the {name}{named} {[*shape]}"


def need_map(op: Op, shape: Shape) -> None:
    """Raise `OpError` unless the value is a [C, H, W] map."""
    if len(shape) != 3:
        vector = "global_avg_pool and flatten make vectors of maps: move it before them"
        hint = vector if len(shape) == 1 else None
        raise OpError(
            codes.WRONG_RANK,
            f"{op.kind} needs a [C, H, W] map, and gets {form(shape)}",
            hint=hint,
        )


def window(op: Op, shape: Shape, kernel: int, stride: int, padding: int) -> Shape:
    """The map's (H, W) after a sliding window. Raises `OpError` where none fits."""
    sides = tuple((side + 2 * padding - kernel) // stride + 1 for side in shape[1:])
    if min(sides) < 1:
        raise OpError(
            codes.INVALID_ATTRIBUTE,
            f"{op.kind} has a window of {kernel}, larger than its input "
            f"{list(shape)} with padding {padding}",
            field="kernel",
        )
    return sides
