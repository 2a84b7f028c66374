"""Check that what the network returns suits its number of classes."""

from __future__ import annotations

from collections.abc import Sequence

from resgraph import codes
from resgraph.diagnostics import Diagnostic
from resgraph.graph import HEAD, OUTPUT, Program
from resgraph.ops import Shape
from resgraph.passes.sides import Shapes


def check_output(program: Program, outputs: Sequence[Shapes]) -> list[Diagnostic]:
    """A finding where the network ends in its head, which has not `classes` channels.

    `outputs` are the shapes that each output may have; one that is right is enough.
    """
    if program.network.results != {OUTPUT: HEAD} or not program.ends[HEAD].nodes:
        return []
    found = [_check(program, shape) for shape in outputs[0]]
    return [] if [] in found else found[0]


def _check(program: Program, shape: Shape) -> list[Diagnostic]:
    """A map has a channel for each class, as one for segmentation has."""
    if program.classes in (None, shape[0]):
        return []
    message = f"the network ends in {shape[0]} logits, and classes = {program.classes}"
    hint = "linear: {features: classes} ends the head"
    if len(shape) == 3:
        message = (
            f"the network ends in the map {[*shape]}, and classes = {program.classes}"
        )
        hint = "end the head with global_avg_pool, linear: {features: classes}"
    span = program.ends[HEAD].nodes[-1].span
    return [Diagnostic(codes.WRONG_OUTPUT, message, span, hint)]
