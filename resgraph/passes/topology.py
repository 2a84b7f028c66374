"""Check each unit as a graph: values known, used and reachable, no cycles, right arities."""

from __future__ import annotations

from collections.abc import Iterator

from resgraph import codes
from resgraph.diagnostics import Diagnostic, did_you_mean
from resgraph.expr import Expr
from resgraph.graph import (
    INPUT,
    OUTPUT,
    Graph,
    Node,
    Path,
    Unit,
    unit_graph,
    used_units,
)


def check_topology(graph: Graph) -> list[Diagnostic]:
    """Findings on every unit, the stem and the head, in the order of the spec."""
    units = [*graph.units.values(), graph.stem, graph.head]
    findings = [finding for unit in units for finding in _unit(unit, graph)]
    return [*findings, *_unused_units(graph)]


def _unused_units(graph: Graph) -> Iterator[Diagnostic]:
    used = {unit.name for unit in used_units(graph)}
    for name, unit in graph.units.items():
        if name not in used and unit.span.file == graph.file:
            message = f"the unit '{name}' is never used"
            hint = "name it in a stage"
            yield Diagnostic(codes.UNUSED_UNIT, message, unit.span, hint)


def _unit(unit: Unit, graph: Graph) -> Iterator[Diagnostic]:
    yield from _arities(unit)
    if unit.name not in graph.units:
        return
    yield from _parameters(unit)
    if OUTPUT not in unit.values:
        yield Diagnostic(
            codes.MISSING_OUTPUT,
            f"the unit '{unit.name}' has no path 'out'",
            unit.span,
            "out: {from: [x, F], ops: [add]} returns x + F(x)",
        )
        return
    if _plainly_sound(unit):
        return
    unknown = list(_unknown(unit))
    yield from unknown
    cycle = list(_cycles(unit))
    yield from cycle or _late(unit)
    if not unknown:
        yield from _unreachable(unit)


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


def _parameters(unit: Unit) -> Iterator[Diagnostic]:
    """Expressions that read unknown parameters; if there are none, parameters not read."""
    known = [param.name for param in unit.params]
    used: set[str] = set()
    for _, node, _ in unit.steps():
        for attribute, value in node.op.attributes().items():
            names = value.names if isinstance(value, Expr) else ()
            used.update(names)
            for name in names:
                if name not in known:
                    declare = f"declare it: params: [{name}], and give it in the stages"
                    yield Diagnostic(
                        codes.UNKNOWN_PARAMETER,
                        f"the unit '{unit.name}' has no parameter '{name}'",
                        node.fields[attribute],
                        did_you_mean(name, known) or declare,
                    )
    for param in unit.params:
        if param.name not in used and used <= {*known}:
            message = f"the parameter '{param.name}' is never used"
            yield Diagnostic(codes.UNUSED_PARAMETER, message, param.span, "remove it")


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
            if source not in unit.values:
                known = [name for name in unit.values if name != path.name]
                yield Diagnostic(
                    codes.UNKNOWN_VALUE,
                    f"the path '{path.name}' starts from an unknown value '{source}'",
                    span,
                    did_you_mean(source, known),
                )


def _cycles(unit: Unit) -> Iterator[Diagnostic]:
    """One finding per knot of paths that need one another."""
    import networkx as nx

    paths: nx.DiGraph[str] = nx.DiGraph()
    paths.add_edges_from(
        (s, p.name) for p in unit.paths for s in p.sources if s != INPUT
    )
    spans = {path.name: path.span for path in unit.paths}
    for knot in nx.strongly_connected_components(paths):
        inside = paths.subgraph(knot)
        if inside.number_of_edges() == 0:
            continue
        first = next(name for name in spans if name in knot)
        edges = nx.find_cycle(inside, first)
        route = " -> ".join([edges[0][0], *(edge[1] for edge in edges)])
        yield Diagnostic(
            codes.CIRCULAR_PATHS,
            f"the paths of '{unit.name}' go in a circle: {route}",
            spans[first],
            "a unit is computed in one pass: start one of them from x",
        )


def _late(unit: Unit) -> Iterator[Diagnostic]:
    """Paths that start from one written below them."""
    done = {INPUT}
    for path in unit.paths:
        for source, span in zip(path.sources, path.source_spans, strict=True):
            if source in unit.values and source not in done:
                yield Diagnostic(
                    codes.USED_BEFORE_DEFINITION,
                    f"the path '{path.name}' starts from '{source}', which comes later",
                    span,
                    f"write '{source}' above it: a unit reads from top to bottom",
                )
        done.add(path.name)


def _unreachable(unit: Unit) -> Iterator[Diagnostic]:
    """Paths whose value never reaches `out`."""
    import networkx as nx

    graph = unit_graph(unit)
    needed = nx.ancestors(graph, unit.output) | {unit.output}
    for path in unit.paths:
        if not any(node.name in needed for node in path.nodes):
            yield _dead(path)


def _dead(path: Path) -> Diagnostic:
    ops = f"its {len(path.nodes)} ops" if len(path.nodes) > 1 else "its op"
    return Diagnostic(
        codes.UNUSED_PATH,
        f"the path '{path.name}' never reaches 'out': {ops} would be computed for nothing",
        path.span,
        f"start another path from '{path.name}', or remove it",
    )
