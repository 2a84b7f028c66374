"""Numbers at the place where a generated module's structure leaves the graph's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resgraph.graph import Graph
from resgraph.verify.flow import INPUT, Flow
from resgraph.verify.interpreter import Interpreter
from resgraph.verify.isomorphism import Mismatch, match
from resgraph.verify.numbers import relative
from resgraph.verify.places import Place, spans
from resgraph.verify.report import Check, failed, passed
from resgraph.verify.trace import record

NAME = "numbers where they part"


def parted(
    graph: Graph, ours: nn.Module, meant: Interpreter, images: Tensor, training: bool
) -> Check:
    """How far the values are apart before and at the first node that is another.

    Both networks have the same weights; `training` is the mode in which they differ.
    """
    flows = []
    for network in (ours, meant):
        torch.manual_seed(0)  # dropout
        flows.append(record(network.train(training), images))
    found = match(*flows)
    if not isinstance(found, Mismatch):
        return passed(NAME, "none differs on these numbers")
    logits = relative(*(flow.values[flow.output] for flow in flows))
    where = flows[1].steps[found.theirs].scope if found.theirs is not None else ""
    place = Place(where or "the output", spans(graph).get(where))
    text = f"first at {place}: {_errors(found, *flows)}; logits are off by {logits:.1e}"
    return failed(NAME, text, place.span)


def _errors(found: Mismatch, ours: Flow, theirs: Flow) -> str:
    """Errors relative to the graph's values, up to the node and at it."""
    if found.ours is None or found.theirs is None:
        return "one of them goes on where the other ends"
    before = max(
        (
            relative(ours.values[i], theirs.values[j])
            for i, j in zip(
                ours.steps[found.ours].inputs,
                theirs.steps[found.theirs].inputs,
                strict=False,
            )
            if INPUT not in (i, j) and ours.steps[i].shape == theirs.steps[j].shape
        ),
        default=0.0,
    )
    mine, other = ours.values[found.ours], theirs.values[found.theirs]
    if mine.shape != other.shape:
        shapes = f"{list(mine.shape[1:])} where the spec has {list(other.shape[1:])}"
        return f"error {before:.1e} before it, and then {shapes}"
    return f"error {before:.1e} before it, {relative(mine, other):.1e} after it"
