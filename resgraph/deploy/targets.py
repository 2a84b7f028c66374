"""Which passes are run for which execution provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from resgraph.deploy.after_conv import fold_after_conv
from resgraph.deploy.clip import clip_before_layers
from resgraph.deploy.depthwise import bn_as_convolution
from resgraph.deploy.identities import remove_identities
from resgraph.deploy.network import Network, Source
from resgraph.diagnostics import ResgraphError, did_you_mean
from resgraph.graph import Graph

Pass = Callable[[Network], Network]

TARGETS: Mapping[str, tuple[Pass, ...]] = {
    "portable": (),
    "cpu": (remove_identities, fold_after_conv),
    "cuda": (remove_identities, fold_after_conv, clip_before_layers),
    "integers": (remove_identities, fold_after_conv, bn_as_convolution),
}
"""The CPU keeps the BNs that no convolution precedes: onnxruntime makes depthwise
convolutions of them in its blocked layout, which Max and Min would leave (benchmarks/).
The form int8 is made of `integers`."""


def prepare(graph: Graph, weights: Source, target: str) -> Network:
    """The network as it suits a target. Raises `ResgraphError` for an unknown one."""
    if target not in TARGETS:
        raise ResgraphError(f"unknown target '{target}'", did_you_mean(target, TARGETS))
    network = Network(graph, weights)
    for run in TARGETS[target]:
        network = run(network)
    return network
