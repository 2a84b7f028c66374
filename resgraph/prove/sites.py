"""The network as units, each taken apart: what is only made of units is looked into.

Everything here costs as much as there are distinct units, however often they are repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from resgraph.diagnostics import plural
from resgraph.graph import HEAD, OUTPUT, STEM, Graph, Instance, Node, Part, Row, Run
from resgraph.graph.dag import Dag
from resgraph.graph.ir import row_values
from resgraph.graph.sites import Apart, between, listing, row_sites
from resgraph.graph.sites import Site as Blocks
from resgraph.ops import Op
from resgraph.prove.parts import Parts, is_identity, shortcuts, stacking


@dataclass(frozen=True)
class Site(Blocks):
    """Equal units in a row, taken apart, along one of the ways that lead through them."""

    start: int = 0
    """Sites whose numbers follow one another do so in the network."""
    length: int = 1
    """How many numbers one of its units takes."""
    loose: bool = False
    """It is no unit: the stem, the head, or ops between units."""
    inner: tuple[Site, ...] = ()
    """The units that it is made of and nothing else, one after the other."""
    shortcuts: tuple[Parts, ...] = ()
    """What it is in the paper's terms, for each input from which it is that."""
    parts: Parts | None = None
    """The one of them that is told of."""
    carries: bool = False
    """Whether a value passes as it is, or as a term of sums."""
    fed: tuple[bool, ...] = ()
    """By input, whether it comes from the site before; of all of them where nothing is said."""

    @property
    def end(self) -> int:
        return self.start + self.count * self.length

    def prefix(self, offset: int = 0) -> str:
        """Ops between units have the prefix of the unit that they are in."""
        if self.loose and self.outer:
            return self.outer.prefix()
        return super().prefix(offset)

    def part(self, first: int, count: int) -> Site:
        """So many of its units, from the one of that number among them."""
        start = self.start + first * self.length
        return replace(self, index=self.index + first, start=start, count=count)

    @property
    def plain(self) -> Site:
        """The same, not taken apart."""
        return replace(self, shortcuts=(), parts=None)

    @property
    def joined(self) -> bool:
        """Whether what passes comes from the site before it."""
        names = self.instance.block.inputs
        at = names.index(self.parts.x) if self.parts else 0
        return not self.fed or self.fed[at]

    @property
    def bare(self) -> bool:
        """Whether what passes does so with nothing added to it, as where a condition leaves
        the addition out."""
        return self.carries and self.parts is None

    @property
    def way(self) -> str:
        """` from skip`: which of several inputs is told of."""
        several = len(self.instance.block.inputs) > 1 and self.parts
        return f" from {self.parts.x}" if several and self.parts else ""


@dataclass(frozen=True)
class Stage:
    """A row of the network, be it a stage, the stem or the head, with its sites."""

    row: Row
    sites: tuple[Site, ...]

    @property
    def last(self) -> Instance:
        return self.sites[-1].instance

    @property
    def values(self) -> tuple[str, ...]:
        """What its values are called in the network."""
        return row_values(self.row.name, self.last.block.results)


def taken_apart(graph: Graph, apart: Apart | None = None) -> tuple[Stage, ...]:
    """The network's rows, stem and head among them. Units that differ in what reads their
    number are apart where their ops multiply by other constants, or where `apart` says so."""
    builder = _Builder(graph, apart or _by_gains)
    network = graph.network
    return tuple(builder.stage(row) for row in network.block.rows)


def sites(graph: Graph) -> tuple[Site, ...]:
    """The network's units in order; one of several inputs once for each residual way."""
    return units_of(taken_apart(graph))


def units_of(network: Iterable[Stage]) -> tuple[Site, ...]:
    """The same of rows that are taken apart."""
    found = (leaf for each in network for leaf in leaves(each.sites))
    return tuple(way for site in found if not site.loose for way in ways(site))


def leaves(found: Iterable[Site]) -> Iterator[Site]:
    """The sites, and in place of what is made of sites those."""
    for site in found:
        yield from leaves(site.inner) if site.inner else (site,)


def ways(site: Site) -> Iterator[Site]:
    """The site for each way through it: the one from its first input first."""
    yield from (replace(site, parts=p, carries=p.is_identity) for p in site.shortcuts)
    if not site.shortcuts:
        yield site


def segments(chosen: Iterable[Site]) -> list[tuple[Site, ...]]:
    """The sites, in the network's order, in groups in which each feeds the next."""
    groups: list[list[Site]] = []
    ending = dict[int, list[Site]]()
    for site in chosen:
        group = ending.get(site.start, []) if site.joined else []
        if not group:
            groups.append(group)
        group.append(site)
        ending.setdefault(site.end, group)
    return [tuple(group) for group in groups]


def starts(chosen: Iterable[Site]) -> tuple[str, ...]:
    """The first unit of each segment of them."""
    return tuple(segment[0].unit() for segment in segments(chosen))


def place_of(segment: Sequence[Site]) -> str:
    """`stage1.0`, or `stage1.1 to stage1.17`; with several inputs, from which."""
    first = segment[0]
    return f"{between(first, segment[-1])}{first.way}"


def places(chosen: Sequence[Site], total: int) -> str:
    """Where the sites are, and how many of the network's units: `stage1.0 (1 of 54 units)`."""
    names = listing([place_of(segment) for segment in segments(chosen)])
    return f"{names} ({units(chosen)} of {total} {plural(total, 'unit')})"


