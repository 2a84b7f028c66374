"""A class as lines, and which of them are whose."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from resgraph.diagnostics import plural
from resgraph.emit.class_source import ClassSource
from resgraph.emit.comments import show_shape
from resgraph.emit.layout import INDENT, WIDTH, Statement, signature
from resgraph.graph import HEAD, STEM, Graph, Row
from resgraph.ops import Shape, Start
from resgraph.provenance import docstring
from resgraph.syntax import Name


@dataclass
class ClassText:
    """The lines of a class; `found` has those of each op, the first and the last from 0."""

    source: ClassSource
    lines: list[str] = field(default_factory=list)
    found: list[tuple[str, int, int]] = field(default_factory=list)

    def head(self, docs: Sequence[str]) -> None:
        """Begin the class."""
        self.lines += [f"class {self.source.name}(nn.Module):", *_indented(docs), ""]

    def methods(self, layers: Sequence[Statement]) -> None:
        """Add `__init__`, if there is something in it, and `forward`."""
        if layers:
            self.lines += _indented(self.source.signature())
            self.lines += _indented(["super().__init__()"], 2)
            self._add(layers)
            self.lines.append("")
        inputs = [f"{name}: Tensor" for name in self.source.inputs]
        after = f") -> {self.source.returns}:"
        called = signature("def forward(", ["self", *inputs], after, len(INDENT))
        self.lines += _indented(called)
        self._add(self.source.forward)

    def _add(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            first = len(self.lines)
            self.lines += _indented(statement.lines, 2)
            last = len(self.lines) - 1
            self.found += ((name, first, last) for name in statement.nodes)


def unit_text(source: ClassSource) -> ClassText:
    """The class of a unit."""
    assert source.variant is not None
    block, text = source.variant.block, ClassText(source)
    title = block.title or f"The unit '{block.name}'."
    text.head([f'"""{docstring(title)}"""'])
    text.methods(source.layers)
    return text


def network_text(
    source: ClassSource, graph: Graph, loop: Mapping[str, Start]
) -> ClassText:
    """The class of the network; it starts the weights of these torch classes in a loop."""
    text = ClassText(source)
    facts = [line for fact in _facts(graph) for line in _wrapped(fact)]
    text.head([f'"""{docstring(graph.title.rstrip("."))}.', "", *facts, '"""'])
    started = [Statement(["", *_loop(loop)])] if loop else []
    text.methods([*_sections(source, graph), *started])
    return text


def outputs_text(source: ClassSource, base: str) -> ClassText:
    """The class of what a block of several outputs makes."""
    numbers = source.variant is None
    fields = [
        f"{name}: Tensor" + f"  # {show_shape(shape)}" * numbers
        for name, shape in source.bodies[0].instance.outputs.items()
    ]
    docs = f'"""What `{source.name}` makes."""'
    lines = [f"class {source.returns}({base}):", *_indented([docs, "", *fields])]
    return ClassText(source, lines)


def _indented(lines: Sequence[str], levels: int = 1) -> list[str]:
    return [levels * INDENT + line if line else line for line in lines]


# --- the network --------------------------------------------------------------------------


def _facts(graph: Graph) -> Iterator[str]:
    outputs = graph.network.outputs
    if len(outputs) > 1:
        made = f"outputs {_named(outputs)}"
    else:
        what = "logits" if len(graph.network.output) == 1 else "output"
        made = f"{what} {show_shape(graph.network.output)}"
    yield f"Input {show_shape(graph.input)}, {made}."
    yield (
        f"{graph.total('parameters'):,} parameters, "
        f"{graph.total('multiply_adds') / 1e6:,.2f}M multiply-adds."
    )


def _named(shapes: Mapping[str, Shape]) -> str:
    """`a [N, 8, 32, 32], b [N, 16, 16, 16]`"""
    return ", ".join(f"{name} {show_shape(shape)}" for name, shape in shapes.items())


def _wrapped(fact: str) -> list[str]:
    """The fact on lines of a docstring, no shape broken in two."""
    whole = re.sub(r"\w+ \[.*?\]", lambda shape: shape[0].replace(" ", "\0"), fact)
    lines = textwrap.wrap(whole, WIDTH - len(INDENT), break_long_words=False)
    return [line.replace("\0", " ") for line in lines]


def _sections(source: ClassSource, graph: Graph) -> Iterator[Statement]:
    """The layers, those of each part under a comment that says what comes out of it."""
    section = {n.name: chain.section for chain in source.chains for n in chain.nodes}
    row = {row.name: row for row in graph.network.block.rows}
    for name, layers in groupby(source.layers, lambda layer: section[layer.nodes[0]]):
        yield Statement([f"# {_about(row[name], graph)}"])
        yield from layers


def _about(row: Row, graph: Graph) -> str:
    """`stage 1: 18 units, [N, 64, 32, 32]`"""
    runs, shapes = graph.network.runs[row.name], graph.network.shapes
    outputs = runs[-1].instances[-1].outputs
    made = _named(outputs) if len(outputs) > 1 else show_shape(shapes[row.name])
    if row.name in (STEM, HEAD):
        return f"{row.name}: {made}"
    count = sum(run.count for run in runs)
    return f"{row.title}: {count} {plural(count, 'unit')}, {made}"


def _loop(started: Mapping[str, Start]) -> list[str]:
    """The statements that start these torch classes, those of one start together."""
    ways: dict[Start, list[str]] = {}
    for name, start in started.items():
        ways.setdefault(start, []).append(name)
    lines: list[str] = []
    for start, classes in ways.items():
        kinds = classes[0] if len(classes) == 1 else f"({', '.join(classes)})"
        lines += [
            f"for module in self.modules():  # {start.note}",
            f"{INDENT}if isinstance(module, {kinds}):",
            f"{INDENT}{INDENT}{start.torch(Name('module.weight'))}",
        ]
    return lines
