"""What drawings say of ops: the words in their boxes, or the sign in a circle.

An op need not be here: of one that is not, the box has its kind and the attributes that differ
from their defaults. Who adds an op of their own says it otherwise by
`LABELS[MyOp] = Label("words")`, where they define it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resgraph.diagnostics import plain
from resgraph.ops import OPS, Op
from resgraph.ops.given import Given
from resgraph.ops.merge import Add, Concat, Mul
from resgraph.ops.pointwise import Dropout, OneMinus, Relu, Scale
from resgraph.ops.pool import AvgPool, GlobalAvgPool, MaxPool
from resgraph.ops.shortcut import OptionA
from resgraph.ops.weighted import Bn, Conv, Linear
from resgraph.values import show

LONGEST = 60
"""Characters of a label that is made of attributes."""


@dataclass(frozen=True)
class Label:
    """How an op is shown."""

    words: str | Callable[[Any], str] = ""
    """What it is, with the attributes that matter: the words, or a function of the op."""
    sign: str = ""
    """The sign in the circle that is drawn for it; none where it is a box."""


def label(op: Op) -> str:
    """What an op is, in the few words of a drawing."""
    said = _label(type(op)).words
    return (said if isinstance(said, str) else said(op)) or _usual(op)


def sign(op: Op) -> str:
    """The sign in an op's circle; nothing where it is a box."""
    return (_label(type(op)) if op.known else _label(OPS.get(op.kind, Op))).sign


def _label(kind: type[Op]) -> Label:
    return next((LABELS[base] for base in kind.__mro__ if base in LABELS), Label())


def _usual(op: Op) -> str:
    """`leaky relu, slope 0.1`; of an op with findings, its kind."""
    given = op.attributes() if op.known else {}
    said = [f"{name} {show(value)}" for name, value in given.items()]
    return plain(", ".join([_kind(op), *said]), LONGEST)


def _kind(op: Op) -> str:
    return op.kind.replace("_", " ")


def _words(first: str, *rest: Any, **attributes: tuple[Any, Any]) -> str:
    """`3x3 conv, 16, stride 2`; attributes are (value, default) pairs."""
    said = [
        f"{name} {value}"
        for name, (value, usual) in attributes.items()
        if value != usual
    ]
    return ", ".join([first, *map(str, rest), *said])


def _conv(op: Conv) -> str:
    return _words(
        f"{op.kernel}x{op.kernel} conv",
        op.channels,
        stride=(op.stride, 1),
        dilation=(op.dilation, 1),
        groups=(op.groups, 1),
    )


def _pool(op: MaxPool | AvgPool) -> str:
    stride = op.kernel if op.stride is None else op.stride
    return _words(f"{op.kernel}x{op.kernel} {_kind(op)}", stride=(stride, op.kernel))


LABELS: dict[Any, Label] = {
    Conv: Label(_conv),
    Linear: Label(lambda op: _words("linear", op.features)),
    Bn: Label("BN"),
    Relu: Label("ReLU"),
    Scale: Label(lambda op: f"\N{MULTIPLICATION SIGN} {show(op.factor)}"),
    OneMinus: Label("1 \N{MINUS SIGN} \N{MIDDLE DOT}"),
    Dropout: Label(lambda op: f"dropout {show(op.rate)}"),
    Add: Label(sign="+"),
    Mul: Label(sign="\N{MULTIPLICATION SIGN}"),
    Concat: Label(sign="||"),
    MaxPool: Label(_pool),
    AvgPool: Label(_pool),
    GlobalAvgPool: Label("global avg pool"),
    OptionA: Label(lambda op: _words("option A", op.channels, stride=(op.stride, 1))),
    Given: Label(lambda op: op.param),
}
"""By the class of each op that is said otherwise than by its kind."""