def units(chosen: Iterable[Site]) -> int:
    """How many units the sites have, each once."""
    return sum({site.start: site.units for site in chosen}.values())


def first_ways(chosen: Iterable[Site]) -> list[Site]:
    """Each unit once."""
    return [*{site.start: site for site in reversed([*chosen])}.values()][::-1]


# --- taking the network apart -----------------------------------------------------------


class _Builder:
    """Numbers the sites in order; each distinct unit is taken apart once."""

    def __init__(self, graph: Graph, apart: Apart) -> None:
        self.graph, self.apart = graph, apart
        self.at = 0
        self.before = ""
        self.known: dict[int, tuple[tuple[Parts, ...], bool]] = {}
        self.counted: dict[int, int] = {}

    def stage(self, row: Row) -> Stage:
        end = row.name in (STEM, HEAD)
        blocks = [*row_sites(row, self.graph.network.runs[row.name], None, self.apart)]
        fed = tuple(value.split(".")[0] == self.before for value in row.inputs)
        found = [
            self._site(each, fed if n == 0 else (), end)
            for n, each in enumerate(blocks)
        ]
        self.before = row.name
        return Stage(row, tuple(found))

    def _site(
        self, blocks: Blocks, fed: tuple[bool, ...] = (), loose: bool = False
    ) -> Site:
        made = vars(blocks)
        if self._is_composed(blocks.instance):
            site = Site(**made, start=self.at, fed=fed)
            first, *rest = self._inner(site)
            length = self.at - site.start
            self.at = site.start + length * site.count
            return replace(site, length=length, inner=(replace(first, fed=fed), *rest))
        ways, carries = self._taken_apart(blocks.instance)
        site = Site(
            **made, start=self.at, fed=fed, loose=loose, shortcuts=ways, carries=carries
        )
        self.at += 0 if loose and carries else site.count
        return site

    def _taken_apart(self, instance: Instance) -> tuple[tuple[Parts, ...], bool]:
        if id(instance) not in self.known:
            found = shortcuts(instance), is_identity(instance)
            self.known[id(instance)] = found
        return self.known[id(instance)]

    def _is_composed(self, instance: Instance) -> bool:
        """Whether it is a chain with several residual or dense units in it."""
        return self._residual(instance) > 1

    def _residual(self, instance: Instance) -> int:
        """How many such units follow one another in a chain of blocks; 0 for no such chain."""
        if id(instance) not in self.counted:
            block = instance.block
            inner = [run for row in block.rows for run in instance.runs[row.name]]
            plain = all(map(_is_plain, inner)) and Dag[Part].of(block).is_chain
            self.counted[id(instance)] = plain and sum(
                self._counts(each) * (run.count // len(run.instances))
                for run in inner
                for each in run.instances
            )
        return self.counted[id(instance)]

    def _counts(self, instance: Instance) -> int:
        several = self._residual(instance)
        if several > 1:
            return several
        return bool(self._taken_apart(instance)[0] or stacking(instance))

    def _inner(self, site: Site) -> Iterator[Site]:
        instance, value = site.instance, site.instance.block.inputs[0]
        for is_row, group in groupby(
            instance.block.nodes, lambda n: isinstance(n, Row)
        ):
            parts = [*group]
            for part in parts if is_row else ():
                assert isinstance(part, Row)
                for blocks in row_sites(
                    part, instance.runs[part.name], site, self.apart
                ):
                    yield self._site(blocks)
            if not is_row:
                piece = _piece(instance, value, tuple(parts))
                blocks = Blocks(site.row, 0, 1, site.call, piece, site)
                yield self._site(blocks, loose=True)
            value = parts[-1].name


def _is_plain(run: Run) -> bool:
    """Whether its blocks have one input and one output."""
    block = run.instances[0].block
    return len(block.inputs) == len(block.results) == 1


def _by_gains(run: Run) -> Callable[[Instance], Hashable] | None:
    """What tells units apart that differ in what reads their number: the constants that
    their ops multiply by, if these may read it."""
    if run.each is None or run.count == 1:
        return None
    some = [run[i].steps for i in {0, 1, min(2, run.count - 1), run.count - 1}]
    differing = (
        nodes for nodes in zip(*some, strict=True) if len({*map(_op, nodes)}) > 1
    )
    stated = any(type(nodes[0].op).gain is not Op.gain for nodes in differing)
    return _gains if stated else None


def _op(node: Node) -> str:
    return repr(node.op)


def _gains(instance: Instance) -> Hashable:
    shapes = instance.flat.shapes
    return tuple(
        node.op.gain(*(shapes[value] for value in node.inputs))
        for node in instance.steps
    )


def _piece(instance: Instance, start: str, nodes: tuple[Part, ...]) -> Instance:
    """Some ops of a chain as an instance of their own."""
    results = {OUTPUT: nodes[-1].name}
    block = replace(instance.block, nodes=nodes, inputs=(start,), outputs=results)
    return replace(instance, block=block, runs={})


def moved(site: Site, outer: Site, by: int) -> Site:
    """What is inside of a site, inside of another one of the same row: so much later."""
    here = replace(site, outer=outer, start=site.start + by)
    return replace(here, inner=tuple(moved(each, here, by) for each in site.inner))
