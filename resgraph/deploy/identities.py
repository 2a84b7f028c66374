"""Take out what does nothing at inference: identities, dropout, scaling by 1."""

from __future__ import annotations

from resgraph.deploy.edit import Edit, Layers
from resgraph.deploy.network import Network, rewrite
from resgraph.graph import Instance, Node
from resgraph.ops.pointwise import Dropout, Identity, Scale


def remove_identities(network: Network) -> Network:
    """The network without nodes that pass on what they read."""
    return rewrite(network, _find)


def _find(instance: Instance, layers: Layers) -> Edit:
    idle = (node.name for _, node, _ in instance.unit.steps() if _is_idle(node))
    return Edit(drop=frozenset(idle))


def _is_idle(node: Node) -> bool:
    if isinstance(node.op, Scale):
        return node.op.factor == 1
    return isinstance(node.op, Identity | Dropout)
