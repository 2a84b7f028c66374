"""Networks as facts for the page: stem, stages, sites of equal units, head."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resgraph.diagnostics import visible
from resgraph.draw import draw_network, draw_unit
from resgraph.emit.torch_source import module_source
from resgraph.graph import Graph, Instance, digest
from resgraph.prove.sites import Site, sites
from resgraph.report.drawing import drawn
from resgraph.report.places import Files
from resgraph.report.units import unit

GENERATED = Path("generated")


@dataclass
class Units:
    """The distinct units of all networks, each drawn once; a network refers by number."""

    files: Files
    made: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[tuple[object, ...], int] = field(default_factory=dict)

    def number(self, instance: Instance) -> int:
        """That of the unit at these arguments and this input; drawn if it is a new one."""
        name = instance.unit.name
        key = (name, *instance.args.items(), instance.input, instance.output)
        if key not in self.numbers:
            self.numbers[key] = len(self.made)
            facts = unit(instance, self.files)
            prefix = f"u{len(self.made)}-"
            drawing = drawn(
                lambda: draw_unit(instance, title="", prefix=prefix), prefix
            )
            self.made.append(facts | {"drawing": drawing})
        return self.numbers[key]


def networks(graphs: Sequence[Graph], units: Units) -> list[dict[str, Any]]:
    """The facts of each network; its units go to `units`."""
    return [_network(graph, f"n{i}-", units) for i, graph in enumerate(graphs)]


def _network(graph: Graph, prefix: str, units: Units) -> dict[str, Any]:
    source = module_source(graph, GENERATED)
    stages = [_stage(graph, number, found, units) for number, found in _stages(graph)]
    stem = _end("stem", graph.typed(graph.stem_run), units)
    head = _end("head", graph.typed(graph.head_run), units)
    parts = [stem, *stages, head]
    return {
        "name": graph.name,
        "title": visible(graph.title),
        "digest": digest(graph),
        "input": [*graph.input],
        "parameters": graph.total("parameters"),
        "multiply_adds": graph.total("multiply_adds"),
        "ops": graph.total("nodes"),
        "units": sum(site["count"] for part in stages for site in part["sites"]),
        "source": source.text.splitlines(),
        "generated": (GENERATED / f"{graph.name}.py").as_posix(),
        "lines": source.lines,
        "drawing": drawn(lambda: draw_network(graph, prefix=prefix), prefix),
        "parts": parts,
    }


def _stages(graph: Graph) -> Iterator[tuple[int, list[Site]]]:
    found = sites(graph)
    for number in range(1, len(graph.runs) + 1):
        yield number, [site for site in found if site.stage == number]


def _stage(
    graph: Graph, number: int, found: Sequence[Site], units: Units
) -> dict[str, Any]:
    shown = [_site(site, units) for site in found]
    runs = graph.runs[number - 1]

    def total(quantity: str) -> int:
        return sum(run.total(quantity) for run in runs)

    return _part(f"stage{number}", shown, total, found[-1].instance)


def _end(name: str, instance: Instance, units: Units) -> dict[str, Any]:
    """The stem or the head: a part of one site, whose ops have no prefix."""
    site = {
        "unit": units.number(instance),
        "index": 0,
        "count": 1,
        "prefix": "",
        "place": units.files.place(instance.unit.span),
    }
    return _part(name, [site], lambda q: int(getattr(instance, q)), instance)


def _part(
    name: str,
    shown: list[dict[str, Any]],
    total: Callable[[str], int],
    last: Instance,
) -> dict[str, Any]:
    return {
        "name": name,
        "output": [*last.output],
        "parameters": total("parameters"),
        "multiply_adds": total("multiply_adds"),
        "sites": shown,
    }


def _site(site: Site, units: Units) -> dict[str, Any]:
    return {
        "unit": units.number(site.instance),
        "index": site.index,
        "count": site.count,
        "prefix": f"stage{site.stage}.",
        "place": units.files.place(site.slot.span),
    }
