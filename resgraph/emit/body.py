"""A block as the chains of ops and units that a class computes one after the other.

The network's stem and head are not classes of their own: their ops stand among its stages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from resgraph.graph import HEAD, STEM, Block, Instance, Part, Path, Row, Style
from resgraph.ops import Shape


@dataclass(frozen=True)
class Chain:
    """Ops and units, each of which reads what the one before it makes."""

    name: str
    """What other chains call its value."""
    sources: tuple[str, ...]
    nodes: tuple[Part, ...]
    variable: str
    """What a reader would call it."""
    section: str = ""
    """The row of the network that it is, or is in."""


@dataclass(frozen=True)
class Body:
    """What a class computes, and the shapes of it in one instance of the block."""

    inputs: tuple[str, ...]
    chains: tuple[Chain, ...]
    results: Mapping[str, str]
    """By the name of each output, the chain that makes it, or its value `chain.output`."""
    instance: Instance
    inner: Mapping[str, Instance]
    """The stem and the head."""

    @property
    def nodes(self) -> Iterator[Part]:
        return (node for chain in self.chains for node in chain.nodes)

    def shape(self, value: str) -> Shape | None:
        """The shape of a value; None where nothing makes it."""
        for instance in (self.instance, *self.inner.values()):
            if value in instance.shapes:
                return instance.shapes[value]
        return None


def unit_body(block: Block, instance: Instance) -> Body:
    """A unit as it is written, with the shapes of one of its instances."""
    chains = tuple(
        Chain(path.name, path.sources, nodes, path.name.lower())
        for path, nodes in block.chains
    )
    return Body(block.inputs, chains, _results(block), instance, {})


def network_body(network: Instance) -> Body:
    """The network, with the ops of stem and head in their places."""
    block, chains = network.block, list[Chain]()
    inner: dict[str, Instance] = {}
    alike = is_chain(block)
    for path, (row,) in block.chains:
        assert isinstance(row, Row)
        variable = "x" if alike else row.name
        if row.style is Style.INLINE:
            end = network.runs[row.name][0].instances[0]
            inner[row.name] = end
            chains += _inlined(path, end.block, variable)
        else:
            chains.append(Chain(path.name, path.sources, (row,), variable, row.name))
    return Body(block.inputs, tuple(chains), _results(block), network, inner)


def is_chain(block: Block) -> bool:
    """Whether each row of the network reads the one before it and nothing else does."""
    before = block.inputs[0]
    for row in block.rows:
        if row.inputs != (before,):
            return False
        before = row.name
    return tuple(block.results.values()) == (before,)


def _inlined(path: Path, end: Block, variable: str) -> Iterator[Chain]:
    """The chains of the stem or the head; the one that makes its output is its row's."""
    given = dict(zip(end.inputs, path.sources, strict=True))
    returned = _results(end)[next(iter(end.results))]
    names = given | {
        p.name: path.name if p.name == returned else f"{path.name}:{p.name}"
        for p, _ in end.chains
    }
    values = dict(zip(end.inputs, path.sources, strict=True))
    for inner, nodes in end.chains:
        moved = tuple(
            replace(n, inputs=tuple(values.get(i, i) for i in n.inputs)) for n in nodes
        )
        sources = tuple(Block.value(source, names) for source in inner.sources)
        wanted = variable if inner.name == returned else inner.name.lower()
        yield Chain(names[inner.name], sources, moved, wanted, path.name)
    if returned in given:
        yield Chain(path.name, (given[returned],), (), variable, path.name)


def _results(block: Block) -> dict[str, str]:
    """By the name of each output the path, or its value, that it is."""
    if block.outputs is None:
        return {name: _path_of(block, value) for name, value in block.results.items()}
    return dict(zip(block.outputs, block.returned, strict=True))


def _path_of(block: Block, value: str) -> str:
    found = [path for path, _ in block.chains if path.name == "out"]
    return found[0].name if found else value


ENDS = (STEM, HEAD)
