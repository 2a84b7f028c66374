"""A network whose spec has findings, as far as it can be understood, with them marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from resgraph.diagnostics import Diagnostic, visible
from resgraph.draw import draw_network, draw_unit
from resgraph.draw.choice import Place, marks, part_marks, places
from resgraph.graph import OUTPUT, Graph
from resgraph.report.drawing import drawn
from resgraph.report.places import Files
from resgraph.report.units import draft


def drafts(
    graphs: Sequence[Graph], findings: Sequence[Diagnostic], files: Files
) -> dict[str, Any]:
    """The networks and their units; what is not known is None."""
    units: list[dict[str, Any]] = []
    shown = [
        _network(graph, f"n{number}-", findings, files, units)
        for number, graph in enumerate(graphs)
    ]
    return {"networks": shown, "units": units}


def where(graphs: Iterable[Graph], finding: Diagnostic) -> list[str]:
    """The ops that the finding points at, and the units of which it says something."""
    names = []
    for graph in graphs:
        found = places(graph)
        for place in found:
            for name in marks(place.unit, _here(place, found, [finding])):
                whole = name == OUTPUT
                names.append(place.name if whole else _op(place, name))
            if place.slot is not None and place.slot.span == finding.span:
                names.append(place.name)
    return [*dict.fromkeys(names)]


def _here(
    place: Place, found: Sequence[Place], findings: Iterable[Diagnostic]
) -> list[Diagnostic]:
    """Without the findings that name another stage in which the place's unit fails."""
    slots = {p.slot.span for p in found if p.slot and p.unit.name == place.unit.name}
    own = place.slot and place.slot.span
    return [
        finding
        for finding in findings
        if not (named := slots & {note.span for note in finding.notes}) or own in named
    ]


def _op(place: Place, name: str) -> str:
    return f"{place.name}.{name}" if place.stage else name


def _network(
    graph: Graph,
    prefix: str,
    findings: Sequence[Diagnostic],
    files: Files,
    units: list[dict[str, Any]],
) -> dict[str, Any]:
    found = places(graph)
    marked = part_marks(found, findings)
    drawing = drawn(lambda: draw_network(graph, marks=marked, prefix=prefix), prefix)
    parts = []
    for name, group in groupby(found, _part_name):
        sites = []
        for place in group:
            sites.append(_site(place, len(units), files))
            told = _here(place, found, findings)
            units.append(_unit(place, told, files, f"u{len(units)}-"))
        output = units[-1]["output"]
        parts.append({"name": name, "output": output, "sites": sites} | _UNKNOWN)
    return {
        "name": graph.name,
        "title": visible(graph.title),
        "digest": "",
        "input": [*graph.input],
        "ops": sum(place.count * place.instances[0].nodes for place in found),
        "units": sum(place.count for place in found if place.stage),
        "source": [],
        "generated": "",
        "lines": {"units": {}, "ends": {}},
        "drawing": drawing,
        "parts": parts,
        **_UNKNOWN,
    }


_UNKNOWN = {"parameters": None, "multiply_adds": None}


def _part_name(place: Place) -> str:
    return f"stage{place.stage}" if place.stage else place.name


def _site(place: Place, number: int, files: Files) -> dict[str, Any]:
    stage, _, index = place.name.partition(".")
    return {
        "unit": number,
        "index": int(index) if place.stage else 0,
        "count": max(1, place.count),
        "prefix": f"{stage}." if place.stage else "",
        "place": files.place(place.slot.span if place.slot else place.unit.span),
    }


def _unit(
    place: Place, findings: Sequence[Diagnostic], files: Files, prefix: str
) -> dict[str, Any]:
    instance, told = place.instances[0], marks(place.unit, findings)
    drawing = drawn(
        lambda: draw_unit(instance, title="", marks=told, prefix=prefix), prefix
    )
    return draft(instance, files) | {"drawing": drawing}
