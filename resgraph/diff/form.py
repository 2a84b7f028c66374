"""A difference as JSON, for a program."""

from __future__ import annotations

from typing import Any

from resgraph.diff.network import Difference, Pair
from resgraph.diff.units import Units
from resgraph.graph import Graph


def as_json(difference: Difference) -> dict[str, Any]:
    """Everything that the report tells, and every aligned pair of units with its numbers."""
    lost, gained = difference.findings
    return {
        "same": difference.same,
        "before": _network(difference.before),
        "after": _network(difference.after),
        "pairs": [_pair(pair) for pair in difference.pairs],
        "properties": {
            name: {"before": old, "after": new}
            for name, (old, new) in difference.properties.items()
        },
        "findings": {"before": list(lost), "after": list(gained)},
        "recipe": {
            name: {"before": old, "after": new}
            for name, (old, new) in difference.recipe.items()
        },
        **_wiring(difference),
        **_regrouped(difference),
        **({"recut": True} if difference.recut else {}),
    }


def _wiring(difference: Difference) -> dict[str, Any]:
    """Told where stages read others, since it seldom is so."""
    found = {n: {"before": old, "after": new} for n, old, new in difference.wiring}
    return {"wiring": found} if found else {}


def _regrouped(found: Difference | Pair) -> dict[str, bool]:
    """Told where it is so, since it seldom is."""
    return {"regrouped": True} if found.regrouped else {}


def _network(graph: Graph) -> dict[str, Any]:
    totals = {q: graph.total(q) for q in ("parameters", "multiply_adds")}
    shape = {"input": list(graph.input)}
    names = {"network": graph.name, "spec": graph.file, "title": graph.title}
    return names | shape | totals


def _pair(pair: Pair) -> dict[str, Any]:
    lost, gained = pair.properties
    factors = pair.factors
    return {
        "same": pair.same,
        "before": _units(pair.before),
        "after": _units(pair.after),
        "edits": [edit.as_json() for edit in pair.edits],
        "lost": list(lost),
        "gained": list(gained),
        "factor": {"before": factors[0], "after": factors[1]} if factors else None,
    } | _regrouped(pair)


def _units(units: Units | None) -> dict[str, Any] | None:
    if units is None:
        return None
    return {
        "part": units.part,
        "index": units.index,
        "unit": units.name,
        "count": units.count,
        "output": list(units.output),
        "parameters": units.parameters,
        "multiply_adds": units.multiply_adds,
    }
