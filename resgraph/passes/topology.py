"""Check each unit as a graph: values known, used and reachable, no cycles, right arities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from resgraph import codes
from resgraph.diagnostics import ANY, Diagnostic, did_you_mean, like, meant
from resgraph.expr import Expr
from resgraph.graph import (
    INPUT,
    OUTPUT,
    Graph,
    Node,
    Param,
    Path,
    Unit,
)
from resgraph.names import SOMETHING

if TYPE_CHECKING:
    import networkx as nx


def check_topology(graph: Graph) -> list[Diagnostic]:
    """Findings on every unit, the stem and the head, in the order of the spec."""
    units = [*graph.units.values(), graph.stem, graph.head]
    return [finding for unit in units for finding in _unit(unit, graph)]


def _unit(unit: Unit, graph: Graph) -> Iterator[Diagnostic]:
    yield from _arities(unit)
    if unit.name not in graph.units or unit.gaps.stranger:
        return
    yield from _parameters(unit, graph)
    if OUTPUT not in unit.values and not unit.gaps.paths:
        yield Diagnostic(
            codes.MISSING_OUTPUT,
            f"the unit '{unit.name}' has no path 'out'",
            unit.span,
            "out: {from: [x, F], ops: [add]} returns x + F(x)",
            missing=("units", unit.name, "paths", OUTPUT),
        )
    if _plainly_sound(unit):
        return
    if not unit.gaps.paths:
        yield from _unknown(unit)
    knots = _knots(unit)
    yield from _cycles(unit, knots)
    yield from _late(unit, knots)
    if OUTPUT in unit.values:
        yield from _unreachable(unit, knots)


def _arities(unit: Unit) -> Iterator[Diagnostic]:
    for _, node, inputs in unit.steps():
        low, high = node.op.inputs
        if len(inputs) < low:
            hint = "name them in from: [x, F]" if low > 1 else None
            yield _arity(node, f"at least {low} values", len(inputs), hint)
        elif high is not None and len(inputs) > high:
            hint = "merge them first, with add, mul or concat"
            yield _arity(
                node, "one value" if high == 1 else f"{high}", len(inputs), hint
            )


def _arity(node: Node, wanted: str, got: int, hint: str | None) -> Diagnostic:
    message = f"{node.op.kind} takes {wanted}, and gets {got}"
    return Diagnostic(codes.WRONG_INPUT_COUNT, message, node.span, hint)


def _parameters(unit: Unit, graph: Graph) -> Iterator[Diagnostic]:
    """Expressions that read unknown parameters, and parameters that nothing reads."""
    known = [param.name for param in unit.params]
    used: set[str] = set()
    for _, node, _ in unit.steps():
        for attribute, value in node.op.attributes().items():
            names = value.names if isinstance(value, Expr) else ()
            used.update(names)
            for name in names:
                if name not in known and not unit.gaps.params:
                    declare = f"declare it: params: [{name}], and give it in the stages"
                    yield Diagnostic(
                        codes.UNKNOWN_PARAMETER,
                        f"the unit '{unit.name}' has no parameter '{name}'",
                        node.fields[attribute],
                        did_you_mean(name, known) or declare,
                        missing=("units", unit.name, "params", name),
                    )
    unsure = unit.gaps.reads | like(used.difference(known), known)
    used |= meant(unsure - {ANY}, known)
    for param in unit.params:
        if param.name not in used and not (
            ANY in unsure and _given(param, unit, graph)
        ):
            message = f"the parameter '{param.name}' is never used"
            yield Diagnostic(codes.UNUSED_PARAMETER, message, param.span, "remove it")


def _given(param: Param, unit: Unit, graph: Graph) -> bool:
    """Whether a stage gives the parameter a value of its own, and so wants it read."""
    slots = [slot for stage in graph.stages for slot in stage if slot.unit == unit.name]
    own = any(slot.args.get(param.name) != param.default for slot in slots)
    return own or param.default is None or not slots


def _plainly_sound(unit: Unit) -> bool:
    """Whether every path reads from above, and each but `out`, the last, is read below.

    Then the unit is acyclic, all of it reaches `out`, and networkx, whose import is a tenth
    of a second, has nothing to explain.
    """
    above, unread = {INPUT}, set[str]()
    for path in unit.paths:
        if not above.issuperset(path.sources):
            return False
        unread = unread.difference(path.sources) | {path.name}
        above.add(path.name)
    return unread == {OUTPUT}


def _unknown(unit: Unit) -> Iterator[Diagnostic]:
    for path in unit.paths:
        for source, span in zip(path.sources, path.source_spans, strict=True):
            if source not in (*unit.values, SOMETHING):
                known = [name for name in unit.values if name != path.name]
                yield Diagnostic(
                    codes.UNKNOWN_VALUE,
                    f"the path '{path.name}' starts from an unknown value '{source}'",
                    span,
                    did_you_mean(source, known),
                    missing=("units", unit.name, "paths", source),
                )


Knots = dict[str, frozenset[str]]
"""By path, the paths that it needs and that need it, itself among them; of a circle."""


def _knots(unit: Unit) -> Knots:
    import networkx as nx

    knots: Knots = {}
    needs = _needs(unit)
    for knot in nx.strongly_connected_components(needs):
        if len(knot) > 1 or any(needs.has_edge(name, name) for name in knot):
            knots |= dict.fromkeys(knot, frozenset(knot))
    return knots


def _needs(unit: Unit) -> nx.DiGraph[str]:
    """The paths, with an edge to each from those that it starts from."""
    import networkx as nx

    return nx.DiGraph((s, p.name) for p in unit.paths for s in p.sources if s != INPUT)


def _cycles(unit: Unit, knots: Knots) -> Iterator[Diagnostic]:
    """One finding per knot of paths that need one another."""
    import networkx as nx

    spans = {path.name: path.span for path in unit.paths}
    for knot in dict.fromkeys(knots.values()):
        first = next(name for name in spans if name in knot)
        edges = nx.find_cycle(_needs(unit).subgraph(knot), first)
        route = " -> ".join([edges[0][0], *(edge[1] for edge in edges)])
        yield Diagnostic(
            codes.CIRCULAR_PATHS,
            f"the paths of '{unit.name}' go in a circle: {route}",
            spans[first],
            "a unit is computed in one pass: start one of them from x",
        )


def _late(unit: Unit, knots: Knots) -> Iterator[Diagnostic]:
    """Paths that start from one written below them, and not because of a circle."""
    done = {INPUT}
    for path in unit.paths:
        for source, span in zip(path.sources, path.source_spans, strict=True):
            circular = source in knots.get(path.name, ())
            if source in unit.values and source not in done and not circular:
                yield Diagnostic(
                    codes.USED_BEFORE_DEFINITION,
                    f"the path '{path.name}' starts from '{source}', which comes later",
                    span,
                    f"write '{source}' above it: a unit reads from top to bottom",
                )
        done.add(path.name)


def _unreachable(unit: Unit, knots: Knots) -> Iterator[Diagnostic]:
    """Paths whose value never reaches `out`, nor may be meant to.

    A path of a circle must start from another value, which may be any.
    """
    paths = {path.name: path for path in unit.paths}
    pending = [OUTPUT, *meant(unit.gaps.sources, paths)]
    needed = set[str]()
    while pending:
        name = pending.pop()
        if name in paths and name not in needed:
            needed.add(name)
            if name in knots:
                return
            sources = {*paths[name].sources} - {INPUT, SOMETHING}
            others = [n for n in paths if n != name]
            pending += sources & paths.keys()
            pending += meant(like(sources - paths.keys(), others), others)
    yield from (_dead(path) for path in unit.paths if path.name not in needed)


def _dead(path: Path) -> Diagnostic:
    ops = f"its {len(path.nodes)} ops" if len(path.nodes) > 1 else "its op"
    return Diagnostic(
        codes.UNUSED_PATH,
        f"the path '{path.name}' never reaches 'out': {ops} would be computed for nothing",
        path.span,
        f"start another path from '{path.name}', or remove it",
    )
