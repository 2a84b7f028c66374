"""A graph as the source of a PyTorch module: Python prepares, the template prints."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resgraph.emit.body import network_body, unit_body
from resgraph.emit.class_source import ClassSource, Statement, show_shape
from resgraph.emit.formulas import Formulas, NoFormula
from resgraph.emit.layout import INDENT, WIDTH, signature
from resgraph.emit.rows import Rows
from resgraph.emit.variants import Variant, Variants, unique
from resgraph.graph import HEAD, STEM, Graph, Instance, Node, Row, digest
from resgraph.names import CONSTANTS, class_name
from resgraph.ops import Start
from resgraph.provenance import Header, docstring, spec_path
from resgraph.syntax import Literal, Name, names

if TYPE_CHECKING:
    from jinja2 import Template

Lines = list[int]
"""The first and the last line."""
Found = dict[str, list[Lines]]
"""By op: where its layer is made, and where it is computed."""


def torch_source(graph: Graph, out: Path) -> str:
    """The module that `out/NAME.py` holds, laid out as `ruff format` would leave it."""
    return module_source(graph, out).text


def module_source(graph: Graph, out: Path) -> ModuleSource:
    """The same with what is known of its lines."""
    header = Header(spec_path(graph.file, out), digest(graph), graph.options)
    return ModuleSource(graph, header)


def source_under(header: Header, graph: Graph) -> str:
    """The same module below a header that is given, such as one from before a move."""
    return ModuleSource(graph, header).text


class ModuleSource:
    """The text of a graph's module, and which lines compute which op."""

    def __init__(self, graph: Graph, header: Header) -> None:
        self.graph, self.header = graph, header
        self.variants = Variants(graph)
        self.classes: dict[int, ClassSource] = {}
        """By the id of each instance that a class serves."""
        self.name = class_name(graph.name)
        self.ops = [*self._all_ops()]
        self.in_loop = self._in_loop()
        self._taken = {self.name, *map(class_name, graph.units), *self._helper_names()}
        self._taken |= {variant.name for variant in self.variants.all}
        self._outputs: dict[str, str] = {}
        self.units = [*self._unit_classes()]
        body = network_body(graph.network)
        output = self._output_class(self.name, graph.network)
        self.network = ClassSource(
            [body], None, self.name, output, self._rows, self.in_loop, self._taken
        )

    def _rows(self, formulas: Formulas) -> Rows:
        return Rows(formulas, self._class_of, self.variants.stretches)

    # --- classes ----------------------------------------------------------------------

    def _unit_classes(self) -> Iterator[ClassSource]:
        """The classes of the units, in the order of the spec."""
        self._by_variant: dict[int, list[ClassSource]] = {}
        for variant in self.variants.all:
            yield from self._made(variant)

    def _output_class(self, name: str, instance: Instance) -> str:
        """What a block's `forward` returns: of several values, a class of their own."""
        if len(instance.outputs) == 1:
            return "Tensor"
        if name not in self._outputs:
            self._outputs[name] = unique(f"{name}Output", self._taken)
            self._taken.add(self._outputs[name])
        return self._outputs[name]

    def _made(self, variant: Variant) -> list[ClassSource]:
        """The variant's class, or several where one cannot serve all of its instances."""
        if id(variant) not in self._by_variant:
            for instance in variant.instances:
                for row in instance.block.rows:
                    for stretch in self.variants.stretches(
                        row, instance.runs[row.name]
                    ):
                        self._made(self.variants.of(stretch.instances[0]))
            try:
                made = [self._class(variant)]
            except NoFormula:
                made = [self._class(each) for each in self._apart(variant)]
            self._by_variant[id(variant)] = made
        return self._by_variant[id(variant)]

    def _apart(self, variant: Variant) -> Iterator[Variant]:
        for number, each in enumerate(variant.apart()):
            each.name = (
                variant.name if number == 0 else unique(variant.name, self._taken)
            )
            self._taken.add(each.name)
            yield each

    def _class(self, variant: Variant) -> ClassSource:
        bodies = [unit_body(variant.block, instance) for instance in variant.instances]
        output = self._output_class(
            class_name(variant.block.name), variant.instances[0]
        )
        made = ClassSource(
            bodies, variant, variant.name, output, self._rows, self.in_loop, self._taken
        )
        for instance in variant.instances:
            self.classes[id(instance)] = made
        return made

    def _class_of(self, instance: Instance) -> ClassSource:
        return self.classes[id(instance)]

    # --- what all classes use ---------------------------------------------------------

    def _all_ops(self) -> Iterator[Node]:
        """The ops of all classes, with numbers."""
        network = self.graph.network
        ends = [self.graph.end(name) for name in (STEM, HEAD)]
        every = [variant.instances for variant in self.variants.all]
        units = [instance for each in every for instance in each]
        for instance in (*units, *(end for end in ends if end), network):
            yield from (node for node in instance.block.ops)

    def _in_loop(self) -> dict[str, Start]:
        """The torch classes whose weight always starts in one way, and not torch's own.

        The network starts these in one loop over its modules.
        """
        found: dict[str, set[Start | None]] = {}
        for node in self.ops:
            made = node.op.torch_layer(*(Name("in_channels") for _ in node.inputs))
            start = node.op.starts().get("weight")
            own = start == node.op.torch_starts.get("weight")
            if made is not None and start is not None:
                found.setdefault(made.function, set()).add(None if own else start)
        kept = {
            name: starts.pop() for name, starts in found.items() if len(starts) == 1
        }
        return {name: start for name, start in kept.items() if start and start.note}

    @cached_property
    def helpers(self) -> list[str]:
        """The classes that ops bring along, each once."""
        order = [block.name for block in self.graph.program.used]
        texts = dict.fromkeys(
            node.op.helper
            for source in sorted(
                self.units, key=lambda s: order.index(s.variant.block.name)
            )  # type: ignore[union-attr]
            for node in source.nodes
            if isinstance(node, Node)
        )
        texts |= dict.fromkeys(node.op.helper for node in self.ops)
        return [text.rstrip() for text in texts if text]

    def _helper_names(self) -> set[str]:
        texts = {node.op.helper for node in self.ops}
        trees = (statement for text in texts for statement in ast.parse(text).body)
        return {tree.name for tree in trees if isinstance(tree, ast.ClassDef)}

    @property
    def tuple_class(self) -> str:
        """What classes of outputs are made of."""
        return "typing.NamedTuple" if "NamedTuple" in self._taken else "NamedTuple"

    # --- the text ---------------------------------------------------------------------

    @cached_property
    def text(self) -> str:
        """The module."""
        classes = [*self._printed()]
        context: dict[str, Any] = {
            "header": str(self.header),
            "title": docstring(self.graph.title.rstrip(".")),
            "constants": _constants(self.graph),
            "exports": [*self._exports(), *CONSTANTS],
            "imports": self._imports(),
            "parts": [*self.helpers, *("\n".join(c.lines) for c in classes)],
        }
        return _template().render(context)

    def _exports(self) -> Iterator[str]:
        yield self.name
        named = [
            n for s in (*self.units, self.network) for n in (s.output_class, s.name)
        ]
        yield from (n for n in dict.fromkeys(named) if n not in ("Tensor", self.name))

    def _imports(self) -> list[str]:
        """What the code uses of Python and of torch, beside `Tensor` and `nn`."""
        sources = (*self.units, self.network)
        used = {n.split(".")[0] for s in sources for t in s.written for n in names(t)}
        for text in self.helpers:
            used |= {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
        several = any(source.output_class != "Tensor" for source in sources)
        typing = ["from typing import NamedTuple", ""] if several else []
        if several and self.tuple_class != "NamedTuple":
            typing = ["import typing", ""]
        functional = ["from torch.nn import functional"] if "functional" in used else []
        torch = ["import torch"] if "torch" in used else []
        return [*typing, *torch, "from torch import Tensor, nn", *functional]

    def _printed(self) -> Iterator[Printed]:
        told = set[str]()
        for source in (*self.units, self.network):
            name = source.output_class
            if name != "Tensor" and name not in told:
                told.add(name)
                yield Printed(source, [*_outputs(source, self.tuple_class)])
            end = source is self.network
            yield _class(source, self._network_parts() if end else _unit_parts(source))

    def _network_parts(self) -> Parts:
        layers = [*self._sections()]
        loop = _loop(self.in_loop)
        if loop:
            layers += [Statement([""]), Statement(loop)]
        facts = [line for fact in self._facts() for line in _wrapped(fact)]
        title = [f'"""{docstring(self.graph.title.rstrip("."))}.', "", *facts, '"""']
        return Parts(title, layers)

    def _facts(self) -> Iterator[str]:
        graph = self.graph
        shapes = {n: show_shape(s) for n, s in graph.network.outputs.items()}
        only = next(iter(shapes.values()))
        if len(shapes) > 1:
            told = "outputs " + ", ".join(f"{n} {shape}" for n, shape in shapes.items())
        else:
            is_vector = len(graph.network.output) == 1
            told = f"{'logits' if is_vector else 'output'} {only}"
        yield f"Input {show_shape(graph.input)}, {told}."
        yield (
            f"{graph.total('parameters'):,} parameters, "
            f"{graph.total('multiply_adds') / 1e6:,.2f}M multiply-adds."
        )

    def _sections(self) -> Iterator[Statement]:
        """The layers of the network, each part under a comment that says what comes out."""
        section = {
            node.name: chain.section
            for chain in self.network.chains
            for node in chain.nodes
        }
        row = {row.name: row for row in self.graph.network.block.rows}
        for name, group in groupby(self.network.layers, lambda s: section[s.nodes[0]]):
            yield Statement([f"# {self._about(row[name])}"])
            yield from group

    def _about(self, row: Row) -> str:
        """`stage 1: 18 units, [N, 64, 32, 32]`"""
        shapes = self.graph.network.shapes
        runs = self.graph.network.runs[row.name]
        several = [v for v in shapes if v.startswith(f"{row.name}.")]
        out = (
            show_shape(shapes[row.name])
            if row.name in shapes
            else ", ".join(
                f"{v.partition('.')[2]} {show_shape(shapes[v])}" for v in several
            )
        )
        if row.name in (STEM, HEAD):
            return f"{row.name}: {out}"
        count = sum(run.count for run in runs)
        number = row.name.removeprefix("stage")
        name = f"stage {number}" if number.isdigit() else row.name
        return f"{name}: {count} unit{'s' * (count > 1)}, {out}"

    # --- lines ------------------------------------------------------------------------

    @cached_property
    def lines(self) -> dict[str, dict[str, Found]]:
        """The lines of the ops, by unit, and of the network's own ops by end, stem or head."""
        units: dict[str, Found] = {b.name: {} for b in self.graph.program.used}
        ends: dict[str, Found] = {STEM: {}, HEAD: {}}
        printed = [*self._printed()]
        sections = {n.name: c.section for c in self.network.chains for n in c.nodes}
        start = self.text.count("\n") + 1 - sum(len(p.lines) + 2 for p in printed) + 2
        for part in printed:
            for name, first, last in part.found:
                if part.source is self.network:
                    found = ends.setdefault(sections[name], {})
                else:
                    assert part.source.variant is not None
                    found = units[part.source.variant.block.name]
                found.setdefault(name, []).append([start + first, start + last])
            start += len(part.lines) + 2
        return {"units": units, "ends": ends}


@dataclass(frozen=True)
class Printed:
    """The lines of a class, and those of each op in it, counted from 0."""

    source: ClassSource
    lines: list[str]
    found: Sequence[tuple[str, int, int]] = ()


@dataclass(frozen=True)
class Parts:
    """What of a class is not in its source: how its text begins, and its layers."""

    title: list[str]
    layers: Sequence[Statement]


def _wrapped(fact: str) -> list[str]:
    """The fact on lines of a docstring, no shape broken in two."""
    whole = re.sub(r"\[.*?\]", lambda shape: shape[0].replace(" ", "\0"), fact)
    lines = textwrap.wrap(whole, WIDTH - 4, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def _unit_parts(source: ClassSource) -> Parts:
    assert source.variant is not None
    block = source.variant.block
    title = block.title or f"The unit '{block.name}'."
    return Parts([f'"""{docstring(title)}"""'], source.layers)


def _class(source: ClassSource, parts: Parts) -> Printed:
    lines = [
        f"class {source.name}(nn.Module):",
        *(INDENT + t if t else t for t in parts.title),
        "",
    ]
    found: list[tuple[str, int, int]] = []
    if parts.layers:
        lines += (INDENT + line for line in source.signature())
        lines.append(f"{2 * INDENT}super().__init__()")
        _add(lines, found, parts.layers)
        lines.append("")
    inputs = [
        f"{source.variables_of_inputs[name]}: Tensor" for name in source.formulas.inputs
    ]
    end = f") -> {source.output_class}:"
    lines += (
        INDENT + line for line in signature("def forward(", ["self", *inputs], end, 4)
    )
    _add(lines, found, source.forward)
    return Printed(source, lines, found)


def _add(
    lines: list[str], found: list[tuple[str, int, int]], statements: Iterable[Statement]
) -> None:
    """Add the statements of a method, and note where the ops in them are."""
    for statement in statements:
        first = len(lines)
        lines += (2 * INDENT + line if line else line for line in statement.lines)
        found += ((name, first, len(lines) - 1) for name in statement.nodes)


def _outputs(source: ClassSource, base: str) -> Iterator[str]:
    """The class of a block's outputs."""
    yield f"class {source.output_class}({base}):"
    yield f'{INDENT}"""What `{source.name}` returns."""'
    yield ""
    shapes = source.bodies[0].instance.outputs
    for name, shape in shapes.items():
        comment = f"  # {show_shape(shape)}" if source.variant is None else ""
        yield f"{INDENT}{name}: Tensor{comment}"


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("resgraph", "emit")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("network.py.j2")


def _constants(graph: Graph) -> list[str]:
    recipe = [line for pair in graph.recipe.items() for line in _entry(*pair)]
    return [
        f"INPUT_SHAPE = {graph.input}",
        f'DIGEST = "{digest(graph)}"',
        "RECIPE = {",
        *recipe,
        "}",
    ]


def _entry(key: str, value: Any) -> list[str]:
    """The lines of an entry of RECIPE."""
    if not isinstance(value, tuple):
        return [f'{INDENT}"{key}": {Literal(value)},']
    items = [str(Literal(item)) for item in value]
    comma = "," if len(items) == 1 else ""
    flat = f'{INDENT}"{key}": ({", ".join(items)}{comma}),'
    if len(flat) <= WIDTH:
        return [flat]
    inner = [f"{2 * INDENT}{item}," for item in items]
    return [f'{INDENT}"{key}": (', *inner, f"{INDENT}),"]


def _loop(started: Mapping[str, Start]) -> list[str]:
    """The statements that start these classes, those of one start together."""
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
