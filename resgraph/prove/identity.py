"""The identity path: where x_L = x_l + sum of F, Eq. (4), and what stands in its way elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum

from resgraph.diagnostics import Span, plural
from resgraph.graph import HEAD, STEM, Graph, Node
from resgraph.graph.sites import between, grouped, listing
from resgraph.prove.finding import Finding, Level, Topic, at
from resgraph.prove.parts import Parts, Stacking, passed_by_all, stacking
from resgraph.prove.passages import STRANGER, follow
from resgraph.prove.sites import (
    Site,
    Stage,
    first_ways,
    leaves,
    places,
    segments,
    starts,
    units,
    ways,
)
from resgraph.prove.skips import skips

Breaks = tuple[tuple[Node, str], ...]
"""Nodes that break the identity path, each with what it is to the unit."""


class Obstacle(Enum):
    """Why a unit has no identity path, of one unit and of several."""

    SHAPE = (
        "changes the shape and must break it",
        "change the shape and must break it",
    )
    """x is no term of a sum of another shape. h, and what comes before the split, must
    change it; that f is the identity, it could be."""
    NO_SUM = ("has no addition", "have no addition")
    CHOICE = ("breaks it", "break it")
    BETWEEN = ("step between units breaks it", "steps between units break it")

    def told(self, count: int) -> str:
        """In a sentence, of so many units."""
        return self.value[count != 1]


def identity_path(
    graph: Graph, network: Sequence[Stage], found: Sequence[Site]
) -> Iterator[Finding]:
    """Findings on the identity path: how far it leads, where it holds, what is elsewhere."""
    total = units(found)
    carrying = [site for site in found if site.carries and not site.bare]
    if found:
        yield _summary(graph, found, total)
    yield from _holds(carrying, total)
    yield from _bare([site for site in found if site.bare], total)
    yield from growing(carrying, total)
    if any(site.parts for site in found):
        yield from _stages(network)
    yield from _elsewhere([site for site in found if not site.carries], total)
    yield from _between(network)
    yield from skips(graph, network)


def obstacle(site: Site) -> Obstacle | None:
    """Why the site's units have no identity path; None where they have one."""
    if site.carries:
        return None
    if site.loose:
        return Obstacle.BETWEEN
    if site.parts is None:
        return Obstacle.NO_SUM
    must = site.parts.is_identity_f and _changes_shape(site)
    return Obstacle.SHAPE if must else Obstacle.CHOICE


def _changes_shape(site: Site) -> bool:
    shapes, parts = site.instance.flat.shapes, site.parts
    if parts is None:
        return site.instance.input != site.instance.output
    return shapes[parts.x] != shapes[parts.out]


def breaks(parts: Parts) -> Breaks:
    """The nodes of the shortcut that change its value, in order, and where they stand."""
    groups = (
        (parts.breaks_before, "before the split"),
        (parts.breaks_h, "on h"),
        (parts.breaks_f, "in f"),
    )
    return tuple((node, where) for nodes, where in groups for node in nodes)


def span_of_y(site: Site) -> Span:
    """The line of the unit's addition; of its last op, if it has none."""
    if site.parts is not None:
        return site.parts.y.span
    steps = site.instance.steps
    return steps[-1].span if steps else site.instance.block.span


def _summary(graph: Graph, found: Sequence[Site], total: int) -> Finding:
    """In how many units there is an identity path, and what the others are."""
    others = _others(found)
    counts, kept = _obstacles(others), total - units(others)
    why = "; ".join(f"{n} {each.told(n)}" for each, n in counts.items())
    if not others:
        message = f"an identity path through every unit, {total} of {total}"
    elif kept:
        message = f"an identity path through {kept} of {total} units; {why}"
    elif len(counts) == 1 and total > 1:
        message = f"no unit has an identity path: all {why}"
    else:
        message = f"no unit has an identity path: {why}"
    if bare := units(site for site in found if site.bare):
        message += f"; {bare} of them add{'s' * (bare == 1)} nothing to it"
    level = Level.HOLDS if kept else _level(counts)
    return Finding(level, Topic.IDENTITY, message, graph.span)


