"""Networks as facts for the page: rows of units, the units in those, their ops.

A spec with findings has the same facts, as far as they are known, and what its findings
point at is marked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from resgraph.diagnostics import Diagnostic, visible
from resgraph.draw import Figure, SizeError, draw_network, draw_unit, note
from resgraph.draw.cells import Cell, cells, parts, unit_name
from resgraph.draw.choice import here, marks, of_call, part_marks
from resgraph.emit.torch_source import module_source
from resgraph.graph import OUTPUT, Block, Graph, Instance, Run, digest
from resgraph.graph.ir import Style
from resgraph.report.places import Files
from resgraph.report.units import Facts, costs, sides, unit

GENERATED = Path("generated")


@dataclass
class Units:
    """The distinct units of all networks, each drawn once; what uses one has its number.

    `findings` are those of a draft: then some shapes and numbers are not known.
    """

    files: Files
    findings: Sequence[Diagnostic] = ()
    made: list[Facts] = field(default_factory=list)
    known: dict[tuple[int, ...], int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    @property
    def typed(self) -> bool:
        return not self.findings

    def number(self, instance: Instance, told: Sequence[Diagnostic]) -> int:
        """That of the unit, of which this is told; it is drawn if it is a new one."""
        key = (id(instance), *map(id, told))
        if key not in self.known:
            self.known[key] = self._number(instance, told)
        return self.known[key]

    def _number(self, instance: Instance, told: Sequence[Diagnostic]) -> int:
        found = cells(instance)
        facts = unit(instance, self.files, self.typed and bool(instance.shapes))
        facts["rows"] = [*self._rows(found, told)]
        marked = marks(instance, told)
        said = json.dumps([facts, {name: mark.note for name, mark in marked.items()}])
        if said not in self.numbers:
            self.numbers[said] = number = len(self.made)
            prefix = f"u{number}-"
            self.made.append(facts)
            facts["drawing"] = _drawn(
                lambda: draw_unit(instance, title="", marks=marked, prefix=prefix),
                prefix,
            )
        return self.numbers[said]

    def _rows(
        self, found: Sequence[Cell], told: Sequence[Diagnostic]
    ) -> Iterator[Facts]:
        """The uses of other units, each with the number of ops that stand before it."""
        ops = 0
        for name, group in groupby(found, lambda c: c.row.name if c.row else ""):
            own = [*group]
            row = own[0].row
            if row is None:
                ops += len(own)
                continue
            sites = [site for cell in own for site in self.sites(cell, found, told)]
            yield {
                "name": name,
                "path": row.path,
                "at": ops,
                "inputs": [*row.inputs],
                "sites": sites,
            }

    def sites(
        self, cell: Cell, found: Sequence[Cell], told: Sequence[Diagnostic]
    ) -> Iterator[Facts]:
        """The cell's units; those that differ in what they read are apart."""
        own = here(cell, found, told)
        single = len(cell.instances) < 2
        for i, instance in enumerate(cell.instances or (_stranger(cell),)):
            part = replace(
                cell, index=cell.index + i, count=cell.count if single else 1
            )
            yield {
                "unit": self.number(instance, own),
                "name": unit_name(cell.row, part.index) if cell.row else cell.unit,
                "last": part.last,
                "prefix": part.prefix,
                "row": cell.row.name if cell.row else cell.unit,
                "numbered": bool(cell.row and cell.row.style is Style.NUMBERED),
                "index": part.index,
                "count": max(1, part.count),
                "place": self.files.place(_span(cell, instance)),
            }


def _drawn(draw: Callable[[], Figure], prefix: str) -> Facts:
    """A drawing with its colours left to the page, which knows its nodes by the prefix.

    Of what is too large to be drawn, the words that say so.
    """
    try:
        figure = draw()
    except SizeError as error:
        figure = note(error.message)
    svg = figure.svg(theme="css")
    return {"prefix": prefix, "svg": svg, "width": round(figure.width)}


def _span(cell: Cell, instance: Instance) -> Any:
    """Where the unit is used; of the stem and the head, where they are."""
    return cell.call.span if cell.call and cell.staged else instance.block.span


