"""Which units of a network to draw, and what findings say of their ops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from resgraph.diagnostics import Diagnostic, Span
from resgraph.draw.items import Mark
from resgraph.draw.network import part_name
from resgraph.graph import OUTPUT, Graph, Instance, Node, Slot, Unit
from resgraph.ops import OpError


@dataclass(frozen=True)
class Place:
    """A unit at given arguments: how often it is there, and the name of the first one."""

    instance: Instance
    count: int
    first: str

    @property
    def name(self) -> str:
        return self.instance.unit.name


def places(graph: Graph) -> list[Place]:
    """The stem, the units in their order, equal ones in a row together, the head.

    Of a graph whose shapes are not known, the slots; a unit that no stage names, too.
    """
    found = [Place(_end(graph.stem, graph.stem_run), 1, "stem")]
    for stage in range(len(graph.stages)):
        found += _stage(graph, stage)
    named = {place.name for place in found}
    for name, unit in graph.units.items():
        if name not in named and unit.span.file == graph.file:
            found.append(Place(Instance(unit, {}, {}), 0, ""))
    return [*found, Place(_end(graph.head, graph.head_run), 1, "head")]


def stage_of(graph: Graph, number: int) -> list[Place]:
    """The units of a stage, counted from 1."""
    return [*_stage(graph, number - 1)]


def distinct(found: Iterable[Place]) -> list[Place]:
    """Each unit once, where it is repeated most; without stem and head."""
    best = dict[str, Place]()
    for place in found:
        if place.first not in ("stem", "head"):
            known = best.get(place.name)
            if known is None or place.count > known.count:
                best[place.name] = place
    return [*best.values()]


def commonest(found: Sequence[Place]) -> Place:
    """The unit that the network has most often, where it is repeated most."""
    totals = {p.name: 0 for p in found}
    for place in found:
        totals[place.name] += place.count
    return max(distinct(found) or found, key=lambda place: totals[place.name])


def marks(unit: Unit, findings: Iterable[Diagnostic]) -> dict[str, Mark]:
    """The unit's ops that findings point at; `out` for what is said of the unit itself."""
    notes = dict[str, list[str]]()
    for finding in findings:
        if finding.span is not None and (name := _at(unit, finding.span)):
            notes.setdefault(name, []).append(finding.message)
    return {name: Mark("finding", "; ".join(told)) for name, told in notes.items()}


def part_marks(graph: Graph, findings: Sequence[Diagnostic]) -> dict[str, Mark]:
    """The network's parts that findings point at, themselves or in their units."""
    found = dict[str, Mark]()
    for stage, slots in enumerate(graph.stages, 1):
        places_of = _stage(graph, stage - 1)
        for place, slot in zip(places_of, _slots(graph, stage - 1), strict=True):
            notes = [f.message for f in findings if f.span and _names(slot, slots, f.span)]
            notes += [m.note for m in marks(place.instance.unit, findings).values()]
            if notes:
                found[place.first] = Mark("finding", "; ".join(notes))
    for unit in (graph.stem, graph.head):
        if inside := marks(unit, findings):
            found[unit.name] = Mark("finding", "; ".join(m.note for m in inside.values()))
    return found
