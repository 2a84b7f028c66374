"""Check that no two things of a network would bear one name in the generated file."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Note, Span
from resgraph.graph import INPUT, Graph, Unit, used_units
from resgraph.names import (
    IN_CHANNELS,
    LOGITS,
    class_name,
    refusal,
    variable,
)

Named = tuple[str, str, Span | None]
"""A name in Python, what bears it in the spec, and where."""


def check_names(graph: Graph) -> list[Diagnostic]:
    """Findings on names that collide, or that Python or the unit itself has taken."""
    findings = [*_clashes(_classes(graph)), *_clashes(_network_layers(graph))]
    for unit in _declared(graph):
        findings += _unit(unit)
    for end in (graph.stem, graph.head):
        findings += _told(_reserved_in(end, graph.head.output))
    return findings


def _declared(graph: Graph) -> list[Unit]:
    return [unit for unit in graph.units.values() if not unit.gaps.stranger]


def _classes(graph: Graph) -> Iterator[Named]:
    """Of names that are refused there are findings already, and no classes."""
    named = [(graph.name, f"the network '{graph.name}'", graph.span)]
    named += [(u.name, f"the unit '{u.name}'", u.span) for u in _declared(graph)]
    for name, what, span in named:
        if refusal(name) is None:
            yield class_name(name), what, span
    ends = (graph.stem, graph.head)
    for name in sorted(set().union(*map(helper_classes, [*used_units(graph), *ends]))):
        yield name, f"the class {name} of an op", None


def helper_classes(unit: Unit) -> set[str]:
    """The classes that the unit's ops add to the file."""
    texts = {node.op.helper for _, node, _ in unit.steps()}
    trees = (statement for text in texts for statement in ast.parse(text).body)
    return {tree.name for tree in trees if isinstance(tree, ast.ClassDef)}


def _network_layers(graph: Graph) -> Iterator[Named]:
    for number, stage in enumerate(graph.stages, 1):
        span = stage[0].span if stage else None
        yield f"stage{number}", f"stage {number}", span
    for end in (graph.stem, graph.head):
        for _, node, _ in end.steps():
            yield node.name, f"the op '{node.name}'", node.span


def _unit(unit: Unit) -> Iterator[Diagnostic]:
    yield from _told(_reserved(unit))
    variables = [(variable(p.name), f"the path '{p.name}'", p.span) for p in unit.paths]
    yield from _clashes(variables)
    params = [(p.name, f"the parameter '{p.name}'", p.span) for p in unit.params]
    layers = [(n.name, f"the op '{n.name}'", n.span) for _, n, _ in unit.steps()]
    yield from _clashes([*params, *layers])


def _told(reserved: Iterable[tuple[str, Named]]) -> Iterator[Diagnostic]:
    for why, (_, what, span) in reserved:
        yield Diagnostic(codes.INVALID_NAME, f"{what}: {why}", span)


def _reserved_in(end: Unit, last: str) -> Iterator[tuple[str, Named]]:
    """Values of the stem and the head stand beside the model's own in ONNX."""
    for _, node, _ in end.steps():
        if node.name == LOGITS and node.name != last:
            named = (node.name, f"the op '{node.name}'", node.span)
            yield "the model's output is called so, and this is not the last op", named


def _reserved(unit: Unit) -> Iterator[tuple[str, Named]]:
    for path in unit.paths:
        named = (path.name, f"the path '{path.name}'", path.span)
        if path.name == INPUT:
            yield "x is the unit's input; give the path another name", named
        elif refusal(path.name) is None and (why := refusal(variable(path.name))):
            yield why, named
    for param in unit.params:
        if param.name in (INPUT, IN_CHANNELS):
            named = (param.name, f"the parameter '{param.name}'", param.span)
            yield "generated code needs the name for itself", named
        if param.name in helper_classes(unit):
            named = (param.name, f"the parameter '{param.name}'", param.span)
            yield f"it would hide the class {param.name} of an op", named


def _clashes(named: Iterable[Named]) -> Iterator[Diagnostic]:
    """A finding for each name that something earlier bears already."""
    seen: dict[str, Named] = {}
    for name, what, span in named:
        if name not in seen:
            seen[name] = (name, what, span)
            continue
        _, other, place = seen[name]
        note = Note("the other is here", place)
        if other == what:
            other = "another"
        yield Diagnostic(
            codes.NAME_CLASH,
            f"{what} and {other} would both be '{name}'",
            span or place,
            "rename one",
            (note,) if place and span else (),
        )
