"""What the paper says of ops, and what they make of a gradient, in words.

An op need not be here: of one that is not, a finding says `the derivative of KIND`. Who adds an
op of their own tells more of it by `PROSE[MyOp] = Prose(slope="...")`, where they define it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resgraph.ops import Op
from resgraph.ops.merge import Concat, Mul
from resgraph.ops.pointwise import Dropout, Identity, OneMinus, Relu, Scale, Sigmoid
from resgraph.ops.pool import AvgPool, GlobalAvgPool, MaxPool
from resgraph.ops.shortcut import OptionA
from resgraph.ops.weighted import Bn, Conv, Linear
from resgraph.syntax import Name, Syntax, infix


@dataclass(frozen=True)
class Prose:
    """What is said of an op."""

    slope: str | Callable[..., str] = ""
    """What a gradient is multiplied by on its way back through one input: the words, or a
    function of the op and of its other inputs, as `formula` or their paths name them."""
    formula: Callable[..., Syntax] | None = None
    """The output in terms of the inputs, a function of the op and of them; None for an op
    best known by its path."""
    on_shortcut: str = ""
    """What it makes of a shortcut, with the paper's figure of it."""
    after_addition: str = ""
    """What the paper says of it as f, after the addition."""


def prose(op: Op | type[Op]) -> Prose:
    """What is said of an op, or of the one that it is a kind of."""
    kind = op if isinstance(op, type) else type(op)
    return next((PROSE[base] for base in kind.__mro__ if base in PROSE), Prose())


def slope(op: Op, *others: str) -> str:
    """What a gradient is multiplied by on its way back through one input."""
    said = prose(op).slope
    text = said if isinstance(said, str) else said(op, *others)
    return text or f"the derivative of {op.kind}"


def formula(op: Op, *inputs: Syntax) -> Syntax | None:
    """The output in terms of the inputs, where that says more than a name."""
    made = prose(op).formula
    return made(op, *inputs) if made else None


def _factor(op: Scale, *others: str) -> str:
    return f"{float(op.factor):g}"


def _mask(op: Dropout, *others: str) -> str:
    kept = 1 - float(op.rate)
    scaled = f"{1 / kept:.3g} with probability {kept:.3g}, else " if kept else ""
    return f"a random mask, {scaled}0,"


PROSE: dict[Any, Prose] = {
    Relu: Prose(
        "the ReLU mask [input > 0]",
        after_addition="ReLU truncates where its input is negative: the paper sees it "
        "rarely at 164 layers, more often at 1000",
    ),
    Sigmoid: Prose("g (1 - g), at most 1/4"),
    Scale: Prose(
        _factor,
        lambda op, x: infix("*", Name(_factor(op)), x),
        on_shortcut="constant scaling, as in Fig. 2b",
    ),
    OneMinus: Prose("-1", lambda op, x: infix("-", 1, x)),
    Dropout: Prose(
        _mask,
        on_shortcut="dropout, as in Fig. 2f: to the paper a scaling by the share kept, in "
        "expectation; PyTorch makes up for it by scaling up what is kept",
    ),
    Identity: Prose(formula=lambda op, x: x),
    Mul: Prose(
        lambda op, *others: " * ".join(f"({other})" for other in others),
        on_shortcut="a gate, as in Fig. 2c and 2d",
    ),
    Concat: Prose("the gradient's channels of that input alone"),
    Conv: Prose("the weight matrix W", on_shortcut="a convolution, as in Fig. 2e"),
    Linear: Prose("the weight matrix W"),
    Bn: Prose(
        "gamma / sigma of each channel",
        after_addition="BN alters the signal that the shortcut brings, as in Fig. 4b",
    ),
    OptionA: Prose(
        "the selection of pixels and channels", on_shortcut="a change of shape"
    ),
    MaxPool: Prose("the mask of the largest of each window"),
    AvgPool: Prose("the mean over each window"),
    GlobalAvgPool: Prose("the mean over each map"),
}
"""By the class of each op that there is more to say of."""
