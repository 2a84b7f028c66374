"""The statements of a class's `forward`: named values, a path after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

from resgraph.emit.body import Chain
from resgraph.emit.comments import comment
from resgraph.emit.layout import (
    BODY,
    INDENT,
    WIDTH,
    Statement,
    commented,
    statement,
)
from resgraph.emit.variants import unique
from resgraph.graph import Part, Row, Style
from resgraph.syntax import Name, Syntax, Ternary, call

if TYPE_CHECKING:
    from resgraph.emit.class_source import ClassSource

CALLS = 56
"""Columns that nested calls may take in one statement."""
Values = Sequence[Syntax]


@dataclass
class Forward:
    """Computes a class's chains, each into a variable of its own."""

    source: ClassSource

    def statements(self) -> Iterator[Statement]:
        """The last one returns the block's values."""
        results = self.source.bodies[0].results
        single = next(iter(results.values())) if len(results) == 1 else None
        *_, last = [None, *self.source.chains]
        for chain in self.source.chains:
            ends = chain is last and chain.name == single
            if chain.nodes or ends:
                yield from _Path(self, chain, ends).statements()
            else:  # its value is the one that it starts from
                self.source.variables[chain.name] = str(self.value(chain.sources[-1]))
        if last is None or last.name != single:
            yield self._return(results)

    def value(self, source: str) -> Name:
        """A value by its variable."""
        name, dot, output = source.partition(".")
        return Name(f"{self.source.variables[name]}{dot}{output}")

    def _return(self, results: Mapping[str, str]) -> Statement:
        values = {name: self.value(value) for name, value in results.items()}
        if len(values) == 1:
            return Statement([f"return {next(iter(values.values()))}"])
        if all(str(value) == name for name, value in values.items()):
            made = call(self.source.returns, *values.values())
        else:
            made = call(self.source.returns, **values)
        return Statement(statement("return", made, BODY))


