"""A network as rows of equal units, by the part they play: first of a stage, or repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile

from resgraph.diff.align import Pairs, aligned
from resgraph.diff.isomorphism import Label, Numbers, labels
from resgraph.graph import Instance
from resgraph.graph.sites import between
from resgraph.ops import Shape
from resgraph.prove.sites import Site, Stage, leaves


@dataclass(frozen=True)
class Units:
    """`count` units in a row that are the same graph; totals are over all of them."""

    part: str
    """`stem`, `stage1` and so on, `head`; `stage1.0.blocks` of units in a unit."""
    index: int
    """Of the first one in its stage."""
    name: str
    count: int
    instance: Instance
    """The first one."""
    output: Shape
    parameters: int
    multiply_adds: int
    place: str
    """`stem`, `stage1.0`, or `stage1.1 to stage1.17`."""
    sites: tuple[Site, ...]
    """Where they are."""

    @property
    def is_end(self) -> bool:
        """Whether it is a stem or a head."""
        return self.part == self.name

    @cached_property
    def ops(self) -> tuple[Label, ...]:
        """What its ops do, whatever their order."""
        return tuple(sorted(labels(self.instance)))

    @cached_property
    def counts(self) -> tuple[Counter[Label], Counter[str]]:
        """How many ops of each label it has, and of each kind."""
        return Counter(self.ops), Counter(label[0] for label in self.ops)

    def with_next(self, other: Units) -> Units:
        """Both in one row."""
        found = (*self.sites, *other.sites)
        return replace(
            self,
            count=self.count + other.count,
            output=other.output,
            parameters=self.parameters + other.parameters,
            multiply_adds=self.multiply_adds + other.multiply_adds,
            place=between(found[0], found[-1]),
            sites=found,
        )

    def cut(self, sizes: Iterable[int]) -> list[Units | None]:
        """Rows of so many of the units, in order; none at all where a cut would lie within
        units that are repeated together."""
        sites, found = [*self.sites], list[Units | None]()
        for size in sizes:
            row = None
            while left := size - (row.count if row else 0):
                site = sites.pop(0)
                if site.units > left:
                    if site.units != site.count:
                        return []
                    sites.insert(0, site.part(left, site.count - left))
                    site = site.part(0, left)
                row = row.with_next(_units(site)) if row else _units(site)
            found.append(row)
        return found


def rows_of(stage: Stage, numbers: Numbers) -> list[Units]:
    """A stage's first unit, and then the others, equal neighbours together."""
    found: list[Units] = []
    for units in _pieces(stage):
        if len(found) > 1 and _continues(found[-1], units, numbers):
            found[-1] = found[-1].with_next(units)
        else:
            found.append(units)
    return found


def _continues(row: Units, units: Units, numbers: Numbers) -> bool:
    """Whether a row goes on with the same graph, in the same unit where it is in one."""
    same = numbers.of(row.instance) == numbers.of(units.instance)
    return same and row.sites[-1].outer is units.sites[0].outer


def _pieces(stage: Stage) -> Iterator[Units]:
    first = True
    for site in leaves(stage.sites):
        if first and site.count > 1:
            yield _units(site.part(0, 1))
            site = site.part(1, site.count - 1)
        first = False
        yield _units(site)


def _units(site: Site) -> Units:
    instance, end = site.instance, site.loose and site.outer is None
    part = site.row.name if site.outer is None else site.outer.prefix() + site.row.name
    name = site.row.name if end and not site.unit() else site.call.block
    return Units(
        part,
        site.index,
        name,
        site.units,
        instance,
        instance.output,
        instance.parameters * site.units,
        instance.multiply_adds * site.units,
        site.place or site.row.name,
        (site,),
    )


def side_by_side(a: Sequence[Units], b: Sequence[Units]) -> Pairs[Units]:
    """Two stages' rows: the first units together, the others by what they have in common."""
    firsts = [*zip(a[:1], b[:1], strict=False)]
    if not firsts:
        return [*((x, None) for x in a), *((None, y) for y in b)]
    rest = aligned(a[1:], b[1:], key=lambda row: (row.ops, row.count), worth=_alike)
    return [*firsts, *_in_their_places(rest)]


def _in_their_places(pairs: Pairs[Units]) -> Pairs[Units]:
    """What stands alone beside a row that is shorter than it was is what became of its rest."""
    done: Pairs[Units] = []
    left = [*pairs]
    while left:
        one, two = left.pop(0)
        if not one or not two or one.count == two.count:
            done.append((one, two))
            continue
        swapped = one.count < two.count
        longer, shorter = (two, one) if swapped else (one, two)
        before, after = _alone(done[::-1], swapped)[::-1], _alone(left, swapped)
        rows = [*before, shorter, *after]
        parts = _shared(longer, rows, len(before))
        del done[len(done) - len(before) :], left[: len(after)]
        both = zip(rows, parts, strict=True)
        done += [(r, p) if swapped else (p, r) for r, p in both]
    return done


def _alone(pairs: Pairs[Units], swapped: bool) -> list[Units]:
    """The rows of the second side (swapped: the first) before the first pair of another kind."""
    sides = (pair[::-1] if swapped else pair for pair in pairs)
    return [two for one, two in takewhile(lambda side: side[0] is None, sides) if two]


def _shared(row: Units, among: Sequence[Units], at: int) -> list[Units | None]:
    """The parts of a row that stand against shorter ones, in order: what is left over is
    that of the one at a place."""
    spare, sizes = row.count - among[at].count, list[int]()
    for i, other in enumerate(among):
        sizes.append(other.count if i == at else min(other.count, spare))
        spare -= 0 if i == at else sizes[i]
    sizes[at] += spare
    return row.cut(sizes) or [row if i == at else None for i in range(len(among))]


def _alike(a: Units, b: Units) -> float:
    """Twice the ops in common by the ops of both, with most of it for equal attributes.

    Never 0, since a unit in another's place is what became of it.
    """
    exact, kinds = a.counts[0] & b.counts[0], a.counts[1] & b.counts[1]
    total = len(a.ops) + len(b.ops)
    return 0.1 + (1.5 * exact.total() + 0.5 * kinds.total()) / max(total, 1)
