"""Write the BNs that are left as depthwise 1x1 convolutions: scale * x + shift.

Exact, and of use where convolutions alone have 8-bit integers: a BN that stays would take the
whole map to float32 and back.
"""

from __future__ import annotations

from dataclasses import replace

from resgraph.deploy.affine import affine
from resgraph.deploy.edit import Edit, Layers, Recipe, Tensors
from resgraph.deploy.network import Network, rewrite
from resgraph.deploy.units import new_name, steps
from resgraph.graph import Instance, Node
from resgraph.ops.weighted import Bn, Conv


def bn_as_convolution(network: Network) -> Network:
    """The network with a depthwise 1x1 convolution in the place of every BN."""
    return rewrite(network, _find)


def _find(instance: Instance, layers: Layers) -> Edit:
    swap: dict[str, Node] = {}
    recipes: dict[str, Recipe] = {}
    origins, done = {}, {}
    for bn in (node for node, _ in steps(instance).values() if isinstance(node.op, Bn)):
        name = new_name(instance, bn.name, "conv")
        channels = instance.shapes[bn.name][0]
        op = Conv(kernel=1, channels=channels, groups=channels, bias=True)
        swap[bn.name] = replace(bn, name=name, op=op)
        recipes[name] = _recipe(bn)
        origins[name] = (bn.name,)
        done[bn.name] = "a depthwise 1x1 convolution in its place"
    return Edit(frozenset(), swap, recipes, origins, done)


def _recipe(bn: Node) -> Recipe:
    assert isinstance(bn.op, Bn)
    op = bn.op

    def each_channel(layers: Layers) -> Tensors:
        scale, shift = affine(op, layers(bn.name))
        return {"weight": scale.reshape(-1, 1, 1, 1), "bias": shift}

    return each_channel