def _others(found: Sequence[Site]) -> list[Site]:
    """The units that an identity path passes on none of their ways."""
    passed = {site.start for site in found if site.carries}
    return [site for site in found if site.start not in passed]


def _obstacles(sites: Sequence[Site]) -> Counter[Obstacle]:
    """How many units meet each obstacle, in the order of the obstacles."""
    counts = Counter[Obstacle]()
    for each in Obstacle:
        counts[each] += units(s for s in first_ways(sites) if obstacle(s) is each)
    return +counts


def _level(counts: Counter[Obstacle]) -> Level:
    """Broken is what could be otherwise."""
    return Level.BROKEN if Obstacle.CHOICE in counts else Level.FACT


def _stages(network: Sequence[Stage]) -> Iterator[Finding]:
    """Whether an identity path leads from each stage's entry to its exit."""
    verdicts: dict[tuple[Level, str], list[Stage]] = {}
    for stage in network:
        if stage.row.name not in (STEM, HEAD):
            verdicts.setdefault(_verdict(stage), []).append(stage)
    for (level, message), alike in verdicts.items():
        where = tuple(stage.row.name for stage in alike)
        told = f"{listing(where)}: {message}"
        span = alike[0].sites[0].call.span
        yield Finding(level, Topic.IDENTITY, told, span, where)


def _verdict(stage: Stage) -> tuple[Level, str]:
    found = [way for site in leaves(stage.sites) for way in ways(site)]
    counts = _obstacles(_others(found))
    count = units(site for site in found if not site.loose)
    if not counts:
        return Level.HOLDS, "an identity path from entry to exit"
    why = "; ".join(_of(n, count, each) for each, n in counts.items())
    return _level(counts), f"no identity path from entry to exit: {why}"


def _of(n: int, count: int, each: Obstacle) -> str:
    """`1 of 18 units changes the shape and must break it`."""
    if each is Obstacle.BETWEEN:
        return f"{n} {each.told(n)}"
    return f"{n} of {count} {plural(count, 'unit')} {each.told(n)}"


def _holds(carrying: Sequence[Site], total: int) -> Iterator[Finding]:
    """Eq. (4), over every stretch of units that pass x on."""
    alike: dict[tuple[str, ...], list[tuple[Site, ...]]] = {}
    for stretch in segments(carrying):
        names = dict.fromkeys(site.instance.block.name for site in stretch)
        alike.setdefault(tuple(names), []).append(stretch)
    for stretches in alike.values():
        chosen = [site for stretch in stretches for site in stretch]
        law = "x_L = x_l + sum of F, Eq. (4)"
        if max(map(units, stretches)) == 1:
            law = "x_next = x + F(x), Eq. (2)"
        message = f"{places(chosen, total)}: h and f are identities: {law}"
        where = tuple(stretch[0].unit() for stretch in stretches)
        span = span_of_y(chosen[0])
        yield Finding(Level.HOLDS, Topic.IDENTITY, message, span, where)


def _bare(chosen: Sequence[Site], total: int) -> Iterator[Finding]:
    """The units that are an identity path and no more."""
    for _, group in grouped(chosen, lambda site: site.instance.block.name):
        message = (
            f"{places(group, total)}: no addition: its input passes as it is and nothing "
            "is added to it, so there is no F as in Eq. (1)"
        )
        where = starts(group)
        yield Finding(Level.FACT, Topic.IDENTITY, message, span_of_y(group[0]), where)


def growing(carrying: Sequence[Site], total: int) -> Iterator[Finding]:
    """Where F is never negative, so that the identity path's signal can only grow."""
    for (_, value), chosen in grouped(carrying, _never_negative):
        if not value:
            continue
        node = next(n for n in chosen[0].instance.steps if n.name == value)
        message = (
            f"{places(chosen, total)}: F ends in {node.name} and is never negative, so "
            f"{chosen[0].parts.x if chosen[0].parts else 'x'} only grows from unit to unit, as with ReLU before addition, Fig. 4c"
        )
        where = tuple(stretch[0].path(node) for stretch in segments(chosen))
        yield Finding(Level.FACT, Topic.IDENTITY, message, node.span, where)


