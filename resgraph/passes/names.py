"""Check that no two things of a network would bear one name in the generated file."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from resgraph import codes
from resgraph.diagnostics import Diagnostic, Note, Span
from resgraph.graph import INPUT, Block, Node, Part, Program, Style
from resgraph.graph.uses import POSITION, Uses
from resgraph.names import (
    IN_CHANNELS,
    MODULE_ATTRIBUTES,
    class_name,
    refusal,
    variable,
)

Named = tuple[str, str, Span | None]
"""A name in Python, what bears it in the spec, and where."""


def check_names(program: Program, uses: Uses) -> list[Diagnostic]:
    """Findings on names that collide, or that Python or the unit itself has taken."""
    findings = [*_clashes(_classes(program)), *_clashes(_network_layers(program))]
    for unit in _declared(program):
        findings += _unit(unit)
        findings += _hidden(unit, program, uses)
    for end in program.ends.values():
        findings += _told(_attributes(end))
        findings += _clashes(_variables(end)) if len(end.paths) > 1 else ()
        findings += _clashes(_values(end))
    return findings


def _declared(program: Program) -> list[Block]:
    return [unit for unit in program.blocks.values() if not unit.gaps.stranger]


def _classes(program: Program) -> Iterator[Named]:
    """Of names that are refused there are findings already, and no classes."""
    named = [(program.name, f"the network '{program.name}'", program.span)]
    named += [(u.name, f"the unit '{u.name}'", u.span) for u in _declared(program)]
    for name, what, span in named:
        if refusal(name) is None:
            yield class_name(name), what, span
    blocks = (*program.used, *program.ends.values())
    for name in sorted(set().union(*map(helper_classes, blocks))):
        yield name, f"the class {name} of an op", None


def helper_classes(block: Block) -> set[str]:
    """The classes that the block's ops add to the file."""
    texts = {node.op.helper for node in block.ops}
    trees = (statement for text in texts for statement in ast.parse(text).body)
    return {tree.name for tree in trees if isinstance(tree, ast.ClassDef)}


def _network_layers(program: Program) -> Iterator[Named]:
    for row in program.network.rows:
        if row.name not in program.ends:
            span = row.calls[0].span if row.number else row.span
            yield row.name, row.called, span
    for end in program.ends.values():
        for node in end.nodes:
            yield node.name, f"the {_what(node)} '{node.name}'", node.span


def _what(node: Part) -> str:
    return "op" if isinstance(node, Node) else "unit"


def _unit(unit: Block) -> Iterator[Diagnostic]:
    yield from _told([*_reserved(unit), *_attributes(unit)])
    yield from _clashes(_variables(unit))
    yield from _clashes([*_params(unit), *_layers(unit)])
    yield from _clashes([*_inputs(unit), *_layers(unit)])


def _params(unit: Block) -> Iterator[Named]:
    return ((p.name, f"the parameter '{p.name}'", p.span) for p in unit.params)


def _layers(block: Block) -> Iterator[Named]:
    return ((n.name, f"the {_what(n)} '{n.name}'", n.span) for n in block.nodes)


def _inputs(block: Block) -> Iterator[Named]:
    return (
        (name, f"the input '{name}'", block.input_spans.get(name, block.span))
        for name in block.inputs
    )


def _values(block: Block) -> Iterator[Named]:
    """What makes a value: inputs and ops; a name of an op twice is told elsewhere."""
    layers = {name: (name, what, span) for name, what, span in _layers(block)}
    return iter([*_inputs(block), *layers.values()])


def _hidden(unit: Block, program: Program, uses: Uses) -> Iterator[Diagnostic]:
    """Parameters called as a unit's place is, where a unit inside reads that place."""
    params = {param.name: param for param in unit.params}
    for row in unit.rows:
        numbered = row.style is Style.NUMBERED
        for call in row.calls:
            inner = program.find(call)
            if inner is None:
                continue
            own = {param.name for param in inner.params}
            for name in ("stage",) if numbered else POSITION:
                if name in params and name in uses.first(inner) and name not in own:
                    message = f"'{inner.name}' reads '{name}', which is where it stands"
                    note = Note("and here it is a parameter", params[name].span)
                    hint = "rename the parameter"
                    parts = (codes.NAME_CLASH, message, call.span, hint, (note,))
                    yield Diagnostic(*parts)


def _variables(block: Block) -> Iterator[Named]:
    """What `forward` calls values; of a block's only input, x, there is another finding."""
    if block.inputs != (INPUT,):
        yield from ((variable(name), what, span) for name, what, span in _inputs(block))
    for path in block.paths:
        yield variable(path.name), f"the path '{path.name}'", path.span


def _told(reserved: Iterable[tuple[str, Named]]) -> Iterator[Diagnostic]:
    for why, (_, what, span) in reserved:
        yield Diagnostic(codes.INVALID_NAME, f"{what}: {why}", span)


def _reserved(unit: Block) -> Iterator[tuple[str, Named]]:
    for path in unit.paths:
        if path.name == INPUT and INPUT in unit.inputs:
            named = (path.name, f"the path '{path.name}'", path.span)
            yield "x is the unit's input; give the path another name", named
    for param in unit.params:
        if param.name in (INPUT, IN_CHANNELS):
            named = (param.name, f"the parameter '{param.name}'", param.span)
            yield "generated code needs the name for itself", named
        if param.name in helper_classes(unit):
            named = (param.name, f"the parameter '{param.name}'", param.span)
            yield f"it would hide the class {param.name} of an op", named


def _attributes(block: Block) -> Iterator[tuple[str, Named]]:
    """Layers whose names are made of a path's and a unit's: `register` and `buffer`.

    Of one with the name of its unit there is a finding at the unit.
    """
    for node in block.nodes:
        own = isinstance(node, Node) or node.name != node.calls[0].block
        if own and node.name in MODULE_ATTRIBUTES:
            named = (node.name, f"the {_what(node)} '{node.name}'", node.span)
            yield "every module has something of that name", named


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
