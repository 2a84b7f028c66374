"""Pretrained weights, carried into a generated network along a proven isomorphism."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Size, Tensor

from resgraph.diagnostics import ResgraphError, plural
from resgraph.graph import Graph
from resgraph.names import BATCH_COUNTS
from resgraph.verify import declared, state
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.structure import against_module, flows
from resgraph.verify.witness import Module


class NamesError(ResgraphError):
    """Weights whose names are nobody's that is known."""


@dataclass(frozen=True)
class Carried:
    """The tensors under the generated network's names, and how they came to them."""

    tensors: Mapping[str, Tensor]
    how: str


def carry(
    graph: Graph,
    source: Module | Mapping[str, Tensor],
    others: Mapping[str, Module],
    where: str,
) -> Carried:
    """The weights of a network or of a state_dict, under the names of the graph's module.

    A state_dict is taken by name where its names are that module's own; else by the first of
    `others` (by what they are called) that has its names. Raises `ResgraphError` where the
    structure is another, nothing has its names, or a weight is not finite; `where` is the
    source's name in messages.
    """
    if isinstance(source, Mapping):
        found = _by_name(graph, source) or _through(graph, source, others, where)
    else:
        found = _along(graph, source, source.initial(0), where)
    state.refuse_nan(found.tensors, where)
    return found


def _by_name(graph: Graph, tensors: Mapping[str, Tensor]) -> Carried | None:
    wanted = graph.tensors()
    check = declared.parameters(wanted, tensors, "")
    if check.verdict != "passed":
        return None
    return Carried({name: tensors[name] for name in wanted}, "by name")


def _through(
    graph: Graph,
    tensors: Mapping[str, Tensor],
    others: Mapping[str, Module],
    where: str,
) -> Carried:
    for name, module in others.items():
        if _shapes(module.initial(0)) == _shapes(tensors):
            return _along(graph, module, tensors, name)
    tried = [f"the generated network ({_differences(graph, tensors)})", *others]
    raise NamesError(
        f"{where} has the names of none of: {', '.join(tried)}",
        "name the network that it was saved from: --against PYTHON.PATH:CALLABLE",
    )


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, Size]:
    """By name, BN's counts of batches aside."""
    return {n: t.shape for n, t in tensors.items() if not n.endswith(BATCH_COUNTS)}


def _differences(graph: Graph, tensors: Mapping[str, Tensor]) -> str:
    return declared.parameters(graph.tensors(), tensors, "").detail


def _along(
    graph: Graph, module: Module, tensors: Mapping[str, Tensor], what: str
) -> Carried:
    """The module's tensors, along its isomorphism with the graph."""
    with torch.device("meta"):
        meant = flows(Interpreter(graph), graph.input)
    compared = against_module(graph, meant, module.flows(graph.input), what)
    if compared.match is None:
        raise ResgraphError(
            f"{what} is another network than {graph.name}: {compared.check.detail}",
            "weights are carried only between networks that compute the same",
        )
    pairs = dict(_saved(graph, compared.match.weights, tensors))
    count = graph.total("nodes")
    ops = f"along {count:,} matching {plural(count, 'op')}"
    return Carried(pairs, f"{ops} of {what}")


def _saved(
    graph: Graph, names: Mapping[str, str], tensors: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor]]:
    """Their tensors under our names, in our shapes: a linear layer may be a 1x1 convolution."""
    wanted = graph.tensors()
    for name, other in names.items():
        yield name, tensors[other].detach().clone().reshape(wanted[name].shape)
