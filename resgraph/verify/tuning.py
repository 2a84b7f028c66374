"""Weights of a network with other classes: all but the layer that tells these apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph
from resgraph.outputs import classifying
from resgraph.verify.carry import Carried, carry
from resgraph.verify.flow import INPUT
from resgraph.verify.witness import Module


@dataclass(frozen=True)
class Head:
    """The tensors of a graph that depend on its number of classes."""

    names: tuple[str, ...]
    other: Callable[[int], Graph | None]
    """The graph with that many classes instead."""


@dataclass(frozen=True)
class Taken:
    """What is taken of other weights, under the graph's names."""

    tensors: Mapping[str, Tensor]
    how: str
    classes: int | None = None
    """That the source has, where these are others, or 0 where it has none: a new head."""


def taken(
    graph: Graph, head: Head, source: Module | Mapping[str, Tensor], where: str
) -> Taken:
    """The weights of a network or of a state_dict, whatever its number of classes.

    The structure is proven equal, or the names and shapes are, for that number. Raises
    `ResgraphError` as `carry` does.
    """
    classes = _classes(graph, head, source)
    mine = graph.tensors()
    if classes is None or (head.names and mine[head.names[0]].shape[0] == classes):
        carried = carry(graph, source, {}, where)
        return Taken(carried.tensors, _how(carried, source, where))
    if (
        isinstance(source, Mapping) and not classes
    ):  # whatever stands there is not taken
        source = {**source, **{n: torch.zeros(mine[n].shape) for n in head.names}}
    other = head.other(classes) if classes else graph
    if other is None:
        raise ResgraphError(
            f"{where} tells {classes} classes apart, and {graph.name} has no layer of its "
            "own for that which could be another",
            "end the spec's head with a linear layer",
        )
    carried = carry(other, source, {}, where)
    kept = {n: t for n, t in carried.tensors.items() if n not in head.names}
    return Taken(kept, _how(carried, source, where), classes)


def _how(carried: Carried, source: Module | Mapping[str, Tensor], where: str) -> str:
    by_name = isinstance(source, Mapping)
    return f"of {where}, {carried.how}" if by_name else carried.how


def _classes(
    graph: Graph, head: Head, source: Module | Mapping[str, Tensor]
) -> int | None:
    """How many the source tells apart; 0 for one without a head, None if that is not seen."""
    if not isinstance(source, Mapping):
        flow = source.flows(graph.input).inference
        shapes = {
            name or f"output {k}": flow.steps[i].shape
            for k, (i, name) in enumerate(zip(flow.outputs, flow.names, strict=True))
            if i != INPUT
        }
        logits = classifying({name: len(s) == 1 for name, s in shapes.items()})
        return shapes[logits][0] if logits else None
    if not head.names:
        return None
    missing = {*graph.tensors()} - {*source}
    if missing == {*head.names}:
        return 0
    first = source.get(head.names[0])
    return int(first.shape[0]) if first is not None and first.dim() else None
