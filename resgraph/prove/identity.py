"""The identity path: where x_L = x_l + sum of F, Eq. (4), and what breaks it elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resgraph.diagnostics import Span
from resgraph.graph import INPUT, Node
from resgraph.prove.finding import Finding, Level, Topic, at, listing
from resgraph.prove.flow import STRANGER, follow
from resgraph.prove.parts import Parts, is_identity
from resgraph.prove.sites import Site, grouped, places, segments, units

Breaks = tuple[tuple[Node, str], ...]
"""Nodes that break the identity path, each with what it is to the unit."""


def identity_path(found: Sequence[Site]) -> Iterator[Finding]:
    """Findings on the identity path: stage by stage, where it holds, what breaks it."""
    total = units(found)
    carrying = [site for site in found if is_identity(site.instance)]
    kept = {site.start for site in carrying}
    yield from _stages(found, kept)
    yield from _holds(carrying, total)
    yield from _growing(carrying, total)
    yield from _broken([site for site in found if site.start not in kept], total)


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
    return site.instance.unit.paths[-1].nodes[-1].span


def _stages(found: Sequence[Site], kept: set[int]) -> Iterator[Finding]:
    """Whether an identity path leads from each stage's entry to its exit."""
    verdicts: dict[tuple[int, int], list[Site]] = {}
    for _, stage in grouped(found, lambda site: site.stage):
        bad = units(site for site in stage if site.start not in kept)
        verdicts.setdefault((bad, units(stage)), []).append(stage[0])
    for (bad, count), firsts in verdicts.items():
        where = tuple(f"stage{site.stage}" for site in firsts)
        names = listing(where)
        span = firsts[0].slot.span
        if bad:
            message = (
                f"{names}: no identity path from entry to exit: {bad} of {count} "
                f"unit{'s' * (count != 1)} break{'s' * (bad == 1)} it"
            )
            yield Finding(Level.BROKEN, Topic.IDENTITY, message, span, where)
        else:
            message = f"{names}: an identity path from entry to exit"
            yield Finding(Level.HOLDS, Topic.IDENTITY, message, span, where)


def _holds(carrying: Sequence[Site], total: int) -> Iterator[Finding]:
    """Eq. (4), over every stretch of units that pass x on."""
    alike: dict[tuple[str, ...], list[tuple[Site, ...]]] = {}
    for stretch in segments(carrying):
        names = dict.fromkeys(site.instance.unit.name for site in stretch)
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


def _growing(carrying: Sequence[Site], total: int) -> Iterator[Finding]:
    """Where F is never negative, so that the identity path's signal can only grow."""
    for (_, value), chosen in grouped(carrying, _never_negative):
        if not value:
            continue
        steps = chosen[0].instance.unit.steps()
        node = next(node for _, node, _ in steps if node.name == value)
        message = (
            f"{places(chosen, total)}: F ends in {node.name} and is never negative, so x "
            "only grows from unit to unit, as with ReLU before addition, Fig. 4c"
        )
        where = tuple(stretch[0].path(node) for stretch in segments(chosen))
        yield Finding(Level.FACT, Topic.IDENTITY, message, node.span, where)


def _never_negative(site: Site) -> tuple[str, str]:
    """The unit, and the last value added to x if none of those is ever negative, else ''."""
    name = site.instance.unit.name
    if site.parts is None:
        return name, ""
    states = follow(site.instance, site.parts, STRANGER)
    added = [value for beside in site.parts.beside.values() for value in beside]
    if not all(states[value].never_negative for value in added):
        return name, ""
    return name, next((v for v in reversed(added) if v != INPUT), "")


def _broken(chosen: Sequence[Site], total: int) -> Iterator[Finding]:
    """What breaks the identity path, once for each way of breaking it."""
    for _, group in grouped(chosen, _way):
        site = group[0]
        if site.parts is None:
            yield _no_addition(group, total)
            continue
        found = breaks(site.parts)
        span = found[0][0].span
        message = f"{places(group, total)}: no identity path: {_named(found, span)}"
        stretches = segments(group)
        where = tuple(s[0].path(node) for s in stretches for node, _ in found)
        yield Finding(Level.BROKEN, Topic.IDENTITY, message, span, where)


def _named(found: Breaks, span: Span) -> str:
    """`a_bn, a_relu (27:30) before the split; h_conv (28:26) on h`."""
    stands: dict[str, list[str]] = {}
    for node, where in found:
        stands.setdefault(where, []).append(at(node, span))
    return "; ".join(f"{listing(names)} {where}" for where, names in stands.items())


def _way(site: Site) -> tuple[str, tuple[str, ...]]:
    """The unit, and the nodes of it that break the path: these may depend on shapes."""
    found = breaks(site.parts) if site.parts else ()
    return site.instance.unit.name, tuple(node.name for node, _ in found)


def _no_addition(group: Sequence[Site], total: int) -> Finding:
    message = (
        f"{places(group, total)}: no addition that every path passes: "
        "no residual unit in the sense of Eq. (1), and no identity path"
    )
    where = tuple(segment[0].unit() for segment in segments(group))
    return Finding(Level.BROKEN, Topic.IDENTITY, message, span_of_y(group[0]), where)
