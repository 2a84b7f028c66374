"""`show`, `list`, `ops` and `schema`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.common import (
    Json,
    Network,
    Set,
    SpecFile,
    console,
    say,
    say_json,
    telling_compiler,
)
from resgraph.cli.compiling import load_all, summary
from resgraph.diagnostics import UsageError
from resgraph.graph.ir import HEAD, STEM
from resgraph.graph.uses import OWN
from resgraph.settings import parse_settings
from resgraph.values import amount
from resgraph.values import show as shown

if TYPE_CHECKING:
    from rich.table import Table

    from resgraph.graph import Graph, Instance


class Stage(StrEnum):
    """Where `show --emit` stops."""

    spec = "spec"
    graph = "graph"
    torch = "torch"
    onnx = "onnx"


def show_command(
    spec: SpecFile,
    network: Network = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    emit: Annotated[
        Stage | None,
        typer.Option("--emit", help="Print this stage of the compilation instead."),
    ] = None,
    json: Json = False,
) -> None:
    """Show a spec's networks: units, shapes, parameters, multiply-adds.

    Example: resgraph show specs/preact_bottleneck.yaml --network resnet164
    """
    compiler = telling_compiler()
    if emit is Stage.spec:
        say(compiler.resolved(spec, network, parse_settings(settings)).rstrip())
        return
    graphs = compiler.graphs(spec, network, parse_settings(settings))
    if json:
        say_json([as_json(g) for g in graphs])
    elif emit is None:
        for graph in graphs:
            console().print(table(graph))
    else:
        say("\n".join(text(graph, emit) for graph in graphs).rstrip())


def text(graph: Graph, stage: Stage) -> str:
    """The graph at that stage of the compilation."""
    if stage is Stage.graph:
        from resgraph.graph import text as graph_text

        return graph_text(graph)
    if stage is Stage.torch:
        from resgraph.emit import torch_source

        return torch_source(graph, Path("generated"))
    from resgraph.emit.onnx_model import onnx_text

    return onnx_text(graph)


def as_json(graph: Graph) -> dict[str, Any]:
    """The network's parts, what each reads, and which values are returned."""
    block, shapes = graph.network.block, graph.network.outputs
    return {
        "network": graph.name,
        "inputs": {name: list(graph.network.shapes[name]) for name in block.inputs},
        "parts": list(rows(graph)),
        "outputs": {
            name: {"from": block.results[name], "shape": list(shape)}
            for name, shape in shapes.items()
        },
    }


def rows(graph: Graph) -> Iterator[dict[str, Any]]:
    """A row per part of the network: stem, each run of equal units, head."""
    for row in graph.network.block.rows:
        read = row.inputs
        for run in graph.network.runs[row.name]:
            given = (f"{k}={shown(v)}" for k, v in run.call.args.items())
            args = ", ".join(given).replace(OWN, "")
            end = row.name in (STEM, HEAD)
            yield {
                "part": row.name,
                "unit": "" if end else f"{run.call.block}({args})",
                "repeat": run.count,
                "from": [*read],
                **_outputs(run.instances[-1]),
                "parameters": run.total("parameters"),
                "multiply_adds": run.total("multiply_adds"),
            }
            read = graph.network.values(row)


def _outputs(instance: Instance) -> dict[str, Any]:
    """The shape of the output; of several ones, the first one's, and each by its name."""
    shapes = {name: list(shape) for name, shape in instance.outputs.items()}
    several = {"outputs": shapes} if len(shapes) > 1 else {}
    return {"output": list(instance.output), **several}


def table(graph: Graph) -> Table:
    """The rows as a table, with the totals below."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    result = Table(title=Text(f"{graph.name}: {graph.title}"), box=box.SIMPLE_HEAD)
    for column in ("part", "unit"):
        result.add_column(column)
    for column in ("repeat", "output", "parameters", "multiply-adds"):
        result.add_column(column, justify="right")
    whole = graph.total("multiply_adds")
    for row in rows(graph):
        shapes = row.get("outputs", {"": row["output"]}).values()
        cost = amount(row["multiply_adds"], of=whole)
        cells = (row["part"], row["unit"], str(row["repeat"]), _sides(*shapes))
        result.add_row(*cells, f"{row['parameters']:,}", cost)
    result.add_section()
    if len(graph.network.outputs) > 1:
        for name, output in graph.network.outputs.items():
            result.add_row("output", name, "", _sides(output), "", "")
        result.add_section()
    count = f"{graph.total('parameters'):,}"
    result.add_row("total", "", "", "", count, amount(whole))
    return result


def _sides(*shapes: Sequence[int]) -> str:
    """`16 x 32 x 32`; of several values `16 x 32 x 32, 10`."""
    return ", ".join(" x ".join(map(str, shape)) for shape in shapes)


def list_command(
    specs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Spec files; by default specs/*.yaml.", metavar="[SPEC...]"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List the networks of specs, with their parameters and multiply-adds.

    Example: resgraph list
    """
    paths = specs or sorted(Path("specs").glob("*.yaml"))
    if not paths:
        raise UsageError(
            "no specs/*.yaml here", "name spec files: resgraph list SPEC..."
        )
    graphs = load_all(telling_compiler(), paths, None, {})
    if json:
        say_json([_listed(graph) for graph in graphs])
        return
    width = max(len(graph.name) for graph in graphs)
    for graph in graphs:
        say(f"{graph.name:<{width}}  {summary(graph)}  {graph.file}")


def _listed(graph: Graph) -> dict[str, Any]:
    totals = {q: graph.total(q) for q in ("parameters", "multiply_adds")}
    return {"network": graph.name, "spec": graph.file, "title": graph.title, **totals}


def ops_command(
    name: Annotated[
        str | None, typer.Argument(help="Only this op.", metavar="[OP]")
    ] = None,
    json: Json = False,
) -> None:
    """List the ops of the language with their attributes, from the op classes.

    Example: resgraph ops conv
    """
    from resgraph.ops import OPS
    from resgraph.ops.describe import describe
    from resgraph.ops.elsewhere import hint

    if name is not None and name not in OPS:
        raise UsageError(f"no op '{name}'", hint(name))
    chosen = [describe(op) for kind, op in OPS.items() if name in (None, kind)]
    if json:
        say_json(chosen)
        return
    for op in chosen:
        say(f"{op['op']:<16} {op['summary']}")
        for attribute in op["attributes"]:
            default = attribute["default"]
            given = "required" if default is None else f"default {default}"
            say(f"    {attribute['name']:<12} {attribute['description']} ({given})")


def schema_command() -> None:
    """Print the JSON Schema of the spec language, for editors.

    Example: resgraph schema > specs/schema.json
    """
    from resgraph.spec.schema import schema_text

    say(schema_text().rstrip())


COMMANDS = {
    "show": show_command,
    "list": list_command,
    "ops": ops_command,
    "schema": schema_command,
}
