"""Numbers at the place where a generated module's structure leaves the graph's."""

from __future__ import annotations

from resgraph.graph import Graph
from resgraph.verify.flow import INPUT, Flow
from resgraph.verify.isomorphism import Mismatch, match
from resgraph.verify.numbers import relative
from resgraph.verify.places import Place, spans
from resgraph.verify.report import Check, failed, passed

NAME = "numbers where they part"


def parted(graph: Graph, ours: Flow, meant: Flow) -> Check:
    """How far the values are apart before and at the first node that is another.

    Both flows were recorded on the same weights and images.
    """
    found = match(ours, meant)
    if not isinstance(found, Mismatch):
        return passed(NAME, "none differs on these numbers")
    logits = relative(ours.values[ours.output], meant.values[meant.output])
    where = meant.steps[found.theirs].scope if found.theirs is not None else ""
    place = Place(where or "the output", spans(graph).get(where))
    text = f"first at {place}: {_errors(found, ours, meant)}; logits are off by {logits:.1e}"
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