def _never_negative(site: Site) -> tuple[str, str]:
    """The unit, and the last value added to x if none of those is ever negative, else ''."""
    name = site.instance.block.name
    if site.parts is None:
        return name, ""
    states = follow(site, [STRANGER for _ in site.instance.block.inputs]).values
    added = [value for beside in site.parts.beside.values() for value in beside]
    if not all(states[value].never_negative for value in added):
        return name, ""
    made = {node.name for node in site.instance.steps}
    return name, next((v for v in reversed(added) if v in made), "")


def _elsewhere(others: Sequence[Site], total: int) -> Iterator[Finding]:
    """What stands in the way of the identity path, once for each way of standing there."""
    for _, group in grouped(others, _way):
        site = group[0]
        if site.parts is None:
            yield _no_addition(group, total)
            continue
        found = breaks(site.parts)
        span = found[0][0].span
        why, level = "no identity path", Level.BROKEN
        if obstacle(site) is Obstacle.SHAPE:
            why = f"the shape changes, so {site.parts.x} cannot pass as it is"
            level = Level.FACT
        message = f"{places(group, total)}: {why}: {_named(found, site)}"
        stretches = segments(group)
        where = tuple(s[0].path(node) for s in stretches for node, _ in found)
        yield Finding(level, Topic.IDENTITY, message, span, where)


def _between(network: Sequence[Stage]) -> Iterator[Finding]:
    """The ops between the units of units that change the value."""
    steps = [
        site
        for stage in network
        for site in leaves(stage.sites)
        if site.loose and site.outer and not site.carries
    ]
    for _, group in grouped(steps, lambda site: str(site.instance.steps[0].span)):
        nodes = passed_by_all(group[0].instance)
        names = listing([at(node, nodes[0].span) for node in nodes])
        where = listing([between(site.outermost, site.outermost) for site in group])
        level = Level.FACT if _changes_shape(group[0]) else Level.BROKEN
        message = f"{where}: no identity path between its units: {names}"
        paths = tuple(site.path(node) for site in group for node in nodes)
        yield Finding(level, Topic.IDENTITY, message, nodes[0].span, paths)


def _named(found: Breaks, site: Site) -> str:
    """`a_bn, a_relu (27:30) before the split; h_conv (28:26) on h`."""
    stands: dict[str, list[str]] = {}
    partly = obstacle(site) is Obstacle.CHOICE and _changes_shape(site)
    for node, where in found:
        must = partly and where == "on h"
        place = f"{where}, where the shape changes" if must else where
        stands.setdefault(place, []).append(at(node, found[0][0].span))
    return "; ".join(f"{listing(names)} {where}" for where, names in stands.items())


def _way(site: Site) -> tuple[str, Obstacle | None, tuple[str, ...]]:
    """The unit, and the nodes of it that break the path: these may depend on shapes."""
    found = breaks(site.parts) if site.parts else ()
    return site.instance.block.name, obstacle(site), tuple(n.name for n, _ in found)


def _no_addition(group: Sequence[Site], total: int) -> Finding:
    message = (
        f"{places(group, total)}: no addition that every path passes: "
        "no residual unit in the sense of Eq. (1), and no identity path"
    )
    if (stack := stacking(group[0].instance)) is not None:
        message = (
            f"{places(group, total)}: {stack.node.name} keeps {_kept(stack)}: "
            "a dense connection, no sum as in Eq. (1)"
        )
    where = starts(group)
    span = span_of_y(group[0])
    return Finding(Level.FACT, Topic.IDENTITY, message, span, where)


def _kept(stack: Stacking) -> str:
    """`x as it is, beside F, in channels of its own`."""
    if len(stack.inputs) > 1:
        return f"{listing(stack.inputs, ' and ')} as they are, in channels of their own"
    beside = "F" if stack.alone else "others"
    return f"{stack.inputs[0]} as it is, beside {beside}, in channels of its own"
