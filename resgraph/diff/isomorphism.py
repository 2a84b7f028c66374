"""Two units are the same graph: the pairing of their ops, if there is one.

Names do not count, nor does the order of paths, nor that of operands where the op does not
care. Shapes follow from the ops and the network's input, so ops alone decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resgraph.graph import INPUT, Instance
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

    def ordered(self, name: str, values: list[Any]) -> tuple[Any, ...]:
        """What stands for an op's operands, sorted where their order does not matter."""
        return tuple(sorted(values) if name in self.free else values)


def isomorphism(a: Instance, b: Instance) -> dict[str, str] | None:
    """The ops of `a` with those of `b` that do the same in the same place; else None."""
    ours, theirs = Flat.of(a), Flat.of(b)
    if sorted(ours.labels.values()) != sorted(theirs.labels.values()):
        return None
    mine, others = _colours(ours, theirs)
    if sorted(mine.values()) != sorted(others.values()):
        return None
    return _paired(ours, theirs, mine, others)


def _colours(*graphs: Flat) -> list[dict[str, int]]:
    """A colour per value: equal ones cannot be told apart by what is around them."""
    starts = [
        {INPUT: ("", g.output == INPUT)}
        | {name: (g.labels[name], name == g.output) for name in g.names}
        for g in graphs
    ]
    colours, count = _numbered(starts), 0
    while count < (count := len({c for each in colours for c in each.values()})):
        around = [_around(g, c) for g, c in zip(graphs, colours, strict=True)]
        colours = _numbered(around)
    return colours


def _around(graph: Flat, colours: Mapping[str, int]) -> dict[str, Any]:
    """Each value's colour with those of what it is made of and of what reads it."""
    uses: dict[str, list[tuple[int, int]]] = {name: [] for name in colours}
    for name in graph.names:
        for place, value in enumerate(graph.reads[name]):
            uses[value].append((colours[name], 0 if name in graph.free else place))
    return {
        name: (
            colours[name],
            graph.ordered(name, [colours[i] for i in graph.reads.get(name, ())]),
            tuple(sorted(uses[name])),
        )
        for name in colours
    }


def _numbered(keys: list[dict[str, Any]]) -> list[dict[str, int]]:
    """Numbers in place of keys, the same number for equal keys."""
    known: dict[Any, int] = {}
    return [
        {name: known.setdefault(key, len(known)) for name, key in each.items()}
        for each in keys
    ]


def _paired(
    ours: Flat, theirs: Flat, mine: Mapping[str, int], others: Mapping[str, int]
) -> dict[str, str] | None:
    """Pair ops of one colour whose operands are paired; go back where that ends nowhere."""
    pairs = {INPUT: INPUT}

    def candidates(name: str) -> Iterator[str]:
        wanted = ours.ordered(name, [pairs[i] for i in ours.reads[name]])
        taken = set(pairs.values())
        for other in theirs.names:
            alike = other not in taken and others[other] == mine[name]
            if alike and theirs.ordered(other, [*theirs.reads[other]]) == wanted:
                yield other

    trail: list[Iterator[str]] = []
    while len(trail) < len(ours.names):
        trail.append(candidates(ours.names[len(trail)]))
        while (found := next(trail[-1], None)) is None:
            trail.pop()
            if not trail:
                return None
            del pairs[ours.names[len(trail) - 1]]
        pairs[ours.names[len(trail) - 1]] = found
    del pairs[INPUT]
    return pairs
