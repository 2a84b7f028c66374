"""Units, and networks of units, are the same graph: the pairing of their ops, if there is one.

Names do not count, nor does the order of paths, nor that of operands where the op does not
care, nor where a unit in a unit begins. Shapes follow from the ops and the network's input, so
ops alone decide.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph, Instance, Run
from resgraph.graph import isomorphism as graphs
from resgraph.graph.dag import Ops
from resgraph.graph.isomorphism import Labelled, Pairing, Parting, Repeated
from resgraph.graph.sites import row_values
from resgraph.limits import ISOMORPHISM_STEPS
from resgraph.ops import Op
from resgraph.ops.source import real
from resgraph.prove.sites import Site, Stage, taken_apart
from resgraph.syntax import Name

Label = tuple[str, ...]
_LAYER = Name("layer")
_WRITTEN_OUT = 10_000
"""Units in repeated units that are written out one after the other to be compared."""


def label(op: Op, count: int) -> Label:
    """What a resolved op does to `count` values, names left out and defaults filled in.

    The op's own PyTorch text says it: `padding: 1` and what stands for it read the same.
    """
    values = [Name(f"v{i}") for i in range(count)]
    starts = {k: v for k, v in op.starts().items() if v != op.torch_starts.get(k)}
    return (
        op.kind,
        str(op.torch_layer(*[Name("c")] * count)),
        str(
            op.torch_call(_LAYER, *values, number=lambda name: real(getattr(op, name)))
        ),
        *(str(start.torch(Name(name))) for name, start in starts.items()),
    )


def labels(instance: Instance) -> tuple[Label, ...]:
    """What each op of a unit does, in reading order."""
    return tuple(label(node.op, len(node.inputs)) for node in instance.steps)


def labelled(instance: Instance) -> Labelled:
    """A unit's ops in reading order, which is a topological one, as a graph to compare."""
    dag = Ops.of(instance.flat.block)
    number = {x: -1 - i for i, x in enumerate(dag.inputs)}
    number |= {name: i for i, name in enumerate(dag.nodes)}
    ops = [(node.op, len(dag.reads[name])) for name, node in dag.nodes.items()]
    return Labelled(
        [label(op, 2 if op.associates else count) for op, count in ops],
        [tuple(number[i] for i in reads) for reads in dag.reads.values()],
        [op.commutes for op, _ in ops],
        tuple(number[value] for value in dag.outputs),
        inputs=len(dag.inputs),
        associates=[op.associates for op, _ in ops],
        names=[*dag.nodes],
        title=instance.block.name,
    )


def apart(run: Run) -> Callable[[Instance], Hashable] | None:
    """Units of a run that differ in what reads their number are apart where that is an op."""
    return labels if run.each else None


def isomorphism(a: Instance, b: Instance) -> dict[str, str] | None:
    """The ops of `a` with those of `b` that do the same in the same place; else None.

    Raises `ResgraphError` where that is not known within a bounded number of steps.
    """
    ours, theirs = labelled(a), labelled(b)
    found = graphs.isomorphism(ours, theirs, regroup=False)
    if isinstance(found, Pairing):
        pairs = found.nodes.items()
        return {str(ours.names[i]): str(theirs.names[j]) for i, j in pairs}
    if not found.settled:
        raise _too_symmetric(ours.title, theirs.title)
    return None


def regrouped(a: Instance, b: Instance) -> bool:
    """Whether two units that are not the same graph are, if sums of sums are sums."""
    return isinstance(graphs.isomorphism(labelled(a), labelled(b)), Pairing)


@dataclass
class Numbers:
    """A number for each unit, the same one for units that are the same graph.

    With `regroup`, up to how sums are grouped.
    """

    regroup: bool = False
    _distinct: graphs.Distinct = field(init=False)
    _known: dict[int, tuple[int, Instance]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._distinct = graphs.Distinct(self.regroup)

    def digest(self, instance: Instance) -> str:
        """The same one for units that are the same graph, and hardly for any others."""
        return graphs.canonical(labelled(instance), self.regroup)

    def of(self, instance: Instance) -> int:
        """Raises `ResgraphError` as `isomorphism` does."""
        if id(instance) not in self._known:
            try:
                number = self._distinct.number(labelled(instance))
            except graphs.UnsettledError as error:
                raise _too_symmetric(*error.args) from None
            self._known[id(instance)] = (
                number,
                instance,
            )  # kept, so that no other has its id
        return self._known[id(instance)][0]


def same(before: Graph, after: Graph, regroup: bool) -> bool:
    """Whether two networks are the same graph, wherever their stages and units begin.

    Raises `ResgraphError` as `isomorphism` does.
    """
    numbers = Numbers(regroup)
    ours, theirs = (_Network(graph, numbers).labelled() for graph in (before, after))
    found = graphs.isomorphism(ours, theirs, regroup=False)
    if isinstance(found, Parting) and not found.settled:
        raise _too_symmetric(before.name, after.name)
    return isinstance(found, Pairing)


class _Network:
    """A network as a graph of its units."""

    def __init__(self, graph: Graph, numbers: Numbers) -> None:
        self.numbers = numbers
        self.labels: list[Hashable] = []
        self.reads: list[tuple[int, ...]] = []
        self.block = graph.network.block
        self.values = {x: -1 - i for i, x in enumerate(self.block.inputs)}
        for stage in taken_apart(graph, apart):
            self._row(stage)

    def labelled(self) -> Labelled:
        outputs = tuple(self.values[v] for v in self.block.results.values())
        swaps = [False] * len(self.labels)
        return Labelled(self.labels, self.reads, swaps, outputs, len(self.block.inputs))

    def _row(self, stage: Stage) -> None:
        given = tuple(self.values[value] for value in stage.row.inputs)
        for label, count in chain(*map(self._pieces, stage.sites)):
            node = self._node(Repeated(((label, count),)), given)
            given = (node,)
        names = row_values(stage.row, stage.last)
        if len(names) > 1:
            given = tuple(self._node(("output", i), given) for i in range(len(names)))
        self.values |= zip(names, given, strict=True)

    def _node(self, label: Hashable, reads: tuple[int, ...]) -> int:
        self.labels.append(label)
        self.reads.append(reads)
        return len(self.labels) - 1

    def _pieces(self, site: Site) -> Iterator[tuple[Hashable, int]]:
        """What stands for a site, as (label, how often): for what is made of units those."""
        if not site.inner:
            if site.instance.steps:
                yield self.numbers.of(site.instance), site.count
            return
        inner = tuple(chain(*map(self._pieces, site.inner)))
        if len(inner) * site.count <= _WRITTEN_OUT:
            yield from inner * site.count
        else:
            yield inner, site.count


def _too_symmetric(a: str, b: str) -> ResgraphError:
    return ResgraphError(
        f"{a} and {b} are too symmetric to align: after {ISOMORPHISM_STEPS:,} steps it is "
        "not known whether they are the same graph",
        "ops that stand alike everywhere can be told apart by an attribute",
    )
