"""A graph as the source of a PyTorch module: Python prepares, the template prints."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resgraph.emit.class_text import ClassText, network_text, outputs_text, unit_text
from resgraph.emit.classes import ONE, Classes
from resgraph.emit.layout import INDENT, WIDTH
from resgraph.graph import Block, Graph, digest
from resgraph.names import CONSTANTS
from resgraph.provenance import Header, docstring, spec_path
from resgraph.syntax import Literal, names

if TYPE_CHECKING:
    from jinja2 import Template

Lines = list[int]
"""The first and the last line."""
Found = dict[str, list[Lines]]
"""By op or row: where its layer is made, and where it is computed."""


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
        self.graph = graph
        self.made = Classes(graph)
        self.classes = [*self.made.units, self.made.network]
        self.parts = [*self._parts()]
        classes = ("\n".join(part.lines) for part in self.parts)
        context: dict[str, Any] = {
            "header": str(header),
            "title": docstring(graph.title.rstrip(".")),
            "constants": _constants(graph),
            "exports": [*self._exports(), *CONSTANTS],
            "imports": self._imports(),
            "parts": [*self.made.helpers, *classes],
        }
        self.text: str = _template().render(context)
        """The module."""

    def _parts(self) -> Iterator[ClassText]:
        told = {ONE}
        for source in self.classes:
            if source.returns not in told:
                told.add(source.returns)
                yield outputs_text(source, self._tuple)
            if source.variant is None:
                yield network_text(source, self.graph, self.made.in_loop)
            else:
                yield unit_text(source)

    @property
    def _tuple(self) -> str:
        """What the classes of several outputs are made of; a unit may be called so."""
        taken = "NamedTuple" in self.made.taken
        return "typing.NamedTuple" if taken else "NamedTuple"

    def _exports(self) -> Iterator[str]:
        named = [self.made.name]
        named += (name for made in self.classes for name in (made.returns, made.name))
        yield from (name for name in dict.fromkeys(named) if name != ONE)

    def _imports(self) -> Iterator[str]:
        """What the code uses of Python and of torch, beside `Tensor` and `nn`."""
        trees = (tree for made in self.classes for tree in made.written)
        used = {name.split(".")[0] for tree in trees for name in names(tree)}
        for text in self.made.helpers:
            used |= {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
        if any(made.returns != ONE for made in self.classes):
            module, _, name = self._tuple.rpartition(".")
            yield f"import {module}" if module else f"from typing import {name}"
            yield ""
        if "torch" in used:
            yield "import torch"
        yield "from torch import Tensor, nn"
        if "functional" in used:
            yield "from torch.nn import functional"

    @cached_property
    def lines(self) -> dict[str, dict[str, Found]]:
        """The lines of the ops, by unit, and of the network's own by end, stem or head."""
        program, network = self.graph.program, self.made.network
        units: dict[str, Found] = {
            block.name: _nowhere(block) for block in program.used
        }
        ends: dict[str, Found] = {n: _nowhere(end) for n, end in program.ends.items()}
        section = {
            n.name: chain.section for chain in network.chains for n in chain.nodes
        }
        length = sum(len(part.lines) + 2 for part in self.parts)
        start = self.text.count("\n") + 3 - length
        for part in self.parts:
            unit = part.source.variant
            for name, *lines in part.found:
                group, key = (units, unit.block.name) if unit else (ends, section[name])
                found = group.setdefault(key, {}).setdefault(name, [])
                found.append([start + line for line in lines])
            start += len(part.lines) + 2
        return {"units": units, "ends": ends}


def _nowhere(block: Block) -> Found:
    """The nodes of a block: what does nothing has no lines."""
    return {node.name: [] for node in block.nodes}


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
