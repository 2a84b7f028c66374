"""The intermediate representation: blocks made of ops and of other blocks.

A `Block` is a small graph of named values. A unit is one, and so are the stem, the head and
the network itself, whose nodes are rows of units. Its size does not depend on depth. Shape
inference makes an `Instance` of each block at each of its arguments and inputs
(`resgraph.graph.typed`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Any

from resgraph.allow import Allow
from resgraph.diagnostics import Span
from resgraph.expr import Condition, Expr
from resgraph.names import INPUT, SOMETHING
from resgraph.ops import Op, Shape
from resgraph.values import Value

OUTPUT = "out"
STEM, HEAD = "stem", "head"
_STAGE = "stage"
REPEAT, WHEN = "[repeat]", "[when]"
"""Under which `fields` has the places of these: no argument or attribute is called so."""


def stage_name(number: int) -> str:
    """What a stage is called that has no name of its own: the first one `stage1`."""
    return f"{_STAGE}{number}"


class Style(Enum):
    """How the layers of a row's blocks are called in the state_dict."""

    INLINE = "inline"
    """As if they stood where the row stands: `conv1`. Of the stem and the head."""
    SINGLE = "single"
    """Behind the row's own name: `se.conv1`."""
    NUMBERED = "numbered"
    """Behind the row's name and a number: `stage1.3.conv1`."""


@dataclass(frozen=True)
class Call:
    """A block as a part of another: its arguments, and how often it follows itself.

    Where the spec has findings, an argument that is not known is not there, and `endless`
    says that the repeat is not known.
    """

    block: str
    args: Mapping[str, Value | Expr]
    repeat: int | Expr
    span: Span
    fields: Mapping[str, Span] = field(default_factory=dict)
    """Where each argument is written, and the repeat."""
    keys: Mapping[str, Span] = field(default_factory=dict)
    """Where the name of each argument is written."""
    endless: bool = False
    unsure: bool = False
    """Whether there may be other arguments."""
    given: Mapping[str, Value] = field(default_factory=dict)
    """The parameters of the network that its expressions read, with their values."""


@dataclass(frozen=True)
class _Named:
    """What ops and rows of blocks have in common.

    The name is also that of its value, and of its layer in the state_dict. `inputs` are the
    values it reads: the block's inputs, or names of nodes; `a.b` is the output b of a row
    that has several. `path` is the chain in which it is written. Where `when` does not hold,
    it is not there, and its name stands for the last value that it reads.
    """

    name: str
    inputs: tuple[str, ...]
    span: Span
    fields: Mapping[str, Span]
    """Where each attribute is written, and the condition."""
    path: str = OUTPUT
    when: Condition | None = None


@dataclass(frozen=True)
class Node(_Named):
    """An op of a block."""

    op: Op = field(kw_only=True)


@dataclass(frozen=True)
class Row(_Named):
    """Other blocks as a part of a block, one after the other: each reads what the one before
    it makes, the first one what the row reads."""

    calls: tuple[Call, ...] = field(kw_only=True)
    style: Style = field(kw_only=True)

    @property
    def title(self) -> str:
        """What a message calls a stage: `stage 2`, or by the name that the spec gives it."""
        return f"stage {self.number}" if self.number else self.name

    @property
    def called(self) -> str:
        """The same within a sentence: `stage 2`, `the stage 'c2'`."""
        return self.title if self.number else f"the stage '{self.name}'"

    @property
    def number(self) -> str:
        """The number of a stage without a name of its own; else nothing."""
        number = self.name.removeprefix(_STAGE)
        return number if number != self.name and number.isdecimal() else ""

    def prefix(self, index: int) -> str:
        """What stands before the names of the layers of its block of that number."""
        if self.style is Style.INLINE:
            return ""
        number = f"{index}." if self.style is Style.NUMBERED else ""
        return f"{self.name}.{number}"


Part = Node | Row
"""What a block is made of."""


@dataclass(frozen=True)
class Path:
    """A named chain of nodes, as it is written: what it starts from, and where."""

    name: str
    sources: tuple[str, ...]
    span: Span
    source_spans: tuple[Span, ...]


@dataclass(frozen=True)
class Param:
    """A block's parameter, and its default (None: whoever uses it must give it).

    A default may read what the block's own expressions may read.
    """

    name: str
    default: Value | Expr | None
    span: Span


