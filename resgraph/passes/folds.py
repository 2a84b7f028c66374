"""Passes for inference: what does nothing goes, and BN goes into the convolutions around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resgraph.graph import Node
from resgraph.ops.pointwise import Dropout, Identity, Scale
from resgraph.ops.weighted import Bn, Conv
from resgraph.passes.edit import Edit, Formula, Layers, Tensors, fold

Vector = NDArray[np.float64]


def affine(bn: Bn, tensors: Tensors) -> tuple[Vector, Vector]:
    """BN at inference, y = scale * x + shift per channel: scale = gamma / sqrt(var + eps) and
    shift = beta - scale * mean, each [C]."""
    scale = tensors["weight"] / np.sqrt(tensors["running_var"] + float(bn.eps))
    return scale, tensors["bias"] - scale * tensors["running_mean"]


# --- identities -------------------------------------------------------------------------


def _identities(edit: Edit, layers: Layers) -> None:
    """Take out identities, dropout, and scaling by 1."""
    edit.drop |= {node.name for node in edit.dag.nodes.values() if _is_idle(node)}


def _is_idle(node: Node) -> bool:
    if isinstance(node.op, Scale):
        return node.op.factor == 1
    return isinstance(node.op, Identity | Dropout)


remove_identities = fold("identities", _identities)


# --- BN behind a convolution ------------------------------------------------------------


def _after_conv(edit: Edit, layers: Layers) -> None:
    """Fold BN into the convolution before it: scale * (W x + b) + shift = W' x + b'.

    Exact whatever the padding, since the convolution's output is what BN acts on. Linear
    layers give vectors, which BN does not take, so convolutions are all there is.
    """
    for bn in edit.of(Bn):
        (value,) = edit.dag.reads[bn.name]
        conv = edit.dag.nodes.get(value)
        if conv is None or (why := _why_not(conv, edit.dag.readers[value])):
            edit.kept[bn.name] = (
                why if conv else "it acts on what comes from other units"
            )
            continue
        name = edit.new_name(conv.name, bn.name)
        op = conv.op.having({"bias": True})
        edit.replace(conv, name, op, _folded(conv.name, bn), conv.name, bn.name)
        edit.drop.add(bn.name)
        edit.done[bn.name] = f"folded into {conv.name} before it"


def _why_not(before: Node, read_by: list[str]) -> str:
    """The reason against folding, or ''."""
    if not isinstance(before.op, Conv):
        return f"before it stands {before.op.kind}, not a convolution"
    if len(read_by) > 1:
        return f"{before.name} is read by others too"
    return ""


def _folded(conv: str, bn: Node) -> Formula:
    assert isinstance(bn.op, Bn)
    op = bn.op

    def fold(layers: Layers) -> Tensors:
        tensors = layers(conv)
        scale, shift = affine(op, layers(bn.name))
        weight = tensors["weight"] * scale.reshape(-1, 1, 1, 1)
        bias = shift + scale * tensors["bias"] if "bias" in tensors else shift
        return {"weight": weight, "bias": bias}

    return fold


fold_after_conv = fold("bn-after-convolution", _after_conv)


# --- any other BN -----------------------------------------------------------------------


def _depthwise(edit: Edit, layers: Layers) -> None:
    """Write BN as a depthwise 1x1 convolution: scale * x + shift.

    Exact, and of use where convolutions alone have 8-bit integers: a BN that stays would take
    the whole map to float32 and back.
    """
    for bn in edit.of(Bn):
        channels = edit.instance.shapes[bn.name][0]
        op = Conv(kernel=1, channels=channels, groups=channels, bias=True)
        name = edit.new_name(bn.name, "conv")
        edit.replace(bn, name, op, _each_channel(bn), bn.name)
        edit.done[bn.name] = "a depthwise 1x1 convolution in its place"


def _each_channel(bn: Node) -> Formula:
    assert isinstance(bn.op, Bn)
    op = bn.op

    def each_channel(layers: Layers) -> Tensors:
        scale, shift = affine(op, layers(bn.name))
        return {"weight": scale.reshape(-1, 1, 1, 1), "bias": shift}

    return each_channel


bn_as_convolution = fold("bn-as-convolution", _depthwise)
