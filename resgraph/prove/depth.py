"""The depth as the paper counts it, held against the network's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from resgraph import codes
from resgraph.diagnostics import plural
from resgraph.graph import HEAD, STEM, Graph
from resgraph.graph.sites import listing
from resgraph.prove.finding import Finding, Level, Topic
from resgraph.prove.parts import lengths, longest
from resgraph.prove.sites import Site, Stage, taken_apart

# Weight layers of F in the networks that the paper and [1] name so; ResNet-110 also comes
# with units of one layer.
_FAMILIES = {110: (1, 2), 1202: (2,), 164: (3,), 1001: (3,)}
_KINDS = {1: "one", 2: "two", 3: "three"}
# Families whose names say how many layers there are. Not Inception-ResNet's, and not VGG's:
# for CIFAR, its head is usually cut to one layer, and the number in the name stays.
_NAMED = re.compile(
    r"(?:^|_)(?<!inception_)(?P<family>(?:wide_?)?(?:pre_?act_?)?res_?net|wrn|res_?ne_?xt|dense_?net"
    r"|pyramid_?net|plain(?:_?net)?)_?(?P<depth>\d+)?(?=_|$)",
    re.I,
)
_SET = re.compile(r"_depth(\d+)(?=_|$)")


@dataclass(frozen=True)
class Depth:
    """Weight layers of the parts of a network, on the longest path to a value; None of what
    it does not pass."""

    stem: int | None = None
    head: int | None = None
    body: tuple[tuple[int, int], ...] = ()
    """How many units have how many."""
    stages: int = 0

    @property
    def total(self) -> int:
        ends = (self.stem or 0) + (self.head or 0)
        return ends + sum(n * each for n, each in self.body)

    def behind(self, site: Site, layers: int, units: int) -> Depth:
        """The count behind so many units of so many layers each."""
        if site.loose and site.stage == STEM:
            return replace(self, stem=(self.stem or 0) + layers * units)
        if site.loose and site.stage == HEAD:
            return replace(self, head=(self.head or 0) + layers * units)
        if site.loose and not layers:
            return self
        body = {each: count for count, each in self.body}
        body[layers] = body.get(layers, 0) + units
        return replace(self, body=tuple((n, each) for each, n in body.items()))

    def told(self) -> str:
        terms = " + ".join(f"{n} x {each}" for n, each in self.body)
        parts = (self.stem, "stem"), (terms or None, "units"), (self.head, "head")
        sums = " + ".join(f"{n} in the {part}" for n, part in parts if n is not None)
        layers = plural(self.total, "weight layer")
        return f"{self.total} {layers} on the longest path: {sums}"

    def otherwise(self, family: str) -> Iterator[tuple[int, str]]:
        """The depths that are also said, and by which count."""
        if self.head is None:
            yield self.total + 1, "with the classifier that it is without"
        short = self.total - max((self.stem or 0) - 1, 0) - max((self.head or 0) - 1, 0)
        yield short, "where stem and head count as one layer each"
        if family.lower().startswith("w"):
            wide = self.total + self.stages - 1
            yield (
                wide,
                (
                    "as Wide ResNets are counted: a projection in each stage, and not the "
                    "last linear layer"
                ),
            )


def depth(
    graph: Graph, network: Sequence[Stage], found: Sequence[Site]
) -> Iterator[Finding]:
    """The number of weight layers on the longest path to each output, and whether the name
    of a network of one path says so."""
    counts = depths(graph, network)
    results = graph.network.block.results
    if len(results) > 1 or not all(all(each.sites[0].fed) for each in network[1:]):
        for name in results:
            before = f"the output {name}: " if len(results) > 1 else ""
            message = f"{before}{counts[name].told()}"
            yield Finding(Level.FACT, Topic.DEPTH, message, graph.span)
        return
    (count,) = counts.values()
    yield from _named_so(graph, count, found)


def _named_so(graph: Graph, count: Depth, found: Sequence[Site]) -> Iterator[Finding]:
    claim = claimed(graph.name, graph.options)
    family, named = claim or ("", count.total)
    ways = count.otherwise(family)
    other = next((how for n, how in ways if n == named), None)
    if named == count.total or other is not None:
        said = "" if named == count.total else f"; {named} {other}"
        message = f"{count.told()}{said}"
        yield Finding(Level.FACT, Topic.DEPTH, message, graph.span)
        if claim:
            yield from _family(graph, found, named)
        return
    yield Finding(
        codes.WRONG_DEPTH,
        Topic.DEPTH,
        f"{graph.name} is named after {named} {plural(named, 'layer')}, and has {count.told()}",
        graph.span,
        hint=f"mend the repeats, or the name{_formula(family)}",
    )


def depths(graph: Graph, network: Sequence[Stage] | None = None) -> dict[str, Depth]:
    """By output of the network, the longest path to it."""
    network = network or taken_apart(graph)
    start = Depth(stages=len(graph.stages))
    made = dict.fromkeys(graph.network.block.inputs, start)
    for stage in network:
        given = [made[value] for value in stage.row.inputs]
        for site in stage.sites:
            given = _through(site, given)
        made |= zip(stage.values, given, strict=True)
    return {name: made[value] for name, value in graph.network.block.results.items()}


def _through(site: Site, given: list[Depth], times: int = 1) -> list[Depth]:
    """The longest paths behind all units of a site, from those before it."""
    times *= site.count
    for inner in site.inner:
        given = _through(inner, given, times)
    if site.inner:
        return given
    ways = lengths(site.instance)
    for done in range(1, times + 1):
        after = [_longest(site, given, way) for way in ways]
        grown = {b.total - a.total for a, b in zip(given, after, strict=False)}
        given = after
        if len(given) == len(site.instance.block.inputs) and len(grown) == 1:
            rest = times - done
            return [c.behind(site, max(grown), rest) for c in given] if rest else given
    return given


def _longest(site: Site, given: Sequence[Depth], way: Sequence[int | None]) -> Depth:
    ends = [
        count.behind(site, layers, 1)
        for count, layers in zip(given, way, strict=True)
        if layers is not None
    ]
    return max(ends, key=lambda count: count.total)


def _formula(family: str) -> str:
    """How many layers the family's networks have, where that is simply told."""
    if family.lower().startswith("dense"):
        return ""
    return (
        ": with n units a stage, three stages of basic units have 6n+2 layers, of "
        "bottlenecks 9n+2"
    )


def claimed(name: str, options: str) -> tuple[str, int] | None:
    """The family and the depth that a network's name claims: `resnet164`, or
    `resnet164_depth29`.

    A name that the command line made of other settings claims none.
    """
    named = _NAMED.search(name)
    if named is None:
        return None
    if given := _SET.findall(name):
        return named["family"], int(given[-1])
    if named["depth"] is None or "--set " in options:
        return None
    return named["family"], int(named["depth"])


def _family(graph: Graph, found: Sequence[Site], named: int) -> Iterator[Finding]:
    """A depth that is right, of units that the paper's network of this name has not."""
    usual = _FAMILIES.get(named)
    layers = sorted({longest(site.instance) for site in found if site.parts})
    if usual is None or not layers or set(layers) <= {*usual}:
        return
    having = listing([_KINDS.get(n, str(n)) for n in layers], " and ")
    wanted = listing([_KINDS[n] for n in usual], " or ")
    yield Finding(
        codes.UNUSUAL_UNITS,
        Topic.DEPTH,
        f"{graph.name} has units of {having} weight layers; the paper's "
        f"ResNet-{named} has units of {wanted}",
        graph.span,
        hint="ResNet-110 and 1202 are built of basic units, 164 and 1001 of bottlenecks",
    )
