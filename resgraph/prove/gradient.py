"""The gradient: where Eq. (5) holds, what stands in place of its 1, what all of it must pass.

Eq. (5): dE/dx_l = dE/dx_L (1 + d/dx_l of the sum of F). The 1 is the identity path's
derivative; of any other shortcut, it is the product of the derivatives along it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from resgraph.diagnostics import so_often
from resgraph.graph import INPUT, Graph, Instance, Node, Row
from resgraph.graph.dag import Dag
from resgraph.graph.sites import LISTED, grouped, listing
from resgraph.prove.finding import Finding, Level, Topic, at
from resgraph.prove.identity import Obstacle, breaks, obstacle, span_of_y
from resgraph.prove.parts import Parts, Stacking, passed_by_all, stacking
from resgraph.prove.prose import formula, prose, slope
from resgraph.prove.sites import (
    Site,
    Stage,
    first_ways,
    places,
    segments,
    starts,
    units,
)
from resgraph.prove.skips import bypassed
from resgraph.syntax import Name, Syntax

_LONGEST = 40
"""Characters of a formula; a longer one is called by its node's name."""


def gradient(
    graph: Graph, network: Sequence[Stage], found: Sequence[Site]
) -> Iterator[Finding]:
    """Findings on the way back from the network's end to its first unit."""
    total = units(found)
    carrying = [site for site in found if site.carries and not site.bare]
    rest = [site for site in found if not site.carries]
    yield from _holds(carrying, total)
    yield from _bare([site for site in found if site.bare], total)
    said: set[str] = set()
    for factors, group in _gathered(grouped(rest, _factors)):
        if group[0].parts is None:
            yield _no_sum(group, total)
        else:
            yield _replaced(group, group[0].parts, factors, total, said)
    yield from _constants(found)
    yield from _passed_by_all(graph, first_ways(found), bypassed(graph, network), total)


def _holds(carrying: Sequence[Site], total: int) -> Iterator[Finding]:
    if carrying:
        message = (
            f"{places(carrying, total)}: Eq. (5) holds, "
            "dE/dx_l = dE/dx_L (1 + d/dx_l of the sum of F): "
            "the 1 carries dE/dx_L back whole, whatever the weights are"
        )
        where = starts(carrying)
        span = span_of_y(carrying[0])
        yield Finding(Level.HOLDS, Topic.GRADIENT, message, span, where)


def _bare(chosen: Sequence[Site], total: int) -> Iterator[Finding]:
    """The units that add nothing to what passes."""
    if chosen:
        message = (
            f"{places(chosen, total)}: no addition, so no F as in Eq. (5): dE/dx_L comes "
            "back to x_l as it is"
        )
        where = starts(chosen)
        span = span_of_y(chosen[0])
        yield Finding(Level.FACT, Topic.GRADIENT, message, span, where)


def _factors(site: Site) -> tuple[str, tuple[str, ...], Obstacle | None]:
    """The unit, what its shortcut multiplies a gradient by, node by node, and why."""
    name, parts = site.instance.block.name, site.parts
    if parts is None:
        stack = stacking(site.instance)
        return name, (stack.node.name,) if stack else (), Obstacle.NO_SUM
    span = breaks(parts)[0][0].span
    slopes = [_slope(node, parts, site.instance) for node, _ in breaks(parts)]
    nodes = [at(node, span) for node, _ in breaks(parts)]
    factors = tuple(f"{s} at {n}" for s, n in zip(slopes, nodes, strict=True))
    return name, factors, obstacle(site)


Factors = tuple[str, tuple[str, ...], Obstacle | None]


def _gathered(
    groups: Sequence[tuple[Factors, tuple[Site, ...]]],
) -> Iterator[tuple[Sequence[str], tuple[Site, ...]]]:
    """The factors and the units that have them; constants that depend on a unit's number
    together, from the first one to the last."""
    alike: dict[Any, list[tuple[Sequence[str], tuple[Site, ...]]]] = {}
    for (name, factors, why), group in groups:
        nodes = (
            [node.name for node, _ in breaks(group[0].parts)] if group[0].parts else ()
        )
        alike.setdefault((name, why, *nodes), []).append((factors, group))
    merged = [each for each in alike.values() if len(each) > LISTED]
    for (_, factors, _), group in groups:
        whole = next(
            (each for each in merged if any(g is group for _, g in each)), None
        )
        if whole is None:
            yield factors, group
        elif whole[0][1] is group:
            first, last = factors, whole[-1][0]
            ends = zip(first, last, strict=True)
            yield (
                [a if a == b else f"{a} up to {b}" for a, b in ends],
                tuple(site for _, sites in whole for site in sites),
            )


