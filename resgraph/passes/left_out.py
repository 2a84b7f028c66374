"""Check that what a condition leaves out leaves nothing behind that is computed for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Span
from resgraph.graph import Graph, Instance, Part
from resgraph.passes.size import distinct

Found = tuple[Span, str]
"""What was left out, and the path or input that nothing reads then."""


def check_left_out(graph: Graph) -> Iterator[Diagnostic]:
    """Findings on the paths and inputs of a unit that only what is left out would have read.

    What is left out stands for the last value that it reads; the others are lost with it.
    """
    told = set[Found]()
    for instance, notes in distinct(graph.network):
        for part, lost in _lost(instance):
            if (part.span, lost) in told:
                continue
            told.add((part.span, lost))
            last, unit = _path(instance, part.inputs[-1]), instance.block.name
            yield Diagnostic(
                codes.UNUSED_PATH,
                f"nothing reads '{lost}' in '{unit}' where this is left out",
                part.span,
                f"what is left out stands for the last value that it reads, '{last}': read "
                f"'{lost}' last, or leave it out, too",
                notes,
            )


def _lost(instance: Instance) -> Iterator[tuple[Part, str]]:
    """Each part that is left out, with a path or an input that nothing reads without it."""
    if not instance.shapes or instance.source is None:
        return
    block, stands = instance.block, dict[str, str]()
    there = {part.name for part in block.nodes}
    read = {*block.results.values(), *(i for part in block.nodes for i in part.inputs)}
    for part in instance.source.nodes:
        if part.name in there or not part.inputs:
            continue
        values = [stands.get(value, value) for value in part.inputs]
        stands[part.name] = values[-1]
        for value in dict.fromkeys(values[:-1]):
            if value not in read and value != values[-1]:
                yield part, _path(instance, value)


def _path(instance: Instance, value: str) -> str:
    """What the spec calls a value."""
    name = value.partition(".")[0]
    nodes = (instance.source or instance.block).nodes
    return next((part.path for part in nodes if part.name == name), name)
