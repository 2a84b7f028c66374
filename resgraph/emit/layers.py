"""The statements of a class's `__init__`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from resgraph.emit.layout import (
    BODY,
    INDENT,
    WIDTH,
    Statement,
    exploded,
    laid_out,
    statement,
)
from resgraph.graph import Node, Part, Row, Style
from resgraph.syntax import Call, Generator, Listing, Name, Spread, Syntax, call

if TYPE_CHECKING:
    from resgraph.emit.class_source import ClassSource


@dataclass
class Layers:
    """What a class makes of its arguments: what `forward` reads, flags, layers, units."""

    source: ClassSource
    written: list[Syntax] = field(default_factory=list)
    """Every expression of the lines, as it is written."""

    def statements(self) -> Iterator[Statement]:
        """In the order of the state_dict."""
        source, told = self.source, set[str]()
        for name in sorted(source.stored, key=[*source.formulas.local.values()].index):
            yield self._kept(source.stored[name], Name(name))
        for flag, nodes in groupby(source.nodes, source.flag):
            if flag is None:
                yield from self._layers(nodes, BODY)
                continue
            several = [*nodes]
            if flag not in told:
                yield self._kept(flag, self._condition(several[0]))
                told.add(flag)
            if made := [*self._layers(several, BODY + len(INDENT))]:
                names = dict.fromkeys(name for each in made for name in each.nodes)
                yield Statement([f"if self.{flag}:"], tuple(names))
                yield from (each.inside() for each in made)

    def _kept(self, attribute: str, value: Syntax) -> Statement:
        self.written.append(value)
        return Statement(statement(f"self.{attribute} =", value, BODY))

    def _condition(self, node: Part) -> Syntax:
        assert node.when is not None
        return self.source.formulas.condition(node.when)

    def _layers(
        self, nodes: Iterator[Part] | list[Part], indent: int
    ) -> Iterator[Statement]:
        for node in nodes:
            if isinstance(node, Row):
                yield Statement(self._row(node, indent), (node.name,))
            elif made := self.source.made.get(node.name):
                self.written.append(made)
                lines = statement(f"self.{node.name} =", made, indent)
                yield Statement(lines, (node.name,))
                yield from self._starts(node, made, indent)

    def _starts(self, node: Node, made: Call, indent: int) -> Iterator[Statement]:
        """The statements for weights that neither torch nor the network's loop starts so."""
        op = self.source.ops[node.name]
        for name, start in op.starts().items():
            looped = (
                name == "weight" and self.source.in_loop.get(made.function) == start
            )
            if start != op.torch_starts.get(name) and not looped:
                started = start.torch(Name(f"self.{node.name}.{name}"))
                self.written.append(started)
                yield Statement(laid_out("", started, "", indent), (node.name,))

    def _row(self, row: Row, indent: int) -> list[str]:
        items = [segment.item() for segment in self.source.rows.segments(row)]
        self.written += items
        start = f"self.{row.name} ="
        if row.style is not Style.NUMBERED:
            return statement(start, items[0], indent)
        if not self.source.sequential(row):
            return _list(start, items, indent)
        flat = f"{start} {call('nn.Sequential', *items)}"
        # Stages without names stand one unit a line, also where there is one alone.
        stage = self.source.variant is None and row.number
        if not stage and len(items) == 1 and indent + len(flat) <= WIDTH:
            return [flat]
        return exploded(f"{start} nn.Sequential", items, indent)


def _list(start: str, items: list[Syntax], indent: int) -> list[str]:
    """Units that are called one by one."""
    if len(items) == 1:
        (item,) = items
        inner = Generator(item) if isinstance(item, Spread) else Listing((item,))
        flat = f"{start} {call('nn.ModuleList', inner)}"
        if indent + len(flat) <= WIDTH:
            return [flat]
    inner_lines = exploded("", items, indent + len(INDENT), "[]")
    return [f"{start} nn.ModuleList(", *(INDENT + line for line in inner_lines), ")"]
