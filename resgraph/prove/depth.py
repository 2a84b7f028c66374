"""The depth as the paper counts it, held against the network's name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resgraph import codes
from resgraph.graph import Graph
from resgraph.prove.finding import Finding, Level, Topic, listing
from resgraph.prove.parts import longest
from resgraph.prove.sites import Site, grouped, units

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
class _Count:
    """Weight layers of the parts of a network, on its longest path."""

    stem: int
    head: int
    body: tuple[tuple[int, int], ...]
    """How many units have how many."""
    stages: int

    @property
    def total(self) -> int:
        return self.stem + self.head + sum(n * each for n, each in self.body)

    def told(self) -> str:
        terms = " + ".join(f"{n} x {each}" for n, each in self.body)
        body = f"{terms} in the units + " if terms else ""
        sums = f"{self.stem} in the stem + {body}{self.head} in the head"
        return f"{self.total} weight layers on the longest path: {sums}"

    def otherwise(self, family: str) -> Iterator[tuple[int, str]]:
        """The depths that are also said, and by which count."""
        short = self.total - max(self.stem - 1, 0) - max(self.head - 1, 0)
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


def depth(graph: Graph, found: Sequence[Site]) -> Iterator[Finding]:
    """The number of weight layers on the longest path, and whether the name says so."""
    layers = grouped(found, lambda site: longest(site.instance))
    count = _Count(
        longest(graph.stem) if graph.stem else 0,
        longest(graph.head) if graph.head else 0,
        tuple((units(group), each) for each, group in layers),
        len(graph.stages),
    )
    claim = _claim(graph.name, graph.options)
    family, named = claim or ("", count.total)
    other = next((how for n, how in count.otherwise(family) if n == named), None)
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
        f"{graph.name} is named after {named} layers, and has {count.told()}",
        graph.span,
        hint=f"mend the repeats, or the name{_formula(family)}",
    )


def _formula(family: str) -> str:
    """How many layers the family's networks have, where that is simply told."""
    if family.lower().startswith("dense"):
        return ""
    return (
        ": with n units a stage, three stages of basic units have 6n+2 layers, of "
        "bottlenecks 9n+2"
    )


def named_depth(name: str, options: str) -> int | None:
    """The depth that a network's name claims: `resnet164`, or `resnet164_depth29`.

    A name that the command line made of other settings claims none.
    """
    claim = _claim(name, options)
    return claim[1] if claim else None


def _claim(name: str, options: str) -> tuple[str, int] | None:
    """The family and the depth that a network's name claims."""
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