@dataclass
class _Path:
    """One chain's statements."""

    forward: Forward
    chain: Chain
    returns: bool
    """Whether its value is what the block returns."""

    def __post_init__(self) -> None:
        self.source = self.forward.source
        self.name = self.source.variables[self.chain.name]

    def statements(self) -> Iterator[Statement]:
        """Those of parts that are there in all instances, and of optional ones."""
        value: Values = [self.forward.value(source) for source in self.chain.sources]
        parts = [
            (f, [*nodes]) for f, nodes in groupby(self.chain.nodes, self.source.flag)
        ]
        if not parts:
            yield Statement([f"return {value[-1]}"])
        for flag, nodes in parts:
            final = self.returns and nodes is parts[-1][1]
            if flag is None:
                yield from self._plain(nodes, value, BODY, final)
            else:
                yield from self._optional(flag, nodes, value, final)
            value = self._values(nodes[-1])

    def _plain(
        self, nodes: list[Part], value: Values, indent: int, final: bool
    ) -> Iterator[Statement]:
        groups = self._groups(nodes)
        for group in groups:
            returns = final and group is groups[-1]
            if isinstance(row := group[0], Row) and self._one_by_one(row):
                yield from self._loop(row, value, indent)
                if returns:
                    yield Statement([f"return {self.name}"])
            else:
                yield from self._group(group, value, indent, returns)
            value = self._values(group[-1])

    def _group(
        self, group: list[Part], value: Values, indent: int, returns: bool
    ) -> Iterator[Statement]:
        tree = self._expression(group, value)
        if returns or tree != Name(self.name):
            start = "return" if returns else f"{self.name} ="
            yield from self._statement(start, tree, group, indent)

    def _statement(
        self, start: str, tree: Syntax, nodes: Sequence[Part], indent: int
    ) -> list[Statement]:
        self.source.written.append(tree)
        names = tuple(node.name for node in nodes)
        lines = statement(start, tree, indent)
        return commented(lines, comment(self.source, nodes[-1].name), indent, names)

    def _optional(
        self, flag: str, nodes: list[Part], value: Values, final: bool
    ) -> Iterator[Statement]:
        """What is there where the flag is set; else the last value stays what it is."""
        own = list(value) == [Name(self.name)]
        if not own and (chosen := self._choice(flag, nodes, value)):
            start = "return" if final else f"{self.name} ="
            if BODY + len(f"{start} {chosen}") <= WIDTH:
                yield from self._statement(start, chosen, nodes, BODY)
                return
        if not own:
            yield Statement([f"{self.name} = {value[-1]}"])
        yield Statement([f"if self.{flag}:"], tuple(node.name for node in nodes))
        given = [*value[:-1], Name(self.name)]
        inner = self._plain(nodes, given, BODY + len(INDENT), False)
        yield from (each.inside() for each in inner)
        if final:
            yield Statement([f"return {self.name}"])

    def _choice(self, flag: str, nodes: list[Part], value: Values) -> Ternary | None:
        """The value in one expression, where that is one statement."""
        groups = self._groups(nodes)
        if len(groups) > 1 or (
            isinstance(nodes[0], Row) and self._one_by_one(nodes[0])
        ):
            return None
        return Ternary(self._expression(nodes, value), Name(f"self.{flag}"), value[-1])

    # --- groups of ops ----------------------------------------------------------------

    def _groups(self, nodes: Sequence[Part]) -> list[list[Part]]:
        """The ops of one statement each, with at most one weight layer.

        A chain that starts with a weight layer reads as weight-BN-ReLU, any other one as
        BN-ReLU-weight: a statement ends before the next weight, or after its own. None
        grows longer than a reader takes in at once.
        """
        post = nodes[0].name in self.source.heavy
        groups: list[list[Part]] = []
        full = True
        for node in nodes:
            heavy = node.name in self.source.heavy
            alone = isinstance(node, Row) and self._one_by_one(node)
            joins = not full and not alone and not (post and heavy)
            if joins and self._fits([*groups[-1], node]):
                groups[-1].append(node)
            else:
                groups.append([node])
            full = (heavy and not post) or alone or bool(self.source.outputs_of(node))
        return groups

    def _fits(self, group: list[Part]) -> bool:
        given = [Name(self.name)] * max(2, len(group[0].inputs))
        length = len(str(self._expression(group, given)))
        return length <= min(CALLS, WIDTH - BODY - len(f"{self.name} = "))

    def _expression(self, nodes: Sequence[Part], value: Values) -> Syntax:
        for node in nodes:
            layer = f"self.{node.name}"
            if isinstance(node, Row):
                listed = node.style is Style.NUMBERED and not self.source.sequential(
                    node
                )
                value = [call(f"{layer}[0]" if listed else layer, *value)]
            else:
                op = self.source.ops[node.name]
                number = partial(self.source.number, op)
                value = [op.torch_call(Name(layer), *value, number=number)]
        return value[0]

    def _values(self, node: Part) -> Values:
        """The values of a node that the variable holds."""
        outputs = self.source.outputs_of(node)
        return [Name(f"{self.name}.{output}") for output in outputs] or [
            Name(self.name)
        ]

    # --- units called one by one ------------------------------------------------------

    def _one_by_one(self, row: Row) -> bool:
        """Whether its units take statements of their own."""
        if row.style is not Style.NUMBERED or self.source.sequential(row):
            return False
        one, *more = self.source.rows.segments(row)
        return bool(more) or one.over is not None

    def _loop(self, row: Row, value: Values, indent: int) -> Iterator[Statement]:
        layer, nodes = f"self.{row.name}", (row.name,)
        unit = unique("unit", set(self.source.variables.values()))
        start = call(f"{layer}[0]", *value)
        yield Statement(statement(f"{self.name} =", start, indent), nodes)
        *_, last = slices = [*self._slices(row)]
        for first, end, several in slices:
            given = f"*{self.name}" if several else self.name
            alone = end == first + 1
            called = f"{layer}[{first}]" if alone else unit
            inner = [Statement([f"{self.name} = {called}({given})"], nodes)]
            if (first, end, several) == last:
                deeper = indent + len(INDENT) * (not alone)
                shape = comment(self.source, row.name)
                inner = commented(inner[0].lines, shape, deeper, nodes)
            if alone:
                yield from inner
                continue
            lines = [INDENT + line for each in inner for line in each.lines]
            loop = f"for {unit} in {layer}[{first}:{end or ''}]:"
            yield Statement([loop, *lines], nodes)

    def _slices(self, row: Row) -> Iterator[tuple[int, int | None, bool]]:
        """The units after the first one, those together that take one value, or several."""
        callees = self.source.rows.callees(row)
        if self.source.variant is not None:  # there may be any number of them
            yield 1, None, len(callees[-1][0].inputs) > 1
            return
        several = [len(callee.inputs) > 1 for callee, n in callees for _ in range(n)]
        first = 1
        for alike, group in groupby(several[1:]):
            end = first + len([*group])
            yield first, (None if first + 1 < end == len(several) else end), alike
            first = end
