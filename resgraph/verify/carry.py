"""Pretrained weights, carried into a generated network along a proven isomorphism."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph
from resgraph.verify import declared, state
from resgraph.verify.structure import against_module
from resgraph.verify.trace import trace


@dataclass(frozen=True)
class Carried:
    """The tensors under the generated network's names, and how they came to them."""

    tensors: Mapping[str, Tensor]
    how: str


def carry(
    graph: Graph,
    generated: nn.Module,
    source: nn.Module | Mapping[str, Tensor],
    others: Mapping[str, nn.Module],
    where: str,
) -> Carried:
    """The weights of a network or of a state_dict, under the names of `generated`.

    A state_dict is taken by name where its names are the network's own; else it is loaded
    into the first of `others` (by what they are called) that has its names, and carried from
    there. Raises `ResgraphError` where the structure is another, nothing has its names, or
    a weight is not finite; `where` is the source's name in messages.
    """
    if isinstance(source, nn.Module):
        found = _along(graph, generated, source, where)
    else:
        found = _by_name(graph, source) or _through(
            graph, generated, source, others, where
        )
    state.refuse_nan(found.tensors, where)
    return found


def _by_name(graph: Graph, tensors: Mapping[str, Tensor]) -> Carried | None:
    wanted = declared.tensors(graph)
    check = declared.parameters(wanted, tensors, "")
    if check.verdict != "passed":
        return None
    return Carried({name: tensors[name] for name in wanted}, "by name")


def _through(
    graph: Graph,
    generated: nn.Module,
    tensors: Mapping[str, Tensor],
    others: Mapping[str, nn.Module],
    where: str,
) -> Carried:
    for name, network in others.items():
        if _fits(network, tensors):
            network.load_state_dict(dict(tensors), strict=False)
            return _along(graph, generated, network, name)
    tried = [f"the generated network ({_differences(graph, tensors)})", *others]
    raise ResgraphError(
        f"{where} has the names of none of: {', '.join(tried)}",
        "name the network that it was saved from: --against PYTHON.PATH:CALLABLE",
    )


def _fits(network: nn.Module, tensors: Mapping[str, Tensor]) -> bool:
    """The same names and shapes, BN's counts of batches aside."""
    counts = declared.COUNTS
    wanted = {
        k: v.shape for k, v in network.state_dict().items() if not k.endswith(counts)
    }
    return wanted == {k: v.shape for k, v in tensors.items() if not k.endswith(counts)}


def _differences(graph: Graph, tensors: Mapping[str, Tensor]) -> str:
    return declared.parameters(declared.tensors(graph), tensors, "").detail


def _along(graph: Graph, generated: nn.Module, source: nn.Module, what: str) -> Carried:
    compared = against_module(
        graph,
        trace(generated, graph.input, training=True),
        trace(source, graph.input, training=True),
        what,
    )
    if compared.match is None:
        raise ResgraphError(
            f"{what} is another network than {graph.name}: {compared.check.detail}",
            "weights are carried only between networks that compute the same",
        )
    pairs = dict(_saved(compared.match.weights, generated, source))
    ops = f"along {len(compared.match.steps):,} matching ops"
    return Carried(pairs, f"{ops} of {what}")


def _saved(
    names: Mapping[str, str], generated: nn.Module, source: nn.Module
) -> Iterator[tuple[str, Tensor]]:
    """Their tensors under our names, in our shapes: a linear layer may be a 1x1 convolution."""
    ours, theirs = generated.state_dict(), source.state_dict()
    for name, other in names.items():
        yield name, theirs[other].detach().clone().reshape(ours[name].shape)
