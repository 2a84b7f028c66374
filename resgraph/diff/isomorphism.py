"""Two units are the same graph: the pairing of their ops, if there is one.

Names do not count, nor does the order of paths, nor that of operands where the op does not
care. Shapes follow from the ops and the network's input, so ops alone decide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from resgraph.diagnostics import ResgraphError
from resgraph.graph import INPUT, Instance
from resgraph.graph import isomorphism as graphs
from resgraph.graph.isomorphism import INPUT as NETWORK
from resgraph.graph.isomorphism import Labelled
from resgraph.limits import ISOMORPHISM_STEPS
from resgraph.ops import Op
from resgraph.ops.source import real
from resgraph.prove.dag import Dag
from resgraph.syntax import Name

Label = tuple[str, ...]
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


@dataclass(frozen=True)
class Flat:
    """A unit's ops in reading order, which is a topological one, with what each reads."""

    names: tuple[str, ...]
    labels: Mapping[str, Label]
    reads: Mapping[str, tuple[str, ...]]
    free: frozenset[str]
    """The ops whose operands may be swapped."""
    output: str

    @classmethod
    def of(cls, instance: Instance) -> Flat:
        dag = Dag.of(instance)
        ops = {name: (node.op, len(reads)) for name, (node, reads) in dag.steps.items()}
        return cls(
            tuple(ops),
            {name: label(*op) for name, op in ops.items()},
            dag.reads,
            frozenset(name for name, (op, _) in ops.items() if op.commutes),
            dag.output,
        )

    @property
    def labelled(self) -> Labelled:
        """The same with numbers in place of names."""
        number = {INPUT: NETWORK} | {name: i for i, name in enumerate(self.names)}
        return Labelled(
            [self.labels[name] for name in self.names],
            [tuple(number[i] for i in self.reads[name]) for name in self.names],
            [name in self.free for name in self.names],
            number[self.output],
        )


def isomorphism(a: Instance, b: Instance) -> dict[str, str] | None:
    """The ops of `a` with those of `b` that do the same in the same place; else None.

    Raises `ResgraphError` where that is not known within a bounded number of steps.
    """
    ours, theirs = Flat.of(a), Flat.of(b)
    if Counter(ours.labels.values()) != Counter(theirs.labels.values()):
        return None
    try:
        pairs = graphs.isomorphism(ours.labelled, theirs.labelled)
    except graphs.UnsettledError:
        raise ResgraphError(
            f"{a.unit.name} and {b.unit.name} are too symmetric to align: after "
            f"{ISOMORPHISM_STEPS:,} steps it is not known whether they are the same graph",
            "ops that stand alike everywhere can be told apart by an attribute",
        ) from None
    if pairs is None:
        return None
    return {x: theirs.names[j] for x, j in zip(ours.names, pairs, strict=True)}
