"""Units with what each is in the paper's terms."""

from __future__ import annotations

from dataclasses import dataclass

from resgraph import graph as ir
from resgraph.graph import sites as rows
from resgraph.graph.sites import grouped, places, segments, span_of, units
from resgraph.prove.parts import Parts, decompose

__all__ = ["Site", "grouped", "places", "segments", "sites", "span_of", "units"]


@dataclass(frozen=True)
class Site(rows.Site):
    """Equal units in a row, taken apart; None where they are not residual."""

    parts: Parts | None


def sites(graph: ir.Graph) -> tuple[Site, ...]:
    """The network's units, each distinct one taken apart once."""
    parts: dict[int, Parts | None] = {}
    found: list[Site] = []
    for site in rows.sites(graph):
        key = id(site.instance)
        if key not in parts:
            parts[key] = decompose(site.instance)
        found.append(Site(**vars(site), parts=parts[key]))
    return tuple(found)
