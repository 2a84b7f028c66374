"""Each op's facts against torch: shape, state_dict, source."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from resgraph.emit.class_source import number_of
from resgraph.expr import Expr
from resgraph.ops import OPS, Op, OpError, Shape
from resgraph.ops.fields import FlagField
from resgraph.syntax import Name

CASES: list[tuple[str, dict[str, Any], list[Shape]]] = [
    ("conv", {"kernel": 3, "channels": 6}, [(4, 9, 7)]),
    ("conv", {"kernel": 5, "channels": 4, "stride": 3, "bias": True}, [(4, 11, 8)]),
    ("conv", {"kernel": 4, "channels": 8, "padding": 1, "groups": 4}, [(4, 9, 7)]),
    ("conv", {"kernel": 3, "channels": 2, "dilation": 3}, [(4, 12, 12)]),
    ("bn", {}, [(4, 3, 3)]),
    ("bn", {"eps": 0.01, "momentum": 0.5}, [(4, 3, 3)]),
    ("linear", {"features": 5}, [(12,)]),
    ("linear", {"features": 5, "bias": False}, [(12,)]),
    ("relu", {}, [(4, 3, 3)]),
    ("sigmoid", {}, [(4, 3, 3)]),
    ("scale", {"factor": -0.5}, [(4, 3, 3)]),
    ("one_minus", {}, [(4, 3, 3)]),
    ("dropout", {"rate": 0.5}, [(4, 3, 3)]),
    ("identity", {}, [(4, 3, 3)]),
    ("add", {}, [(4, 3, 3), (4, 3, 3), (4, 3, 3)]),
    ("mul", {}, [(4, 3, 3), (4, 3, 3)]),
    ("mul", {}, [(4, 1, 1), (4, 3, 3)]),
    ("concat", {}, [(4, 3, 3), (2, 3, 3), (1, 3, 3)]),
    ("max_pool", {"kernel": 3, "stride": 2, "padding": 1}, [(4, 9, 8)]),
    ("max_pool", {"kernel": 2}, [(4, 9, 8)]),
    ("avg_pool", {"kernel": 3, "stride": 2, "padding": 1}, [(4, 9, 8)]),
    ("global_avg_pool", {}, [(4, 9, 8)]),
    ("global_avg_pool", {"keepdim": True}, [(4, 9, 8)]),
    ("flatten", {}, [(4, 3, 2)]),
    ("option_a", {"channels": 4}, [(4, 9, 8)]),
    ("option_a", {"channels": 7, "stride": 2}, [(4, 9, 8)]),
]


def op_of(kind: str, attributes: dict[str, Any]) -> Op:
    return OPS[kind].model_validate(attributes)


def called(op: Op, *values: str) -> str:
    """The op's expression of these values and of `layer`."""
    number = partial(number_of, op)
    return str(op.torch_call(Name("layer"), *map(Name, values), number=number))


def layer_of(op: Op, shapes: list[Shape]) -> nn.Module | None:
    """The layer that the op's source constructs."""
    names: dict[str, Any] = {"nn": nn, "functional": functional, "Tensor": Tensor}
    if op.helper:
        exec(op.helper, names)
    made = op.torch_layer(*(shape[0] for shape in shapes))
    return None if made is None else eval(str(made), names)


@pytest.mark.parametrize(("kind", "attributes", "shapes"), CASES)
def test_against_torch(
    kind: str, attributes: dict[str, Any], shapes: list[Shape]
) -> None:
    op = op_of(kind, attributes)
    layer = layer_of(op, shapes)
    values = [torch.randn(2, *shape) for shape in shapes]
    names = {f"v{i}": value for i, value in enumerate(values)}
    call = called(op, *names)
    namespace = {"layer": layer, "torch": torch, "functional": functional}
    result = eval(call, namespace, names)
    assert tuple(result.shape[1:]) == op.shape(*shapes)
    state = {} if layer is None else layer.state_dict()
    state.pop("num_batches_tracked", None)
    weights = op.weights(*shapes)
    assert {w.name: w.shape for w in weights} == {
        k: tuple(v.shape) for k, v in state.items()
    }
    trained = {} if layer is None else dict(layer.named_parameters())
    assert {w.name for w in weights if w.trainable} == trained.keys()
    assert op.channels_out([shape[0] for shape in shapes]) == result.shape[1] or (
        kind == "flatten"
    )


@pytest.mark.parametrize(
    ("kind", "field"),
    [(kind, field) for kind, op in OPS.items() for field in op.model_fields],
)
def test_every_number_may_be_an_expression(kind: str, field: str) -> None:
    needed = {
        name: "k" if name == field else 2
        for name, info in OPS[kind].model_fields.items()
        if info.is_required() or name == field
    }
    try:
        op = op_of(kind, needed)
    except ValidationError:
        assert field not in OPS[kind].numbers()
        return
    if isinstance(getattr(op, field), Expr):
        flag = isinstance(OPS[kind].numbers()[field], FlagField)
        value = True if flag else Fraction(1)
        assert getattr(op.resolve({"k": value}), field) == value


def test_every_op_has_a_case() -> None:
    assert {kind for kind, _, _ in CASES} == set(OPS)


@given(
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.none() | st.integers(0, 2),
    dilation=st.integers(1, 2),
    side=st.integers(1, 12),
)
def test_conv_shape_and_cost(
    kernel: int, stride: int, padding: int | None, dilation: int, side: int
) -> None:
    attributes = {
        "kernel": kernel,
        "channels": 3,
        "stride": stride,
        "dilation": dilation,
    }
    op = op_of("conv", attributes | ({} if padding is None else {"padding": padding}))
    shape = (2, side, side + 1)
    try:
        expected = op.shape(shape)
    except OpError:
        reach = dilation * (kernel - 1)
        assert reach % 2 or reach + 1 > side + 2 * (padding or 0)
        return
    layer = layer_of(op, [shape])
    assert layer is not None
    output = layer(torch.zeros(1, *shape))
    assert tuple(output.shape[1:]) == expected
    assert op.multiply_adds(shape) == kernel**2 * 2 * output[0].numel()


def test_symbolic_padding_follows_the_kernel() -> None:
    op = op_of("conv", {"kernel": "k", "channels": "4 * width"})
    text = str(op.torch_layer(Expr(Name("in_channels"))))
    assert (
        text == "nn.Conv2d(in_channels, 4 * width, k, padding=(k - 1) // 2, bias=False)"
    )
    layer = eval(text, {"nn": nn, "in_channels": 2, "width": 1, "k": 5})
    assert layer.padding == (2, 2)


def test_operands_keep_their_order_of_evaluation() -> None:
    x = torch.randn(3)
    scale, complement = op_of("scale", {"factor": 2}), op_of("one_minus", {})

    number = partial(number_of, scale)
    inner = complement.torch_call(Name(""), Name("x"), number=number)
    outer = scale.torch_call(Name(""), inner, number=number)
    assert str(outer) == "2.0 * (1 - x)"
    assert torch.equal(eval(str(outer)), 2 * (1 - x))
    product = op_of("mul", {}).torch_call(Name(""), inner, Name("x"), number=number)
    assert torch.equal(eval(str(product)), (1 - x) * x)
