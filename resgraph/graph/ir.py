"""The intermediate representation: small unit graphs, and the network built from them.

A `Unit` is a DAG of about ten ops; a `Graph` is a stem, stages of units with arguments and
repeats, and a head. Its size does not depend on depth. Shape inference (a pass) adds to it
the `Run`s: each distinct instance of a unit once, with how often it is repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any

from resgraph.allow import Allow
from resgraph.diagnostics import Span
from resgraph.names import INPUT
from resgraph.ops import Op, Shape, Weight

OUTPUT = "out"


@dataclass(frozen=True)
class Node:
    """One op of a unit; its name is also its value's, and its layer's in the state_dict.

    `fields` says where each attribute is written.
    """

    name: str
    op: Op
    span: Span
    fields: Mapping[str, Span]


@dataclass(frozen=True)
class Path:
    """A named chain of nodes. `sources` are `x` or other paths; several feed a merge."""

    name: str
    sources: tuple[str, ...]
    nodes: tuple[Node, ...]
    span: Span
    source_spans: tuple[Span, ...]


@dataclass(frozen=True)
class Param:
    """A unit's parameter, and its default (None: the stage must give it)."""

    name: str
    default: Fraction | None
    span: Span


@dataclass(frozen=True)
class UnitGaps:
    """What of a unit is not known, where its spec has findings."""

    stranger: bool = False
    """It is not in the spec: a stage names it, or names nothing that can be understood."""
    params: bool = False
    """It may have other parameters."""
    paths: bool = False
    """It may have other paths."""
    reads: frozenset[str] = frozenset()
    """The names that may be meant where its ops and parameters are not known."""
    sources: frozenset[str] = frozenset()
    """The names that may be meant where it is not known what its paths start from."""


@dataclass(frozen=True)
class Unit:
    """A DAG from `x` to `out`, in reading order."""

    name: str
    title: str
    params: tuple[Param, ...]
    paths: tuple[Path, ...]
    span: Span
    gaps: UnitGaps = UnitGaps()

    @cached_property
    def values(self) -> dict[str, str]:
        """The value that each path's name stands for: that of its last node."""
        return {INPUT: INPUT} | {p.name: p.nodes[-1].name for p in self.paths}

    @property
    def output(self) -> str:
        """The value that the unit returns; its input where it has no ops (an empty stem)."""
        return self.values.get(OUTPUT, INPUT)

    def steps(self) -> Iterator[tuple[Path, Node, tuple[str, ...]]]:
        """Each node with its path and the values it reads, in reading order."""
        for path in self.paths:
            inputs = tuple(self.values.get(s, s) for s in path.sources)
            for node in path.nodes:
                yield path, node, inputs
                inputs = (node.name,)

    def resolve(self, args: Mapping[str, Fraction]) -> Unit:
        """The unit with every expression evaluated. Raises `OpError`."""
        paths = tuple(
            replace(
                path,
                nodes=tuple(replace(n, op=n.op.resolve(args)) for n in path.nodes),
            )
            for path in self.paths
        )
        return replace(self, paths=paths)


@dataclass(frozen=True)
class Slot:
    """A unit in a stage: its arguments, and how often it is repeated.

    Where the spec has findings, an argument that is not known is not there, and `endless`
    says that the repeat is not known.
    """

    unit: str
    args: Mapping[str, Fraction]
    repeat: int
    span: Span
    endless: bool = False


@dataclass(frozen=True)
class Instance:
    """A unit at given arguments and input shape, with the shape of every value."""

    unit: Unit
    args: Mapping[str, Fraction]
    shapes: Mapping[str, Shape]

    @property
    def input(self) -> Shape:
        return self.shapes[INPUT]

    @property
    def output(self) -> Shape:
        return self.shapes[self.unit.output]

    @cached_property
    def weights(self) -> tuple[tuple[str, Weight], ...]:
        """Every tensor of the state_dict as (layer, weight), in the order of the layers."""
        return tuple(
            (node.name, weight)
            for _, node, inputs in self.unit.steps()
            for weight in node.op.weights(*(self.shapes[i] for i in inputs))
        )

    @cached_property
    def parameters(self) -> int:
        """Trainable numbers."""
        return sum(prod(w.shape) for _, w in self.weights if w.trainable)

    @cached_property
    def numbers(self) -> int:
        """All numbers of the state_dict, running statistics included."""
        return sum(prod(w.shape) for _, w in self.weights)

    @property
    def nodes(self) -> int:
        """Ops."""
        return sum(len(path.nodes) for path in self.unit.paths)

    @cached_property
    def multiply_adds(self) -> int:
        """Per image."""
        return sum(
            node.op.multiply_adds(*(self.shapes[i] for i in inputs))
            for _, node, inputs in self.unit.steps()
        )


@dataclass(frozen=True)
class Run:
    """Units of one slot that follow one another: one instance `count` times, or `count`
    instances whose input channels grow by a constant step (dense connections)."""

    slot: Slot
    instances: tuple[Instance, ...]
    count: int

    def __iter__(self) -> Iterator[Instance]:
        for i in range(self.count):
            yield self.instances[i % len(self.instances)]

    def total(self, quantity: str) -> int:
        """The sum of an instance's property over the run."""
        each = sum(getattr(instance, quantity) for instance in self.instances)
        return int(each) * (self.count // len(self.instances))


@dataclass(frozen=True)
class Graph:
    """A network: what is emitted, trained and verified.

    `options` are those of the command line that made it, for the generated file's header;
    `allow` is what its spec acknowledges. Where the spec has findings the graph is a draft:
    it holds ops, units and arguments that are not known, `input` is empty where that is,
    and it may lack shapes.
    """

    name: str
    title: str
    file: str
    input: Shape
    units: Mapping[str, Unit]
    stem: Unit
    stages: tuple[tuple[Slot, ...], ...]
    head: Unit
    recipe: Mapping[str, Any]
    classes: int | None
    span: Span
    options: str = ""
    allow: tuple[Allow, ...] = ()
    stem_run: Instance | None = None
    head_run: Instance | None = None
    runs: tuple[tuple[Run, ...], ...] = field(default=())

    def parts(self) -> Iterator[tuple[str, Instance]]:
        """Every unit instance with its prefix in the state_dict, in order of execution.

        The stem and the head have the prefix ''. This alone walks the depth.
        """
        yield "", self.typed(self.stem_run)
        for number, stage in enumerate(self.runs, 1):
            index = 0
            for run in stage:
                for instance in run:
                    yield f"stage{number}.{index}.", instance
                    index += 1
        yield "", self.typed(self.head_run)

    def total(self, quantity: str) -> int:
        """The sum of a property of `Instance` over the network, without walking the depth."""
        ends = (self.typed(self.stem_run), self.typed(self.head_run))
        body = sum(run.total(quantity) for stage in self.runs for run in stage)
        return body + sum(int(getattr(end, quantity)) for end in ends)

    @staticmethod
    def typed(run: Instance | None) -> Instance:
        """The instance that shape inference has put there."""
        if run is None:
            raise ValueError(
                "shapes are not inferred yet: run resgraph.passes.compile first"
            )
        return run
