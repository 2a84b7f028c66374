"""What reads what in one block: the only adjacency, and the walks over it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Self, TypeVar, cast

from resgraph.graph.ir import Block, Node, Part

P = TypeVar("P", bound=Part)

OUTSIDE = ""
"""The reader of a block's output, in the place of a node's name."""


@dataclass(frozen=True)
class Dag(Generic[P]):
    """A block's nodes by name, in reading order, which is a topological one.

    A value is called by the node that makes it, or by the input that it is.
    """

    nodes: Mapping[str, P]
    inputs: tuple[str, ...]
    results: Mapping[str, str]
    """By the name of each output, its value."""

    @classmethod
    def of(cls, block: Block) -> Self:
        """The block's own nodes: of `Instance.flat.block`, ops alone."""
        nodes = cast("dict[str, P]", {node.name: node for node in block.nodes})
        made = {*nodes, *block.inputs}
        results = {n: maker(value, made) for n, value in block.results.items()}
        return cls(nodes, block.inputs, results)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The values of its outputs."""
        return tuple(self.results.values())

    @property
    def output(self) -> str:
        """The value of its first output."""
        return self.outputs[0]

    @cached_property
    def reads(self) -> dict[str, tuple[str, ...]]:
        """The values that each node reads."""
        made = {*self.nodes, *self.inputs}
        return {
            name: tuple(maker(value, made) for value in node.inputs)
            for name, node in self.nodes.items()
        }

    @cached_property
    def readers(self) -> dict[str, list[str]]:
        """The readers of each value, each as often as it reads it; `OUTSIDE` for an output."""
        found: dict[str, list[str]] = {name: [] for name in (*self.inputs, *self.nodes)}
        for name, values in self.reads.items():
            for value in values:
                found[value].append(name)
        for value in self.outputs:
            found[value].append(OUTSIDE)
        return found

    def chosen(self, names: Collection[str]) -> tuple[P, ...]:
        """The nodes of these names, in reading order."""
        return tuple(node for name, node in self.nodes.items() if name in names)

    def needed(self, values: Iterable[str]) -> set[str]:
        """The nodes that the values are computed from, their own among them."""
        return self.walked(values, lambda name: self.reads[name])

    def reached(self, value: str) -> set[str]:
        """The nodes that are computed from the value, its own not among them."""
        readers = self.readers
        return self.walked(readers[value], lambda name: readers[name])

    def walked(
        self, names: Iterable[str], onward: Callable[[str], Iterable[str]]
    ) -> set[str]:
        """The nodes of these names, and those that are met going on from them."""
        found, left = set[str](), [*names]
        while left:
            name = left.pop()
            if name in self.nodes and name not in found:
                found.add(name)
                left += onward(name)
        return found

    def dominators(self, start: str) -> dict[str, str]:
        """By value that comes from `start`, the last one before it that is on every way."""
        depth, above = {start: 0}, dict[str, str]()
        for name, values in self.reads.items():
            known = [value for value in values if value in depth]
            if not known or name == start:
                continue
            meet = known[0]
            for other in known[1:]:
                while meet != other:
                    if depth[meet] < depth[other]:
                        other = above[other]
                    else:
                        meet = above[meet]
            above[name], depth[name] = meet, depth[meet] + 1
        return above

    def spine(self, start: str, end: str) -> list[str]:
        """The values on every way from `start` to `end`, in order, both among them; none
        where there is no way."""
        above, names = self.dominators(start), [end]
        while names[-1] in above:
            names.append(above[names[-1]])
        return names[::-1] if names[-1] == start else []

    @property
    def is_chain(self) -> bool:
        """Whether its nodes stand in one row, each reading what the one before it makes."""
        names = (*self.inputs, *self.nodes)
        return len(self.inputs) == len(self.outputs) == 1 and all(
            {*values} == {before}
            for before, values in zip(
                names, (*self.reads.values(), self.outputs), strict=True
            )
        )


def maker(value: str, made: Collection[str]) -> str:
    """What makes a value: `s` where it is `s.a`, the output a of the row s."""
    return value if value in made else value.rpartition(".")[0]


Ops = Dag[Node]
"""A block without rows: `Instance.flat.block`."""
