"""A graph as the source of a PyTorch module: Python prepares, the template prints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resgraph.emit.layout import INDENT, WIDTH, call, split_call
from resgraph.emit.unit_source import BODY, UnitSource, arguments, show_shape
from resgraph.graph import Graph, Instance, Run, Unit, digest, used_units
from resgraph.names import class_name
from resgraph.provenance import Header, docstring, spec_path

if TYPE_CHECKING:
    from jinja2 import Template


def torch_source(graph: Graph, out: Path) -> str:
    """The module that `out/NAME.py` holds, laid out as `ruff format` would leave it."""
    path = spec_path(graph.file, out)
    return source_under(Header(path, digest(graph), graph.options), graph)


def source_under(header: Header, graph: Graph) -> str:
    """The same module below a header that is given, such as one from before a move."""
    units = {unit.name: _unit_source(graph, unit) for unit in used_units(graph)}
    network = _network(graph, units)
    context: dict[str, Any] = {
        "header": str(header),
        "title": docstring(graph.title.rstrip(".")),
        "units": [_unit(source) for source in units.values()],
        "network": network,
        "helpers": _helpers(graph),
        "constants": _constants(graph),
        "exports": [
            network["name"],
            *(class_name(name) for name in units),
            *("INPUT_SHAPE", "RECIPE", "DIGEST"),
        ],
    }
    body = _template().render(context, imports=[])
    return _template().render(context, imports=_imports(body))


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("resgraph", "emit")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("network.py.j2")


def _imports(body: str) -> list[str]:
    """What the body uses of torch."""
    code = "\n".join(line.split("#")[0] for line in body.splitlines())
    functional = ["from torch.nn import functional"] if "functional." in code else []
    torch = ["import torch"] if re.search(r"(?<![\w.])torch\.\w+\(", code) else []
    return [*torch, "from torch import Tensor, nn", *functional]


def _helpers(graph: Graph) -> list[str]:
    """The classes that ops bring along, each once."""
    parts = [*used_units(graph), graph.stem, graph.head]
    helpers = [node.op.helper for unit in parts for _, node, _ in unit.steps()]
    return [text.rstrip() for text in dict.fromkeys(helpers) if text]


def _constants(graph: Graph) -> list[str]:
    recipe = [f'{INDENT}"{key}": {value!r},' for key, value in graph.recipe.items()]
    return [
        f"INPUT_SHAPE = {graph.input}",
        f'DIGEST = "{digest(graph)}"',
        "RECIPE = {",
        *recipe,
        "}",
    ]


# --- units ----------------------------------------------------------------------------


def _unit_source(graph: Graph, unit: Unit) -> UnitSource:
    instances = {
        id(instance): instance
        for stage in graph.runs
        for run in stage
        if run.slot.unit == unit.name
        for instance in run.instances
    }
    return UnitSource(unit, list(instances.values()))


def _unit(source: UnitSource) -> Mapping[str, Any]:
    title = source.unit.title or f"The unit '{source.unit.name}'."
    return {
        "name": class_name(source.unit.name),
        "title": docstring(title),
        "signature": "\n".join(_indented(source.signature(), 4)),
        "layers": source.layers,
        "forward": source.forward,
    }


def _indented(lines: list[str], columns: int) -> Iterator[str]:
    """All lines but the first, which the template indents, moved right."""
    yield lines[0]
    yield from (" " * columns + line for line in lines[1:])


# --- the network ------------------------------------------------------------------------


def _network(graph: Graph, units: Mapping[str, UnitSource]) -> Mapping[str, Any]:
    stem_run, head_run = graph.typed(graph.stem_run), graph.typed(graph.head_run)
    stem = UnitSource(graph.stem, [stem_run], symbolic=False, returns=False)
    head = UnitSource(graph.head, [head_run], symbolic=False)
    layers = _section("stem", stem_run, stem.layers)
    forward = [*stem.forward]
    for number, stage in enumerate(graph.runs, 1):
        layers += _stage(number, stage, units)
        output = show_shape(stage[-1].instances[-1].output)
        forward.append(f"x = self.stage{number}(x)  # {output}")
    layers += _section("head", head_run, head.layers)
    return {
        "name": class_name(graph.name),
        "facts": _facts(graph),
        "layers": layers,
        "forward": [*forward, *head.forward],
        "he": any("nn.Conv2d(" in line for u in units.values() for line in u.layers)
        or any("nn.Conv2d(" in line for line in layers),
    }


def _facts(graph: Graph) -> list[str]:
    logits = show_shape(graph.typed(graph.head_run).output)
    return [
        f"Input {show_shape(graph.input)}, logits {logits}.",
        f"{graph.total('parameters'):,} parameters, "
        f"{graph.total('multiply_adds') / 1e6:,.2f}M multiply-adds.",
    ]


def _section(name: str, run: Instance, lines: list[str]) -> list[str]:
    """The lines of the stem or the head under a comment that says what comes out."""
    return [f"# {name}: {show_shape(run.output)}", *lines] if lines else []


def _stage(
    number: int, stage: tuple[Run, ...], units: Mapping[str, UnitSource]
) -> list[str]:
    count = sum(run.count for run in stage)
    output = show_shape(stage[-1].instances[-1].output)
    lines = [f"# stage {number}: {count} unit{'s' * (count > 1)}, {output}"]
    lines.append(f"self.stage{number} = nn.Sequential(")
    for run in stage:
        lines += [INDENT + line for line in _run(run, units[run.slot.unit])]
    return [*lines, ")"]


def _run(run: Run, source: UnitSource) -> list[str]:
    """One unit, or a loop over equal ones, or over ones whose input grows."""
    first = run.instances[0]
    growing = len(run.instances) > 1
    channels = "channels" if growing else str(first.input[0])
    made = arguments(first, source.unit, channels if source.takes_channels else None)
    text = f"{class_name(source.unit.name)}({', '.join(made)})"
    if run.count == 1:
        return call(*_open(text), BODY + 4)
    loop = f"for _ in range({run.count})"
    if growing:
        start, step = first.input[0], run.instances[1].input[0] - first.input[0]
        loop = f"for channels in range({start}, {start + step * run.count}, {step})"
    flat = f"*({text} {loop}),"
    if BODY + 4 + len(flat) <= WIDTH:
        return [flat]
    inner = call(*split_call(text), BODY + 8)
    return ["*(", *(INDENT + line for line in inner), f"{INDENT}{loop}", "),"]


def _open(text: str) -> tuple[str, list[str], str]:
    before, items, after = split_call(text)
    return before, items, f"{after},"
