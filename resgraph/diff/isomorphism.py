"""Units, and networks of units, are the same graph: the pairing of their ops, if there is one.

Names do not count, nor does the order of paths, nor that of operands where the op does not
care, nor where a unit in a unit begins. Shapes follow from the ops and the network's input, so
ops alone decide.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain

from resgraph.diagnostics import ResgraphError
from resgraph.graph import Graph, Instance, Run
from resgraph.graph import isomorphism as graphs
from resgraph.graph.dag import Ops
from resgraph.graph.isomorphism import Labelled, Pairing, Parting, Repeated
from resgraph.limits import ISOMORPHISM_STEPS
from resgraph.ops import Op
from resgraph.ops.source import real
from resgraph.prove.sites import Site, Stage, taken_apart
from resgraph.syntax import Name

Label = tuple[str, ...]
_LAYER = Name("layer")
_WRITTEN_OUT = 10_000
"""Units in repeated units, and ops, that are written out one after the other to be compared."""


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


@dataclass(frozen=True)
class Likeness:
    """Up to what two networks are the same graph; of `False` alone, in every respect."""

    regrouped: bool = False
    """They are if sums of sums are sums."""
    recut: bool = False
    """They are as graphs of ops: their units begin and end elsewhere, or have their inputs
    and outputs in another order."""


def likeness(before: Graph, after: Graph) -> Likeness | None:
    """Up to what two networks are the same graph, wherever their stages begin; None: they
    are not.

    Raises `ResgraphError` as `isomorphism` does.
    """
    if before.input != after.input:
        return None
    if _same(before, after, regroup=True):
        with suppress(ResgraphError):  # too symmetric to know
            return Likeness(regrouped=not _same(before, after, regroup=False))
        return Likeness(regrouped=True)
    return _of_ops(before, after)


def _same(before: Graph, after: Graph, regroup: bool) -> bool:
    """Whether two networks are the same graph of the same units."""
    numbers = Numbers(regroup)
    ours, theirs = (_Network(graph, numbers).labelled() for graph in (before, after))
    found = graphs.isomorphism(ours, _in_order_of(before, after, theirs), regroup=False)
    if isinstance(found, Parting) and not found.settled:
        raise _too_symmetric(before.name, after.name)
    return isinstance(found, Pairing)


def _of_ops(before: Graph, after: Graph) -> Likeness | None:
    """The same, whatever their units are: of networks that are small enough to be written
    out, and alike enough for it to be worth it."""
    if before.network.parameters != after.network.parameters:
        return None
    if max(graph.network.nodes for graph in (before, after)) > _WRITTEN_OUT:
        return None
    ours, theirs = (labelled(graph.network) for graph in (before, after))
    found = graphs.isomorphism(ours, _in_order_of(before, after, theirs))
    return Likeness(found.regrouped, True) if isinstance(found, Pairing) else None


def _in_order_of(before: Graph, after: Graph, theirs: Labelled) -> Labelled:
    """What is compared with the outputs of `before`."""
    names = [[*graph.network.block.results] for graph in (before, after)]
    outputs = tuple(theirs.outputs[i] for i in graphs.in_order_of(*names))
    return replace(theirs, outputs=outputs)


Source = int | tuple[int, int, int]
"""A value in the network: a node, or of one that has several an output, its number and how
many there are."""


class _Network:
    """A network as a graph of its units.

    A unit that reads all values of another one, in order, reads its node, so that it does not
    matter whether a stage begins there. Of another unit it reads single values.
    """

    def __init__(self, graph: Graph, numbers: Numbers) -> None:
        self.numbers = numbers
        self.labels: list[Hashable] = []
        self.reads: list[tuple[int, ...]] = []
        self.block = graph.network.block
        self.values: dict[str, Source] = {
            x: -1 - i for i, x in enumerate(self.block.inputs)
        }
        self.single: dict[Source, int] = {}
        for stage in taken_apart(graph, apart):
            self._row(stage)

    def labelled(self) -> Labelled:
        results = [self.values[v] for v in self.block.results.values()]
        outputs = tuple(map(self._single, results))
        swaps = [False] * len(self.labels)
        return Labelled(self.labels, self.reads, swaps, outputs, len(self.block.inputs))

    def _row(self, stage: Stage) -> None:
        given = self._read([self.values[value] for value in stage.row.inputs])
        for label, count in chain(*map(self._pieces, stage.sites)):
            node = self._node(Repeated(((label, count),)), given)
            given = (node,)
        names = stage.values
        if len(names) == 1:
            self.values[names[0]] = given[0]
        else:
            all_of = ((given[0], i, len(names)) for i in range(len(names)))
            self.values |= zip(names, all_of, strict=True)

    def _read(self, values: Sequence[Source]) -> tuple[int, ...]:
        first = values[0]
        if not isinstance(first, int):
            node, _, count = first
            if [*values] == [(node, i, count) for i in range(count)]:
                return (node,)
        return tuple(map(self._single, values))

    def _single(self, value: Source) -> int:
        """The node of one value."""
        if isinstance(value, int):
            return value
        if value not in self.single:
            node, number, _ = value
            self.single[value] = self._node(("output", number), (node,))
        return self.single[value]

    def _node(self, label: Hashable, reads: tuple[int, ...]) -> int:
        self.labels.append(label)
        self.reads.append(reads)
        return len(self.labels) - 1

    def _pieces(self, site: Site) -> Iterator[tuple[Hashable, int]]:
        """What stands for a site, as (label, how often): for what is made of units those."""
        if not site.inner:
            if site.instance.steps or not _is_single(site.instance):
                yield self.numbers.of(site.instance), site.count
            return
        inner = tuple(chain(*map(self._pieces, site.inner)))
        if len(inner) * site.count <= _WRITTEN_OUT:
            yield from inner * site.count
        else:
            yield inner, site.count


def _is_single(instance: Instance) -> bool:
    """Whether it has one input and one output: without ops, it is nothing then."""
    return len(instance.block.inputs) == len(instance.block.results) == 1


def _too_symmetric(a: str, b: str) -> ResgraphError:
    return ResgraphError(
        f"{a} and {b} are too symmetric to align: after {ISOMORPHISM_STEPS:,} steps it is "
        "not known whether they are the same graph",
        "ops that stand alike everywhere can be told apart by an attribute",
    )