def _slope(node: Node, parts: Parts, instance: Instance) -> str:
    """The derivative through a node of the shortcut, its other inputs by their names."""
    return slope(node.op, *(_called(v, instance) for v in parts.beside[node.name]))


def _called(value: str, instance: Instance) -> str:
    """A value as a formula of the paths it is made of, `1 - g`, or by its path's name."""
    paths = {value: path for path, value in instance.flat.block.values.items()}
    formulas: dict[str, Syntax] = {}
    for node in instance.steps:
        known = {i: Name(paths[i]) for i in node.inputs if i in paths}
        made = formula(
            node.op, *(known.get(i) or formulas.get(i) or Name(i) for i in node.inputs)
        )
        if made is not None and len(str(made)) <= _LONGEST:
            formulas[node.name] = made
    return str(formulas.get(value) or paths.get(value, value))


def _no_sum(group: Sequence[Site], total: int) -> Finding:
    """What the gradient is where there is no addition."""
    what = ": the gradient is a product of the units' own derivatives"
    if (stack := stacking(group[0].instance)) is not None:
        what = f"; and yet {_kept(stack)}, whole, whatever the weights are"
    message = f"{places(group, total)}: no addition, so no 1 as in Eq. (5){what}"
    where = starts(group)
    return Finding(Level.FACT, Topic.GRADIENT, message, span_of_y(group[0]), where)


def _kept(stack: Stacking) -> str:
    """`dE/dx_l has the gradient of x's channels at concat1 as a term`."""
    if len(stack.inputs) > 1:
        names = listing([f"dE/d{x}" for x in stack.inputs], " and ")
        return f"{names} have the gradients of their channels at {stack.node.name} as terms"
    (x,) = stack.inputs
    name = "dE/dx_l" if x == INPUT else f"dE/d{x}"
    return f"{name} has the gradient of {x}'s channels at {stack.node.name} as a term"


def _replaced(
    group: Sequence[Site],
    parts: Parts,
    factors: Sequence[str],
    total: int,
    said: set[str],
) -> Finding:
    """What units without an identity path put in the place of the 1.

    `said` holds the remarks that earlier findings made, and need not be made again.
    """
    stretches, broken = segments(group), breaks(parts)
    several = max(map(units, stretches)) > 1
    product = ", multiplied over the units" if several else ""
    message = (
        f"{places(group, total)}: in place of the 1 of Eq. (5) stands{product}: "
        f"{' times '.join(factors[:LISTED])}{_remarks(parts, said)}"
    )
    where = tuple(s[0].path(node) for s in stretches for node, _ in broken)
    must = obstacle(group[0]) is Obstacle.SHAPE
    level = Level.FACT if must else Level.BROKEN
    return Finding(level, Topic.GRADIENT, message, broken[0][0].span, where)


def _remarks(parts: Parts, said: set[str]) -> str:
    """What the paper has to say of such nodes on h and in f, the first time."""
    on_h = dict.fromkeys(prose(node.op).on_shortcut for node in parts.breaks_h)
    in_f = dict.fromkeys(prose(node.op).after_addition for node in parts.breaks_f)
    text = ""
    for where, remarks in (("On h", on_h), ("In f", in_f)):
        fresh = [remark for remark in remarks if remark and remark not in said]
        said.update(fresh)
        text += f". {where}: {'; '.join(fresh)}" if fresh else ""
    return text


