"""Fold BN into the convolution before it: scale * (W x + b) + shift = W' x + b'.

Exact whatever the padding, since the convolution's output is what BN acts on. Linear layers
give vectors, which BN does not take, so convolutions are all there is.
"""

from __future__ import annotations

from dataclasses import replace

from resgraph.deploy.affine import affine
from resgraph.deploy.edit import Edit, Layers, Recipe, Tensors
from resgraph.deploy.network import Network, rewrite
from resgraph.deploy.units import new_name, readers, steps
from resgraph.graph import INPUT, Instance, Node
from resgraph.ops.weighted import Bn, Conv


def fold_after_conv(network: Network) -> Network:
    """The network without the BNs that alone read a convolution's output."""
    return rewrite(network, _find)


def _find(instance: Instance, layers: Layers) -> Edit:
    nodes, read_by = steps(instance), readers(instance)
    drop: set[str] = set()
    swap: dict[str, Node] = {}
    recipes: dict[str, Recipe] = {}
    origins, done, kept = {}, {}, {}
    for bn, (value,) in (
        (node, inputs) for node, inputs in nodes.values() if isinstance(node.op, Bn)
    ):
        why = _why_not(nodes[value][0] if value != INPUT else None, read_by[value])
        if why:
            kept[bn.name] = why
            continue
        conv = nodes[value][0]
        name = new_name(instance, conv.name, bn.name)
        op = conv.op.model_copy(update={"bias": True})
        swap[conv.name] = replace(conv, name=name, op=op)
        drop.add(bn.name)
        recipes[name] = _recipe(conv.name, bn)
        origins[name] = (conv.name, bn.name)
        done[bn.name] = f"folded into {conv.name} before it"
    return Edit(frozenset(drop), swap, recipes, origins, done, kept)


def _why_not(before: Node | None, read_by: list[str]) -> str:
    """The reason against folding, or ''."""
    if before is None:
        return "it acts on what comes from other units"
    if not isinstance(before.op, Conv):
        return f"before it stands {before.op.kind}, not a convolution"
    if len(read_by) > 1:
        return f"{before.name} is read by others too"
    return ""


def _recipe(conv: str, bn: Node) -> Recipe:
    assert isinstance(bn.op, Bn)
    op = bn.op

    def fold(layers: Layers) -> Tensors:
        tensors = layers(conv)
        scale, shift = affine(op, layers(bn.name))
        weight = tensors["weight"] * scale.reshape(-1, 1, 1, 1)
        bias = shift + scale * tensors["bias"] if "bias" in tensors else shift
        return {"weight": weight, "bias": bias}

    return fold
