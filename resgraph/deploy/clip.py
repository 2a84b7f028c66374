"""Turn BN-ReLU into a clip of each channel where the layers behind take the rest.

With s and b of BN at inference and t = -b / s, exactly

    ReLU(s x + b) = s max(x, t) + b    for s > 0
                  = s min(x, t) + b    for s < 0
                  = ReLU(b)            for s = 0.

So s goes into the weights of the next layer and b, through them, into its bias. That needs
a layer in which every output sees the same sum of constants: a convolution that pads would
see zeros at the border and not b. Global average pooling hands on both s and b.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from resgraph.deploy.affine import Vector, affine
from resgraph.deploy.edit import Edit, Layers, Recipe, Tensors
from resgraph.deploy.network import Network, rewrite
from resgraph.deploy.ops import ChannelClip
from resgraph.deploy.units import OUTSIDE, new_name, readers, steps
from resgraph.graph import Instance, Node
from resgraph.ops.pointwise import Relu
from resgraph.ops.pool import GlobalAvgPool
from resgraph.ops.weighted import Bn, Conv, Linear

_LARGEST = float(np.finfo(np.float32).max)


def clip_before_layers(network: Network) -> Network:
    """The network with clips for the BN-ReLUs that layers without padding read."""
    return rewrite(network, _find)


@dataclass(frozen=True)
class Form:
    """ReLU(s x + b) = scale * min(max(x, lower), upper) + shift, per channel."""

    lower: Vector
    upper: Vector
    scale: Vector
    shift: Vector

    @classmethod
    def of(cls, s: Vector, b: Vector) -> Form:
        """A bound that float32 cannot hold is never met: that channel is always on or off."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            bound = -b / s
        met = np.abs(bound) <= _LARGEST  # not a number where s = b = 0
        off = ~met & ((s == 0) | (b < 0))
        return cls(
            lower=np.where(met & (s > 0), bound, -np.inf),
            upper=np.where(met & (s < 0), bound, np.inf),
            scale=np.where(off, 0.0, s),
            shift=np.where(off, np.maximum(b, 0.0), b),
        )


def _find(instance: Instance, layers: Layers) -> Edit:
    nodes, read_by = steps(instance), readers(instance)
    drop: set[str] = set()
    swap: dict[str, Node] = {}
    recipes: dict[str, Recipe] = {}
    origins: dict[str, tuple[str, ...]] = {}
    done, kept = {}, {}
    for bn in (node for node, _ in nodes.values() if isinstance(node.op, Bn)):
        found = _takers(bn, nodes, read_by)
        if isinstance(found, str):
            kept[bn.name] = found
            continue
        (relu,) = read_by[bn.name]
        drop.add(relu)
        clip = _clip(instance, bn, layers)
        swap[bn.name] = clip
        if clip.op.weights(instance.shapes[bn.name]):
            recipes[clip.name] = _bounds(bn)
            origins[clip.name] = (bn.name,)
        for taker in found:
            name = new_name(instance, bn.name, taker.name)
            op = taker.op.model_copy(update={"bias": True})
            swap[taker.name] = replace(taker, name=name, op=op)
            recipes[name] = _taken(bn, taker)
            origins[name] = (bn.name, taker.name)
        into = " and ".join(taker.name for taker in found)
        done[bn.name] = f"with its ReLU a clip ({_words(clip)}), the rest in {into}"
    return Edit(frozenset(drop), swap, recipes, origins, done, kept)


def _takers(
    bn: Node,
    nodes: Mapping[str, tuple[Node, tuple[str, ...]]],
    read_by: Mapping[str, Sequence[str]],
) -> list[Node] | str:
    """The layers that can take scale and shift, or why it cannot be done."""
    after = read_by[bn.name]
    if len(after) != 1 or OUTSIDE in after:
        return "other things than one ReLU read it"
    relu = nodes[after[0]][0]
    if not isinstance(relu.op, Relu):
        return f"{relu.name} reads it, not a ReLU"
    found: list[Node] = []
    for reader in _through_pooling(relu.name, nodes, read_by):
        if reader == OUTSIDE:
            return f"{relu.name} is the unit's output"
        node = nodes[reader][0]
        reach = node.op.reach()
        if isinstance(node.op, Conv):
            if reach is None or reach.first < 0:
                return f"{node.name} pads with zeros, where the constant would stand"
            if node.op.groups > 1:
                return f"{node.name} has groups"
        elif not isinstance(node.op, Linear):
            return f"{node.name} reads its ReLU, and has no weights to take the scale"
        found.append(node)
    return found


def _through_pooling(
    value: str,
    nodes: Mapping[str, tuple[Node, tuple[str, ...]]],
    read_by: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """The readers of a value; where one is the mean over the map, its readers."""
    for reader in read_by[value]:
        if reader != OUTSIDE and isinstance(nodes[reader][0].op, GlobalAvgPool):
            yield from _through_pooling(reader, nodes, read_by)
        else:
            yield reader


def _form(bn: Node, layers: Layers) -> Form:
    assert isinstance(bn.op, Bn)
    return Form.of(*affine(bn.op, layers(bn.name)))


def _clip(instance: Instance, bn: Node, layers: Layers) -> Node:
    """The clip in the BN's place, with the bounds that some channel needs."""
    form = _form(bn, layers)
    lower, upper = bool((form.lower > -np.inf).any()), bool((form.upper < np.inf).any())
    op = ChannelClip(lower=lower, upper=upper)
    return replace(bn, name=new_name(instance, bn.name, "clip"), op=op)


def _words(clip: Node) -> str:
    assert isinstance(clip.op, ChannelClip)
    bounds = [n for n in ("Max", "Min") if getattr(clip.op, _BOUNDS[n])]
    return " and ".join(bounds) or "of nothing"


_BOUNDS = {"Max": "lower", "Min": "upper"}


def _bounds(bn: Node) -> Recipe:
    def bounds(layers: Layers) -> Tensors:
        form = _form(bn, layers)
        return {"lower": form.lower, "upper": form.upper}

    return bounds


def _taken(bn: Node, taker: Node) -> Recipe:
    """The layer's weights with the scale in them, and its bias with the shift."""

    def take(layers: Layers) -> Tensors:
        form, tensors = _form(bn, layers), layers(taker.name)
        weight = tensors["weight"]
        rest = (1,) * (weight.ndim - 2)
        constant = weight * form.shift.reshape(1, -1, *rest)
        bias = constant.sum(axis=tuple(range(1, weight.ndim)))
        return {
            "weight": weight * form.scale.reshape(1, -1, *rest),
            "bias": bias + tensors["bias"] if "bias" in tensors else bias,
        }

    return take
