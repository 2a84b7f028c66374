"""What a unit, and a network of units, keeps of the paper's identity mappings."""

from __future__ import annotations

from collections.abc import Iterator

from resgraph.graph import Graph, Instance
from resgraph.ops import Role
from resgraph.prove import Topic, prove
from resgraph.prove.identity import growing
from resgraph.prove.parts import Parts, decompose, is_identity, passed_by_all
from resgraph.prove.prose import slope
from resgraph.prove.sites import Site, sites, units

RESIDUAL = "an addition that every path passes: y = h(x) + F(x), Eq. (1)"
BEFORE = "x reaches the split as it is"
H = "h is the identity"
AFTER = "f is the identity"
EQ5 = "an identity path from x to out: Eq. (2) and (5) hold"
FINAL = "an activation after the addition"
FREE = "no op that every path passes changes the value"
PROPERTIES = (RESIDUAL, BEFORE, H, AFTER, EQ5, FREE, FINAL)


def properties(instance: Instance, parts: Parts | None) -> frozenset[str]:
    """Those of `PROPERTIES` that a unit with shapes has."""
    has = {EQ5: is_identity(instance), FREE: not passed_by_all(instance)}
    if parts is not None:
        has |= {
            RESIDUAL: True,
            BEFORE: parts.is_identity_before,
            H: parts.is_identity_h,
            AFTER: parts.is_identity_f,
            FINAL: any(node.op.role is Role.ACTIVATION for node in parts.f),
        }
    return frozenset(name for name, holds in has.items() if holds)


def unit_properties(instance: Instance) -> frozenset[str]:
    """Those of `PROPERTIES` that the unit has."""
    return properties(instance, decompose(instance))


def factor(instance: Instance) -> str:
    """What stands where Eq. (5) has its 1: the product of the shortcut's derivatives."""
    parts = decompose(instance)
    if parts is None:
        return "no 1: there is no shortcut"
    paths = {value: path for path, value in instance.flat.block.values.items()}
    slopes = [
        slope(node.op, *(paths.get(v, v) for v in parts.beside[node.name]))
        for node in parts.route
        if node.name in parts.broken
    ]
    return " times ".join(slopes) or "1"


def counted(graph: Graph) -> tuple[dict[str, int], int]:
    """How many units have each property, and how many units there are."""
    found = sites(graph)
    having: dict[str, list[Site]] = {name: [] for name in PROPERTIES}
    for site in found:
        for name in properties(site.instance, site.parts):
            having[name].append(site)
    return {name: units(group) for name, group in having.items()}, units(found)


def told(graph: Graph) -> Iterator[str]:
    """What `prove` finds and no property says, as messages."""
    found = [
        finding
        for finding in prove(graph)
        if finding.code or finding.topic in (Topic.FIELD, Topic.DEPTH)
    ]
    units_ = sites(graph)
    carrying = [site for site in units_ if site.carries]
    for finding in (*growing(carrying, units(units_)), *found):
        yield f"{finding.topic}: {finding.message}"