def _constants(found: Sequence[Site]) -> Iterator[Finding]:
    """The product of the constant factors on each stage's shortcuts, if there are any."""
    alike: dict[tuple[tuple[float, int], ...], list[tuple[Site, Node]]] = {}
    for _, stage in grouped(found, lambda site: site.stage):
        count: Counter[float] = Counter()
        scaling = [(site, *pair) for site in stage for pair in _gains(site)]
        for site, _, gain in scaling:
            count[gain] += site.count
        if scaling:
            alike.setdefault(tuple(count.items()), []).append(scaling[0][:2])
    for powers, firsts in alike.items():
        names = listing([site.stage for site, _ in firsts])
        text, value = _powers(powers)
        plain = (
            ": nothing passes the shortcuts, as in a plain net" if value == "0" else ""
        )
        message = (
            f"{names}: the constant factors on the shortcuts multiply to "
            f"{text} from exit to entry{plain}"
        )
        where = tuple(site.path(node) for site, node in firsts)
        span = firsts[0][1].span
        yield Finding(Level.BROKEN, Topic.GRADIENT, message, span, where)


def _gains(site: Site) -> Iterator[tuple[Node, float]]:
    """The nodes of a unit's shortcut that multiply it by a constant, and the constants."""
    for node, _ in breaks(site.parts) if site.parts else ():
        gain = node.op.gain()
        if gain is not None:
            yield node, gain


def _powers(powers: Sequence[tuple[float, int]]) -> tuple[str, str]:
    """`0.5^18 = 3.8e-06`, and the product alone."""
    shown = [f"{gain:g}" + f"^{n}" * (n > 1) for gain, n in powers]
    if len(shown) > LISTED:
        shown[2:-1] = ["..."]
    text = " * ".join(shown)
    value = _product(powers)
    return text if text == value else f"{text} = {value}", value


def _product(powers: Sequence[tuple[float, int]]) -> str:
    """A product of powers to two digits, also where it is too small for a float."""
    if any(gain == 0 for gain, _ in powers):
        return "0"
    exponent = sum(n * math.log10(abs(gain)) for gain, n in powers)
    negative = sum(n for gain, n in powers if gain < 0) % 2
    sign = "-" if negative else ""
    if abs(exponent) < 300:
        return f"{sign}{10**exponent:.2g}"
    return f"{sign}1e{exponent:+.0f}"


def _times(graph: Graph, group: Sequence[Site]) -> str:
    """How often a gradient that passes some of the units does: by each way that it may take
    from an output to the input, `2 or 3 times`."""
    dag = Dag[Row].of(graph.network.block)
    passed = {name: units(each) for name, each in grouped(group, lambda s: s.stage)}
    counts = {x: frozenset({0}) for x in dag.inputs}
    for name, reads in dag.reads.items():
        behind = frozenset[int]().union(*(counts[value] for value in reads))
        counts[name] = frozenset(n + passed.get(name, 0) for n in behind)
    ways = sorted(frozenset[int]().union(*(counts[v] for v in dag.outputs)) - {0})
    if len(ways) < 2:
        return so_often(*ways)
    least = "once" if ways[0] == 1 else str(ways[0])
    joint = " or " if len(ways) == 2 else " to "
    return f"{least}{joint}{so_often(ways[-1])}, by the way that it takes"


def _passed_by_all(
    graph: Graph, found: Sequence[Site], past: Collection[str], total: int
) -> Iterator[Finding]:
    """The nodes that all of a unit's paths share, and how often a gradient meets them.

    `past` has the stages that skip connections lead past.
    """

    def alike(site: Site) -> tuple[str, tuple[str, ...], bool]:
        names = tuple(node.name for node in passed_by_all(site.instance))
        return site.instance.block.name, names, site.stage in past

    met = False
    for (_, names, aside), group in grouped(found, alike):
        if not names:
            continue
        met = True
        nodes = passed_by_all(group[0].instance)
        span = nodes[0].span
        named = listing([at(node, span) for node in nodes], " and ")
        whole, count = [site.plain for site in group], units(group)
        comes = " that comes this way" if aside else ""
        times = _times(graph, group) if aside else so_often(count)
        message = (
            f"{places(whole, total)}: every gradient{comes} must pass {named}: {times}"
        )
        where = tuple(s[0].path(node) for s in segments(group) for node in nodes)
        yield Finding(Level.FACT, Topic.GRADIENT, message, span, where)
    if not met and found:
        message = "no unit has a node that changes the value and that every gradient must pass"
        yield Finding(Level.FACT, Topic.GRADIENT, message, span_of_y(found[0]))
