"""Which lines of the generated file compute which op.

The file is read as Python, not searched as text: a layer is the statement that assigns it,
and a statement of `forward` computes the ops whose own expressions, put into one another,
are its expression, token by token.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from resgraph.emit.unit_source import number_of
from resgraph.graph import INPUT, Graph, Node, Path, Unit, used_units
from resgraph.names import class_name, variable
from resgraph.syntax import Name, Syntax

Lines = list[int]
"""The first and the last line."""
Found = dict[str, list[Lines]]
"""By op: where its layer is made, and where it is computed."""
_NESTED = 200
"""Characters that ops put around the first one of a statement take at most, as emitted."""


def lines(graph: Graph, text: str) -> dict[str, dict[str, Found]]:
    """The lines in `text`, by unit, and of the network's own ops by end, stem or head."""
    split = text.splitlines(keepends=True)
    classes = {
        n.name: _Class.of(n, split)
        for n in ast.parse(text).body
        if isinstance(n, ast.ClassDef)
    }
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


@dataclass(frozen=True)
class _Class:
    """A class of the file: its `__init__`, and each expression of `forward` with its lines."""

    init: list[ast.stmt]
    forward: list[tuple[str, Lines]]

    @classmethod
    def of(cls, made: ast.ClassDef, lines: Sequence[str]) -> _Class:
        init, forward = (n.body for n in made.body if isinstance(n, ast.FunctionDef))
        values = [
            (_tokens(_segment(statement.value, lines)), _span(statement))
            for statement in forward
            if isinstance(statement, (ast.Assign, ast.Return)) and statement.value
        ]
        return cls(init, values)


def _segment(node: ast.expr, lines: Sequence[str]) -> str:
    """The node's own text; of a file, of which it need not be split anew for each."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    text = [*lines[first : last + 1]]
    text[-1] = text[-1].encode()[: node.end_col_offset].decode()
    text[0] = text[0].encode()[node.col_offset :].decode()
    return "".join(text)


def _tokens(text: str) -> str:
    """An expression as its tokens, however it is laid out."""
    found = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(f"({text})").readline)
        if token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.OP, tokenize.STRING)
    ]
    after = [*found[1:], ""]
    return " ".join(
        token
        for token, following in zip(found, after, strict=True)
        if (token, following) not in ((",", ")"), (",", "]"))
    )


def _unit(unit: Unit, made: _Class, named: Callable[[str], str]) -> Found:
    """The lines of the unit's ops in its class; `named` is how `forward` calls a path."""
    found: Found = {node.name: [] for _, node, _ in unit.steps()}
    for statement in made.init:
        for name in _layers(statement):
            if name in found:
                found[name].append(_span(statement))
    rest = [*made.forward]
    variables = {INPUT: INPUT}
    for path in unit.paths:
        variables[path.name] = named(path.name)
        values = [variables[s] for s in path.sources]
        for where, nodes in _path(path, variables[path.name], values, rest):
            for node in nodes:
                found[node.name].append(where)
    return found


def _layers(statement: ast.stmt) -> Iterator[str]:
    """The layers that the statement makes, or initialises."""
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement]
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
                yield node.attr


def _path(
    path: Path, name: str, values: list[str], rest: list[tuple[str, Lines]]
) -> Iterator[tuple[Lines, Sequence[Node]]]:
    """The path's statements with the ops of each; they are taken from `rest`."""
    nodes = [*path.nodes]
    while nodes:
        place = _next(nodes, values, rest)
        if place is None:
            return  # what is left is the value itself, as of an identity
        index, count = place
        yield rest[index][1], nodes[:count]
        del rest[: index + 1]
        nodes, values = nodes[count:], [name]


def _next(
    nodes: Sequence[Node], values: list[str], rest: Sequence[tuple[str, Lines]]
) -> tuple[int, int] | None:
    """The first statement that computes ops from the first on, and how many of them."""
    forms = _forms(nodes, values)
    found = (i for i, (expression, _) in enumerate(rest) if expression in forms)
    index = next(found, None)
    return None if index is None else (index, forms[rest[index][0]])


def _forms(nodes: Sequence[Node], values: list[str]) -> dict[str, int]:
    """The expressions that begin with the first op, and of how many ops each is."""
    forms: dict[str, int] = {}
    trees: list[Syntax] = [Name(value) for value in values]
    longest = 0
    for count, node in enumerate(nodes, 1):
        number = partial(number_of, node.op)
        tree = node.op.torch_call(Name(f"self.{node.name}"), *trees, number=number)
        trees, text = [tree], str(tree)
        longest = longest or len(text) + _NESTED
        if len(text) > longest:
            break
        forms[_tokens(text)] = count
    return forms


def _span(statement: ast.stmt) -> Lines:
    return [statement.lineno, statement.end_lineno or statement.lineno]
