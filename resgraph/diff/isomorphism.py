"""Two units are the same graph: the pairing of their ops, if there is one.

Names do not count, nor does the order of paths, nor that of operands where the op does not
care. Shapes follow from the ops and the network's input, so ops alone decide.
"""

from __future__ import annotations

from collections.abc import Iterable

from resgraph.diagnostics import ResgraphError
from resgraph.graph import INPUT, Instance
from resgraph.graph import isomorphism as graphs
from resgraph.graph.isomorphism import INPUT as NETWORK
from resgraph.graph.isomorphism import Labelled, Pairing
from resgraph.limits import ISOMORPHISM_STEPS
from resgraph.ops import Op
from resgraph.ops.source import real
from resgraph.prove.dag import Dag
from resgraph.syntax import Name

Label = tuple[str, ...]
Repeats = Iterable[tuple[Instance, int]]
"""Units one after the other, each with how often."""
_LAYER = Name("layer")


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


def labels(instance: Instance) -> dict[str, Label]:
    """What each op of a unit does, in reading order."""
    steps = Dag.of(instance).steps.items()
    return {name: label(node.op, len(reads)) for name, (node, reads) in steps}


def labelled(instance: Instance) -> Labelled:
    """A unit's ops in reading order, which is a topological one, as a graph to compare."""
    dag = Dag.of(instance)
    number = {INPUT: NETWORK} | {name: i for i, name in enumerate(dag.steps)}
    ops = [(node.op, len(reads)) for node, reads in dag.steps.values()]
    return Labelled(
        [label(op, 2 if op.associates else count) for op, count in ops],
        [tuple(number[i] for i in reads) for reads in dag.reads.values()],
        [op.commutes for op, _ in ops],
        (number[dag.output],),
        associates=[op.associates for op, _ in ops],
        names=[*dag.steps],
        title=instance.unit.name,
    )


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


def rows_alike(a: Repeats, b: Repeats, regroup: bool) -> bool:
    """Whether the same units follow one another equally often, however the rows are cut.

    Raises `ResgraphError` as `isomorphism` does.
    """
    distinct = graphs.Distinct(regroup)
    try:
        ours, theirs = (
            [(distinct.number(labelled(unit)), count) for unit, count in row]
            for row in (a, b)
        )
    except graphs.UnsettledError as error:
        raise _too_symmetric(*error.args) from None
    return graphs.rows_alike(ours, theirs)


def _too_symmetric(a: str, b: str) -> ResgraphError:
    return ResgraphError(
        f"{a} and {b} are too symmetric to align: after {ISOMORPHISM_STEPS:,} steps it is "
        "not known whether they are the same graph",
        "ops that stand alike everywhere can be told apart by an attribute",
    )
