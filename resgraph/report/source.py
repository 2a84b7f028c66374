"""Which lines of the generated file compute which op.

The file is read as Python, not searched as text: a layer is the statement that assigns it,
and a statement of `forward` computes the ops whose own expressions, put into one another,
are its expression.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from resgraph.emit.unit_source import number_of
from resgraph.graph import INPUT, Graph, Node, Path, Unit, used_units
from resgraph.names import class_name, variable
from resgraph.syntax import Name, Syntax

Lines = list[int]
"""The first and the last line."""
Found = dict[str, list[Lines]]
"""By op: where its layer is made, and where it is computed."""


def lines(graph: Graph, text: str) -> dict[str, dict[str, Found]]:
    """The lines in `text`, by unit, and of the network's own ops by end, stem or head."""
    classes = {n.name: n for n in ast.parse(text).body if isinstance(n, ast.ClassDef)}
    units = {
        unit.name: _unit(unit, classes[class_name(unit.name)], variable)
        for unit in used_units(graph)
    }
    network = classes[class_name(graph.name)]
    ends = {
        "stem": _unit(graph.stem, network, lambda path: INPUT),
        "head": _unit(graph.head, network, lambda path: INPUT),
    }
    return {"units": units, "ends": ends}


def _unit(unit: Unit, made: ast.ClassDef, named: Callable[[str], str]) -> Found:
    """The lines of the unit's ops in its class; `named` is how `forward` calls a path."""
    init, forward = (n.body for n in made.body if isinstance(n, ast.FunctionDef))
    found: Found = {node.name: [] for _, node, _ in unit.steps()}
    for statement in init:
        for name in _layers(statement):
            if name in found:
                found[name].append(_span(statement))
    rest = [*forward]
    variables = {INPUT: INPUT}
    for path in unit.paths:
        variables[path.name] = named(path.name)
        values = [variables[s] for s in path.sources]
        for statement, nodes in _path(path, variables[path.name], values, rest):
            for node in nodes:
                found[node.name].append(_span(statement))
    return found


def _layers(statement: ast.stmt) -> Iterator[str]:
    """The layers that the statement makes, or initialises."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement]
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
                yield node.attr


def _path(
    path: Path, name: str, values: list[str], rest: list[ast.stmt]
) -> Iterator[tuple[ast.stmt, Sequence[Node]]]:
    """The path's statements with the ops of each; they are taken from `rest`."""
    nodes = [*path.nodes]
    while nodes:
        place = _next(nodes, values, rest)
        if place is None:
            return  # what is left is the value itself, as of an identity
        index, count = place
        yield rest[index], nodes[:count]
        del rest[: index + 1]
        nodes, values = nodes[count:], [name]


def _next(
    nodes: Sequence[Node], values: list[str], rest: Sequence[ast.stmt]
) -> tuple[int, int] | None:
    """The first statement that computes ops from the first on, and how many of them."""
    forms: dict[str, int] = {}
    trees: list[Syntax] = [Name(value) for value in values]
    for count, node in enumerate(nodes, 1):
        number = partial(number_of, node.op)
        tree = node.op.torch_call(Name(f"self.{node.name}"), *trees, number=number)
        trees = [tree]
        forms[ast.unparse(ast.parse(str(tree), mode="eval"))] = count
    for index, statement in enumerate(rest):
        if isinstance(statement, (ast.Assign, ast.Return)) and statement.value:
            written = ast.unparse(statement.value)
            if written in forms:
                return index, forms[written]
    return None


def _span(statement: ast.stmt) -> Lines:
    return [statement.lineno, statement.end_lineno or statement.lineno]
