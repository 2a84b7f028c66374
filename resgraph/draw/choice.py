"""The places of a network's units, which of them to draw, and what findings say there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from resgraph.diagnostics import Diagnostic, Span
from resgraph.draw.items import Mark
from resgraph.graph import OUTPUT, Graph, Instance, Node, Run, Slot, Unit
from resgraph.ops import OpError, Shape


@dataclass(frozen=True)
class Place:
    """Equal units in a row: how many there are, and the name of the first one.

    `stage` counts from 1; the stem and the head have 0, and so has a unit that no stage
    names.
    """

    name: str
    instances: tuple[Instance, ...]
    count: int = 1
    stage: int = 0
    slot: Slot | None = None

    @property
    def unit(self) -> Unit:
        return self.instances[0].unit

    @property
    def last(self) -> str:
        """The name of the last one."""
        stage, index = self.name.split(".")
        return f"{stage}.{int(index) + self.count - 1}"

    @property
    def output(self) -> Shape | None:
        last = self.instances[-1]
        return last.shapes.get(last.unit.output)


def places(graph: Graph) -> list[Place]:
    """The stem, the runs of each stage, the head, and units that are in no stage.

    Of a graph whose shapes are not known, the stages' slots.
    """
    found = [_end(graph.stem, graph.stem_run)]
    for number, slots in enumerate(graph.stages, 1):
        index = 0
        runs = graph.runs[number - 1] if graph.runs else _untyped(graph, slots)
        for run in runs:
            name = f"stage{number}.{index}"
            instances = tuple(_settled(instance) for instance in run.instances)
            found.append(Place(name, instances, run.count, number, run.slot))
            index += run.count
    found.append(_end(graph.head, graph.head_run))
    used = {place.unit.name for place in found if place.stage}
    for name, unit in graph.units.items():
        if name not in used and unit.span.file == graph.file:
            found.append(Place(name, (Instance(unit, {}, {}),), 0))
    return found


def _end(unit: Unit, run: Instance | None) -> Place:
    return Place(unit.name, (run or Instance(unit, {}, {}),))


def _untyped(graph: Graph, slots: Iterable[Slot]) -> Iterator[Run]:
    for slot in slots:
        instance = Instance(graph.units[slot.unit], slot.args, {})
        yield Run(slot, (instance,), slot.repeat)


def _settled(instance: Instance) -> Instance:
    """With numbers for the expressions, of the ops for which there are some."""

    def settled(node: Node) -> Node:
        try:
            return replace(node, op=node.op.resolve(instance.args))
        except OpError:
            return node

    paths = tuple(
        replace(path, nodes=tuple(settled(node) for node in path.nodes))
        for path in instance.unit.paths
    )
    return replace(instance, unit=replace(instance.unit, paths=paths))


def distinct(found: Iterable[Place]) -> list[Place]:
    """Each unit once, where it is repeated most; the stem and the head are none."""
    best = dict[str, Place]()
    for place in found:
        if place.stage or place.count == 0:
            known = best.setdefault(place.unit.name, place)
            if place.count > known.count:
                best[place.unit.name] = place
    return [*best.values()]


def commonest(found: Sequence[Place]) -> Place:
    """The unit that the network has most often, where it is repeated most.

    The stem of a network without units.
    """

    def total(place: Place) -> int:
        return sum(p.count for p in found if p.unit.name == place.unit.name)

    return max(distinct(found) or found[:1], key=total)


def faulty(found: Sequence[Place], findings: Sequence[Diagnostic]) -> list[Place]:
    """The units that findings point at, each where they say that it fails; and stem, head."""
    spans = {note.span for finding in findings for note in finding.notes}
    noted = {p.unit.name: p for p in reversed(found) if p.slot and p.slot.span in spans}
    ends = [place for place in found if place.count and not place.stage]
    return [
        noted.get(place.unit.name, place)
        for place in (*distinct(found), *ends)
        if marks(place.unit, findings)
    ]


def marks(unit: Unit, findings: Iterable[Diagnostic]) -> dict[str, Mark]:
    """The unit's ops that findings point at; `out` for what is said of all of it."""
    notes = dict[str, list[str]]()
    for finding in findings:
        if finding.span is not None and (name := _marked(unit, finding.span)):
            notes.setdefault(name, []).append(finding.message)
    return {name: _mark(told) for name, told in notes.items()}


def part_marks(
    found: Iterable[Place], findings: Sequence[Diagnostic]
) -> dict[str, Mark]:
    """The places that findings point at, in the stage or inside of the unit."""
    told = dict[str, Mark]()
    for place in found:
        notes = [m.note for m in marks(place.unit, findings).values()]
        if place.slot is not None:
            spans = [f for f in findings if f.span is not None]
            notes += [f.message for f in spans if f.span == place.slot.span]
        if notes:
            told[place.name] = _mark(notes)
    return told


def _mark(notes: Iterable[str]) -> Mark:
    return Mark("finding", "; ".join(dict.fromkeys(notes)))


def _marked(unit: Unit, span: Span) -> str | None:
    """The op whose text has the place in it, or the first op of a path that is named."""
    for path in unit.paths:
        for node in path.nodes:
            if _within(span, node.span):
                return node.name
        if path.nodes and span in (path.span, *path.source_spans):
            return path.nodes[0].name
    return OUTPUT if span == unit.span else None


def _within(inner: Span, outer: Span) -> bool:
    start, end = (outer.line, outer.col), (outer.end_line, outer.end_col)
    return inner.file == outer.file and start <= (inner.line, inner.col) < end
