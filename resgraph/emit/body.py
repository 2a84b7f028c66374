"""A block as the chains of ops and units that a class computes one after the other.

The network's stem and head are no classes of their own: their ops stand among its stages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from resgraph.graph import OUTPUT, Block, Instance, Part, Path, Row, Run, Style
from resgraph.names import variable
from resgraph.ops import Shape

CHAIN = "x"
"""What the network calls all its values, where each is read by the next part alone."""


@dataclass(frozen=True)
class Chain:
    """Ops and units, each of which reads what the one before it makes."""

    name: str
    """What other chains call its value."""
    sources: tuple[str, ...]
    nodes: tuple[Part, ...]
    wanted: str
    """The variable that a person would take."""
    section: str = ""
    """The row of the network that it is, or is in."""


@dataclass(frozen=True)
class Body:
    """What a class computes, in one instance of its block.

    The chains are as they are written; the instances have what is there, with shapes.
    """

    inputs: tuple[str, ...]
    chains: tuple[Chain, ...]
    results: Mapping[str, str]
    """By the name of each output, the chain that makes it, or its value `chain.output`."""
    instances: tuple[Instance, ...]
    """The block's; of the network, with those of stem and head behind it."""

    @property
    def instance(self) -> Instance:
        """The block's."""
        return self.instances[0]

    @property
    def nodes(self) -> Iterator[Part]:
        """All ops and rows, whether they are there or not."""
        return (node for chain in self.chains for node in chain.nodes)

    @cached_property
    def present(self) -> frozenset[str]:
        """The names of the ops and rows that are there."""
        return frozenset(n.name for each in self.instances for n in each.block.nodes)

    @cached_property
    def heavy(self) -> frozenset[str]:
        """The names of those that multiply, as convolutions do."""
        found: set[str] = set()
        for each in self.instances:
            for node in each.block.ops:
                given = (each.shapes[i] for i in node.inputs)
                found |= {node.name} if node.op.multiply_adds(*given) else set()
            for name, runs in each.runs.items():
                total = sum(run.total("multiply_adds") for run in runs)
                found |= {name} if total else set()
        return frozenset(found)

    def runs(self, row: Row) -> Sequence[Run]:
        """The runs of a row; none where it is not there."""
        found = (
            each.runs[row.name] for each in self.instances if row.name in each.runs
        )
        return next(found, ())

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shapes of the values that something makes."""
        every = reversed(self.instances)  # the block's own input is the network's
        return {name: shape for each in every for name, shape in each.shapes.items()}


def unit_body(block: Block, instance: Instance) -> Body:
    """A unit as it is written, with the shapes of one of its instances."""
    chains = tuple(
        Chain(path.name, path.sources, nodes, variable(path.name))
        for path, nodes in block.chains
    )
    return Body(block.inputs, chains, _results(block), (instance,))


def network_body(network: Instance) -> Body:
    """The network, with the ops of stem and head in their places."""
    block, chains = network.block, list[Chain]()
    instances = [network]
    alike = _is_chain(block)
    for path, (row,) in block.chains:
        assert isinstance(row, Row)
        wanted = CHAIN if alike else row.name
        if row.style is Style.INLINE:
            end = network.runs[row.name][0].instances[0]
            instances.append(end)
            chains += _inlined(path, end.block, wanted)
        else:
            chains.append(Chain(path.name, path.sources, (row,), wanted, row.name))
    return Body(block.inputs, tuple(chains), _results(block), tuple(instances))


def _is_chain(block: Block) -> bool:
    """Whether each row reads the one before it, and nothing else does."""
    before = block.inputs[0]
    for row in block.rows:
        if row.inputs != (before,):
            return False
        before = row.name
    return tuple(block.results.values()) == (before,)


def _inlined(path: Path, end: Block, wanted: str) -> Iterator[Chain]:
    """The chains of the stem or the head; the one that makes its value is called as it is."""
    values = dict(zip(end.inputs, path.sources, strict=True))
    (returned,) = _results(end).values()
    own = {p.name: f"{path.name}:{p.name}" for p in end.paths} | {returned: path.name}
    names = own | values
    for inner, nodes in end.chains:
        moved = tuple(
            replace(n, inputs=tuple(values.get(i, i) for i in n.inputs)) for n in nodes
        )
        sources = tuple(Block.value(source, names) for source in inner.sources)
        last = inner.name == returned
        called = wanted if last else variable(inner.name)
        yield Chain(names[inner.name], sources, moved, called, path.name)
    if returned in values:
        yield Chain(path.name, (values[returned],), (), wanted, path.name)


def _results(block: Block) -> dict[str, str]:
    """By the name of each output the path, or the value of one, that it is."""
    if block.outputs is not None:
        return dict(zip(block.outputs, block.returned, strict=True))
    made = any(path.name == OUTPUT for path in block.paths)
    return {OUTPUT: OUTPUT if made else block.inputs[0]}
