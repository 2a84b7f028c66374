"""The depth as the paper counts it, held against the network's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from resgraph.graph import Graph
from resgraph.prove.finding import Finding, Level, Topic, listing
from resgraph.prove.parts import longest
from resgraph.prove.sites import Site, grouped, units

# Weight layers of F in the networks that the paper and [1] name so; ResNet-110 also comes
# with units of one layer.
_FAMILIES = {110: (1, 2), 1202: (2,), 164: (3,), 1001: (3,)}
_KINDS = {1: "one", 2: "two", 3: "three"}
_NAMED = re.compile(r"(?:^|_)(?<!wide_)(?:pre_?act_?)?res_?net_?(\d+)?(?=_|$)", re.I)
_SET = re.compile(r"_depth(\d+)(?=_|$)")


def depth(graph: Graph, found: Sequence[Site]) -> Iterator[Finding]:
    """The number of weight layers on the longest path, and whether the name says so."""
    stem = longest(graph.typed(graph.stem_run).unit)
    head = longest(graph.typed(graph.head_run).unit)
    layers = grouped(found, lambda site: longest(site.instance.unit))
    counted = stem + head + sum(each * units(group) for each, group in layers)
    terms = [f"{units(group)} x {each}" for each, group in layers]
    sum_text = (
        f"{stem} in the stem + {' + '.join(terms)} in the units + {head} in the head"
    )
    if not found:
        sum_text = f"{stem} in the stem + {head} in the head"
    named = named_depth(graph.name, graph.options)
    message = f"{counted} weight layers on the longest path: {sum_text}"
    if named in (None, counted):
        yield Finding(Level.FACT, Topic.DEPTH, message, graph.span)
    else:
        yield Finding(
            Level.SUSPECT,
            Topic.DEPTH,
            f"{graph.name} is named after {named} layers, and has {message}",
            graph.span,
            hint="mend the repeats, or the name: with n units a stage, three stages of "
            "basic units have 6n+2 layers, of bottlenecks 9n+2",
        )
    yield from _family(graph, found, named if named == counted else None)


def named_depth(name: str, options: str) -> int | None:
    """The depth that a network's name claims: `resnet164`, or `resnet164_depth29`.

    A name that the command line made of other settings claims none.
    """
    named = _NAMED.search(name)
    if named is None:
        return None
    if given := _SET.findall(name):
        return int(given[-1])
    if named[1] is None or "--set " in options:
        return None
    return int(named[1])


def _family(
    graph: Graph, found: Sequence[Site], named: int | None
) -> Iterator[Finding]:
    """A depth that is right, of units that the paper's network of this name has not."""
    usual = _FAMILIES.get(named or 0)
    layers = sorted({longest(site.instance.unit) for site in found if site.parts})
    if usual is None or not layers or set(layers) <= {*usual}:
        return
    having = listing([_KINDS.get(n, str(n)) for n in layers], " and ")
    wanted = listing([_KINDS[n] for n in usual], " or ")
    yield Finding(
        Level.SUSPECT,
        Topic.DEPTH,
        f"{graph.name} has units of {having} weight layers; the paper's "
        f"ResNet-{named} has units of {wanted}",
        graph.span,
        hint="ResNet-110 and 1202 are built of basic units, 164 and 1001 of bottlenecks",
    )
