"""A network as rows of equal units, by the part they play: first of a stage, or repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from resgraph.diff.align import Pairs, aligned
from resgraph.diff.isomorphism import Label, isomorphism, labels
from resgraph.graph import Graph, Instance, Run
from resgraph.ops import Shape

STEM, HEAD = "stem", "head"


@dataclass(frozen=True)
class Units:
    """`count` units in a row that are the same graph; totals are over all of them."""

    part: str
    """`stem`, `stage1` and so on, `head`."""
    index: int
    """Of the first one in its stage."""
    name: str
    count: int
    instance: Instance
    """The first one."""
    output: Shape
    parameters: int
    multiply_adds: int

    @property
    def place(self) -> str:
        """`stem`, `stage1.0`, or `stage1.1 to stage1.17`."""
        if self.part in (STEM, HEAD):
            return self.part
        first = f"{self.part}.{self.index}"
        last = self.index + self.count - 1
        return first if self.count == 1 else f"{first} to {self.part}.{last}"

    @cached_property
    def ops(self) -> tuple[Label, ...]:
        """What its ops do, whatever their order."""
        return tuple(sorted(labels(self.instance).values()))

    @cached_property
    def counts(self) -> tuple[Counter[Label], Counter[str]]:
        """How many ops of each label it has, and of each kind."""
        return Counter(self.ops), Counter(label[0] for label in self.ops)

    def with_next(self, other: Units) -> Units:
        """Both in one row."""
        return replace(
            self,
            count=self.count + other.count,
            output=other.output,
            parameters=self.parameters + other.parameters,
            multiply_adds=self.multiply_adds + other.multiply_adds,
        )


def ends(graph: Graph) -> tuple[Units, Units]:
    """The stem and the head."""
    return _end(STEM, graph.stem_run), _end(HEAD, graph.head_run)


def _end(part: str, run: Instance | None) -> Units:
    instance = Graph.typed(run)
    costs = instance.parameters, instance.multiply_adds
    return Units(part, 0, part, 1, instance, instance.output, *costs)


def stages(graph: Graph) -> list[list[Units]]:
    """Each stage's first unit, and then the others, equal neighbours together."""
    return [
        _joined(_stage(f"stage{number}", runs))
        for number, runs in enumerate(graph.runs, 1)
    ]


def _joined(rows: Iterable[Units]) -> list[Units]:
    """Neighbours that are the same graph in one row, the first unit apart."""
    found: list[Units] = []
    for row in rows:
        last = found[-1].instance if len(found) > 1 else None
        if last and isomorphism(last, row.instance) is not None:
            found[-1] = found[-1].with_next(row)
        else:
            found.append(row)
    return found


def _stage(part: str, runs: Sequence[Run]) -> Iterator[Units]:
    index = 0
    for run in runs:
        for piece in _first_apart(run) if index == 0 else [run]:
            yield Units(
                part,
                index,
                piece.slot.unit,
                piece.count,
                piece.instances[0],
                piece.instances[-1].output,
                piece.total("parameters"),
                piece.total("multiply_adds"),
            )
            index += piece.count


def _first_apart(run: Run) -> list[Run]:
    """A run of one, and the rest of it."""
    if run.count == 1:
        return [run]
    rest = run.instances if len(run.instances) == 1 else run.instances[1:]
    return [
        replace(run, instances=run.instances[:1], count=1),
        replace(run, instances=rest, count=run.count - 1),
    ]


def side_by_side(a: Sequence[Units], b: Sequence[Units]) -> Pairs[Units]:
    """Two stages' rows: the first units together, the others by what they have in common."""
    firsts = [*zip(a[:1], b[:1], strict=False)]
    if not firsts:
        return [*((x, None) for x in a), *((None, y) for y in b)]
    rest = aligned(a[1:], b[1:], key=lambda row: (row.ops, row.count), worth=_alike)
    return [*firsts, *rest]


def _alike(a: Units, b: Units) -> float:
    """Twice the ops in common by the ops of both, with most of it for equal attributes.

    Never 0, since a unit in another's place is what became of it.
    """
    exact, kinds = a.counts[0] & b.counts[0], a.counts[1] & b.counts[1]
    total = len(a.ops) + len(b.ops)
    return 0.1 + (1.5 * exact.total() + 0.5 * kinds.total()) / max(total, 1)