def _stranger(cell: Cell) -> Instance:
    """What is used where nothing is known of it."""
    span = cell.call.span if cell.call else None
    assert span is not None  # only a use of a unit has no instance
    return Instance(Block(cell.unit, "", (), (), (), span), {}, {})


def networks(graphs: Sequence[Graph], units: Units) -> list[Facts]:
    """The facts of each network; its units go to `units`."""
    return [_network(graph, f"n{i}-", units) for i, graph in enumerate(graphs)]


def _network(graph: Graph, prefix: str, units: Units) -> Facts:
    found = parts(graph)
    marked = part_marks(found, units.findings)
    shown = graph.network
    return {
        "name": graph.name,
        "title": visible(graph.title),
        "input": [*graph.input],
        "outputs": [[n, sides(shown, v)] for n, v in shown.block.results.items()],
        "ops": graph.total("nodes"),
        "units": sum(cell.count for cell in found if cell.staged),
        "drawing": _drawn(
            lambda: draw_network(graph, marks=marked, prefix=prefix), prefix
        ),
        "parts": [*_parts(graph, found, units)],
        **costs(graph if units.typed else None),
        **_source(graph, units),
    }


def _source(graph: Graph, units: Units) -> Facts:
    """The generated file and its lines; nothing, of a draft."""
    if not units.typed:
        nothing: Facts = {"units": {}, "ends": {}}
        return {"digest": "", "source": [], "generated": "", "lines": nothing}
    made = module_source(graph, GENERATED)
    return {
        "digest": digest(graph),
        "source": made.text.splitlines(),
        "generated": (GENERATED / f"{graph.name}.py").as_posix(),
        "lines": made.lines,
    }


def _parts(graph: Graph, found: Sequence[Cell], units: Units) -> Iterator[Facts]:
    """The rows of the network, and the units that none of them uses."""
    before: tuple[str, ...] = graph.network.block.inputs
    for name, group in groupby(found, lambda c: c.row.name if c.row else c.unit):
        own = [*group]
        row, runs = own[0].row, graph.network.runs.get(name, ())
        read = row.inputs if row else ()
        yield {
            "name": name,
            "from": [*read] if read != before and row else [],
            "outputs": _outputs(own[-1]),
            "sites": [s for c in own for s in units.sites(c, found, units.findings)],
            **costs(_Total(runs) if units.typed else None),
        }
        before = _values(name, own[-1])


@dataclass(frozen=True)
class _Total:
    """Runs of units, with the sum of a quantity."""

    runs: Iterable[Run]

    def total(self, quantity: str) -> int:
        return sum(run.total(quantity) for run in self.runs)


def _outputs(cell: Cell) -> list[list[Any]]:
    """The names and shapes of what the last of a row makes."""
    names = [value.removeprefix(f"{cell.name}.") for value in cell.gives]
    shapes = [[*shape] if shape else None for shape in cell.outputs]
    if not names:
        return [[OUTPUT, None]]
    return [[n, s] for n, s in zip(names, shapes, strict=False)]


def _values(row: str, cell: Cell) -> tuple[str, ...]:
    """What the part after it reads where nothing is said."""
    return tuple(row + value.removeprefix(cell.name) for value in cell.gives)


def where(graphs: Iterable[Graph], finding: Diagnostic) -> list[str]:
    """The ops that the finding points at, and the units of which it says something."""
    names = []
    for graph in graphs:
        found = parts(graph)
        for cell in found:
            for name in marks(cell.instance, here(cell, found, [finding])):
                names.append(_whole(cell, name))
            if of_call(cell, finding):
                names.append(cell.name)
    return [*dict.fromkeys(names)]


def _whole(cell: Cell, name: str) -> str:
    """The name in the network of what is marked; `out` is said of all of a unit."""
    inside, _, last = name.rpartition(".")
    whole = cell.name if not inside else f"{cell.prefix}{inside}"
    return whole if last == OUTPUT else f"{cell.prefix}{name}"
