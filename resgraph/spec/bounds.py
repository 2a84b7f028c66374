"""How much a spec may hold, counted on its tree before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resgraph import codes
from resgraph.diagnostics import Diagnostic
from resgraph.limits import (
    NETWORK_SLOTS,
    PARAMETERS,
    SPEC_NETWORKS,
    SPEC_OPS,
    SPEC_UNITS,
    UNIT_OPS,
)
from resgraph.spec.tree import Items, Loc, Mapping, Tree, at, below, key_span


def bounds(tree: Mapping) -> list[Diagnostic]:
    """A finding for each thing of which there is more than any network needs."""
    return [
        Diagnostic(
            codes.TOO_LARGE,
            f"{what} has {count:,} {things}, and up to {most:,} are taken",
            key_span(tree, loc),
        )
        for what, loc, count, things, most in _counts(tree)
        if count > most
    ]


_Count = tuple[str, Loc, int, str, int]
"""What has how many of which things, where, and how many it may have."""


def _counts(tree: Mapping) -> Iterator[_Count]:
    yield "a spec", ("units",), _size(tree, "units"), "units", SPEC_UNITS
    networks: Loc = ("networks",)
    yield "a spec", networks, _size(tree, *networks), "networks", SPEC_NETWORKS
    yield from _network(tree)
    total = 0
    for unit, _ in below(_there(tree, ("units",))):
        loc: Loc = ("units", unit)
        yield from _unit(tree, loc)
        total += _ops(tree, loc)
    total *= max(1, _size(tree, *networks))
    yield "a spec", networks, total, "ops to build, all networks together", SPEC_OPS


def _network(tree: Mapping) -> Iterator[_Count]:
    for end in ("stem", "head"):
        place: Loc = ("network", end)
        listed = isinstance(_there(tree, place), Items)
        ops = _size(tree, *place) if listed else _size(tree, *place, "ops")
        yield f"a {end}", place, ops + _ops(tree, place), "ops", UNIT_OPS
        yield from _paths(tree, place)
    loc: Loc = ("network", "params")
    yield "a network", loc, _size(tree, *loc), "parameters", PARAMETERS
    stages = [_units(stage) for _, stage in below(_there(tree, ("network", "stages")))]
    slots = sum(max(1, len([*below(stage)])) for stage in stages)
    what = "entries in its stages"
    yield "a network", ("network", "stages"), slots, what, NETWORK_SLOTS


def _unit(tree: Mapping, loc: Loc) -> Iterator[_Count]:
    params = (*loc, "params")
    yield "a unit", params, _size(tree, *params), "parameters", PARAMETERS
    yield from _paths(tree, loc)
    yield "a unit", (*loc, "paths"), _ops(tree, loc), "ops", UNIT_OPS


def _paths(tree: Mapping, loc: Loc) -> Iterator[_Count]:
    paths = (*loc, "paths")
    for key in ("inputs", "outputs"):
        yield "a unit", (*loc, key), _size(tree, *loc, key), key, UNIT_OPS
    for path, _ in below(_there(tree, paths)):
        read: Loc = (*paths, path, "from")
        yield "a path", read, _size(tree, *read), "values to read", UNIT_OPS


def _units(stage: Tree) -> Tree:
    """The units of a stage, which may be written under a key of their own."""
    keyed = isinstance(stage, Mapping) and "units" in stage.entries
    return at(stage, ("units",)) if keyed else stage


def _ops(tree: Mapping, unit: Loc) -> int:
    paths: Loc = (*unit, "paths")
    found = (path for path, _ in below(_there(tree, paths)))
    return sum(max(1, _size(tree, *paths, path, "ops")) for path in found)


def _size(tree: Mapping, *loc: str | int) -> int:
    """How many values are below that place; of what is not there, none."""
    found = _there(tree, loc)
    return len(found.entries) if isinstance(found, Mapping) else len([*below(found)])


def _there(tree: Mapping, loc: Sequence[str | int]) -> Tree:
    """What stands there; nothing, where the text has something else on the way."""
    found: Tree = tree
    for step in loc:
        inside = at(found, (step,))
        if inside is found:
            return Items((), tree.span)
        found = inside
    return found
