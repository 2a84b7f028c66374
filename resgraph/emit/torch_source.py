"""A graph as the source of a PyTorch module: Python prepares, the template prints."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resgraph.emit.layout import INDENT, WIDTH, laid_out
from resgraph.emit.unit_source import BODY, UnitSource, construction, show_shape
from resgraph.graph import Graph, Run, Unit, digest, used_units
from resgraph.names import CONSTANTS, IN_CHANNELS, class_name
from resgraph.ops import Start
from resgraph.provenance import Header, docstring, spec_path
from resgraph.syntax import Literal, Name, Syntax, names

if TYPE_CHECKING:
    from jinja2 import Template


def torch_source(graph: Graph, out: Path) -> str:
    """The module that `out/NAME.py` holds, laid out as `ruff format` would leave it."""
    path = spec_path(graph.file, out)
    return source_under(Header(path, digest(graph), graph.options), graph)


def source_under(header: Header, graph: Graph) -> str:
    """The same module below a header that is given, such as one from before a move."""
    loop = _in_loop(graph)
    units = {unit.name: _unit_source(graph, unit, loop) for unit in used_units(graph)}
    ends = _ends(graph, loop)
    network = _network(graph, units, *ends)
    helpers = _helpers(graph)
    context: dict[str, Any] = {
        "header": str(header),
        "title": docstring(graph.title.rstrip(".")),
        "units": [_unit(source) for source in units.values()],
        "network": network,
        "loop": _loop(loop),
        "helpers": helpers,
        "constants": _constants(graph),
        "exports": [
            network["name"],
            *(class_name(name) for name in units),
            *CONSTANTS,
        ],
        "imports": _imports([*units.values(), *ends], helpers),
    }
    return _template().render(context)


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("resgraph", "emit")
    environment = Environment(
        loader=loader, undefined=StrictUndefined, keep_trailing_newline=True
    )
    return environment.get_template("network.py.j2")


def _imports(sources: Iterable[UnitSource], helpers: Iterable[str]) -> list[str]:
    """What the code uses of torch, beside `Tensor` and `nn`."""
    used = {name.split(".")[0] for s in sources for t in s.written for name in names(t)}
    for text in helpers:
        used |= {n.id for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    functional = ["from torch.nn import functional"] if "functional" in used else []
    torch = ["import torch"] if "torch" in used else []
    return [*torch, "from torch import Tensor, nn", *functional]


def _helpers(graph: Graph) -> list[str]:
    """The classes that ops bring along, each once."""
    parts = [*used_units(graph), graph.stem, graph.head]
    helpers = [node.op.helper for unit in parts for _, node, _ in unit.steps()]
    return [text.rstrip() for text in dict.fromkeys(helpers) if text]


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


# --- how weights start --------------------------------------------------------------------


def _in_loop(graph: Graph) -> dict[str, Start]:
    """The torch classes whose weight always starts in one way, and not torch's own.

    The network starts these in one loop over its modules.
    """
    found: dict[str, set[Start | None]] = {}
    for unit in (*used_units(graph), graph.stem, graph.head):
        for _, node, inputs in unit.steps():
            made = node.op.torch_layer(*(Name(IN_CHANNELS) for _ in inputs))
            start = node.op.starts().get("weight")
            own = start == node.op.torch_starts.get("weight")
            if made is not None and start is not None:
                found.setdefault(made.function, set()).add(None if own else start)
    kept = {name: starts.pop() for name, starts in found.items() if len(starts) == 1}
    return {name: start for name, start in kept.items() if start and start.note}


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


# --- units ----------------------------------------------------------------------------


def _unit_source(graph: Graph, unit: Unit, loop: Mapping[str, Start]) -> UnitSource:
    instances = {
        id(instance): instance
        for stage in graph.runs
        for run in stage
        if run.slot.unit == unit.name
        for instance in run.instances
    }
    return UnitSource(unit, list(instances.values()), loop)


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


def _ends(graph: Graph, loop: Mapping[str, Start]) -> tuple[UnitSource, UnitSource]:
    """The stem and the head."""
    stem, head = graph.typed(graph.stem_run), graph.typed(graph.head_run)
    return (
        UnitSource(graph.stem, [stem], loop, symbolic=False, returns=False),
        UnitSource(graph.head, [head], loop, symbolic=False),
    )


def _network(
    graph: Graph, units: Mapping[str, UnitSource], stem: UnitSource, head: UnitSource
) -> Mapping[str, Any]:
    layers = _section("stem", stem)
    forward = [*stem.forward]
    for number, stage in enumerate(graph.runs, 1):
        layers += _stage(number, stage, units)
        output = show_shape(stage[-1].instances[-1].output)
        forward.append(f"x = self.stage{number}(x)  # {output}")
    return {
        "name": class_name(graph.name),
        "facts": _facts(graph),
        "layers": layers + _section("head", head),
        "forward": [*forward, *head.forward],
    }


def _facts(graph: Graph) -> list[str]:
    logits = show_shape(graph.typed(graph.head_run).output)
    return [
        f"Input {show_shape(graph.input)}, logits {logits}.",
        f"{graph.total('parameters'):,} parameters, "
        f"{graph.total('multiply_adds') / 1e6:,.2f}M multiply-adds.",
    ]


def _section(name: str, end: UnitSource) -> list[str]:
    """The layers of the stem or the head under a comment that says what comes out."""
    output = show_shape(end.instances[0].output)
    return [f"# {name}: {output}", *end.layers] if end.layers else []


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
    channels: Syntax = Name("channels") if growing else Literal(first.input[0])
    given = channels if source.takes_channels else None
    made = construction(class_name(source.unit.name), first, source.unit, given)
    if run.count == 1:
        return laid_out("", made, ",", BODY + 4)
    loop = f"for _ in range({run.count})"
    if growing:
        start, step = first.input[0], run.instances[1].input[0] - first.input[0]
        loop = f"for channels in range({start}, {start + step * run.count}, {step})"
    flat = f"*({made} {loop}),"
    if BODY + 4 + len(flat) <= WIDTH:
        return [flat]
    inner = laid_out("", made, "", BODY + 8)
    return ["*(", *(INDENT + line for line in inner), f"{INDENT}{loop}", "),"]