@dataclass(frozen=True)
class Gaps:
    """What of a block is not known, where its spec has findings."""

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
class Block:
    """A graph of named values, from its inputs to its outputs, in reading order."""

    name: str
    title: str
    params: tuple[Param, ...]
    paths: tuple[Path, ...]
    nodes: tuple[Part, ...]
    span: Span
    inputs: tuple[str, ...] = (INPUT,)
    outputs: Mapping[str, str] | None = None
    """By the name of each output its value; None: the path `out` is the only one."""
    returned: tuple[str, ...] = ()
    """The paths, or values of them, that `outputs` names, as they are written."""
    returned_spans: tuple[Span, ...] = ()
    input_spans: Mapping[str, Span] = field(default_factory=dict)
    """Where the spec names the inputs; x is named nowhere."""
    several: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By path whose value is several ones, how each of them is read: `s.a`."""
    gaps: Gaps = Gaps()

    @cached_property
    def values(self) -> dict[str, str]:
        """The value that each input's and each path's name stands for: that of its last
        node, or of what it starts from where it has none."""
        last = {node.path: node.name for node in self.nodes}
        found = {name: name for name in self.inputs}
        for path in self.paths:
            start = self.value(path.sources[-1], found) if path.sources else INPUT
            found[path.name] = last.get(path.name, start)
        return found

    @staticmethod
    def value(source: str, values: Mapping[str, str]) -> str:
        """What a source of a path stands for: `s.a` is the output a of the path s."""
        path, dot, output = source.partition(".")
        return f"{values[path]}{dot}{output}" if path in values else source

    @cached_property
    def results(self) -> dict[str, str]:
        """By the name of each output, its value."""
        if self.outputs is not None:
            return dict(self.outputs)
        nothing = SOMETHING if self.paths else self.inputs[0]
        return {OUTPUT: self.values.get(OUTPUT, nothing)}

    @property
    def output(self) -> str:
        """The value of its first output; its input where it has no ops (an empty stem)."""
        return next(iter(self.results.values()))

    @cached_property
    def chains(self) -> tuple[tuple[Path, tuple[Part, ...]], ...]:
        """Each path with its nodes."""
        nodes: dict[str, list[Part]] = {path.name: [] for path in self.paths}
        for node in self.nodes:
            nodes.setdefault(node.path, []).append(node)
        return tuple((path, tuple(nodes[path.name])) for path in self.paths)

    @property
    def rows(self) -> Iterator[Row]:
        """Its rows of other blocks."""
        return (node for node in self.nodes if isinstance(node, Row))

    @property
    def ops(self) -> Iterator[Node]:
        """Its own ops."""
        return (node for node in self.nodes if isinstance(node, Node))


@dataclass(frozen=True)
class Program:
    """A spec's network, before its shapes are known.

    `options` are those of the command line that made it, for the generated file's header;
    `allow` is what its spec acknowledges. Where the spec has findings it is a draft: it
    holds ops, blocks and arguments that are not known, and `input` is empty where that is.
    """

    name: str
    title: str
    file: str
    input: Shape
    blocks: Mapping[str, Block]
    """The units by name, in the spec's order."""
    ends: Mapping[str, Block]
    """The stem and the head, as far as there are any."""
    network: Block
    recipe: Mapping[str, Any]
    classes: int | None
    span: Span
    input_span: Span
    options: str = ""
    allow: tuple[Allow, ...] = ()

    def block(self, call: Call) -> Block:
        """What the call is of. Raises `KeyError` in a draft that has no such unit."""
        if (found := self.find(call)) is None:
            raise KeyError(call.block)
        return found

    def find(self, call: Call) -> Block | None:
        """The same; None where there is no such unit. No unit is called `stem` or `head`."""
        return self.ends.get(call.block) or self.blocks.get(call.block)

    @cached_property
    def used(self) -> tuple[Block, ...]:
        """The units that the network is made of, whatever is between, in the spec's order."""
        found, left = set[str](), [self.network]
        while left:
            for row in left.pop().rows:
                for call in row.calls:
                    if call.block not in found:
                        found.add(call.block)
                        left += [b] if (b := self.find(call)) else []
        return tuple(block for name, block in self.blocks.items() if name in found)

    def with_head(self, head: Block) -> Program:
        """The same network with another head."""
        return replace(self, ends={**self.ends, HEAD: head})


def row_values(row: str, outputs: Collection[str]) -> tuple[str, ...]:
    """What the values of a row are called, by the outputs of its last block."""
    return tuple(f"{row}.{name}" for name in outputs) if len(outputs) > 1 else (row,)


def sequence(name: str, title: str, nodes: Sequence[Part], span: Span) -> Block:
    """A block of one path without parameters; of no node at all, its input."""
    paths = (Path(OUTPUT, (INPUT,), span, (span,)),) if nodes else ()
    return Block(name, title, (), paths, tuple(nodes), span)
