"""`compile` and `check`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.common import Json, Network, Out, Set, Specs, as_json, say, say_json
from resgraph.compiler import Compiler, parse_settings
from resgraph.diagnostics import Diagnostic, SpecError, UsageError

if TYPE_CHECKING:
    from resgraph.emit import Written
    from resgraph.emit.weights import WeightSource
    from resgraph.graph import Graph


def compile_command(
    specs: Specs,
    network: Network = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    out: Out = Path("generated"),
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights", metavar="FILE", help="Weights from a safetensors file."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the initial weights.")
    ] = 0,
    check: Annotated[
        bool,
        typer.Option("--check", help="Write nothing; exit 1 with a diff if stale."),
    ] = False,
    source_only: Annotated[
        bool, typer.Option("--source-only", help="Write PyTorch source, no ONNX.")
    ] = False,
    json: Json = False,
) -> None:
    """Compile specs to PyTorch source and ONNX: OUT/NAME.py and OUT/NAME.onnx.

    Example: resgraph compile specs/preact_bottleneck.yaml
    """
    graphs = load_all(specs, network, parse_settings(settings))
    if check:
        report_stale(graphs, out, json)
        return
    if weights is not None and len(graphs) != 1:
        raise UsageError(
            f"--weights fits one network, and {len(graphs)} are asked for",
            "choose one with --network",
        )
    from resgraph.emit import write

    source = None if source_only else weight_source(weights, seed)
    written = write(graphs, out, source)
    if json:
        say_json([written_json(w) for w in written])
    else:
        width = max(len(w.graph.name) for w in written)
        for w in written:
            say(f"{w.graph.name:<{width}}  {summary(w.graph)}  {files(w)}")


def check_command(
    specs: Specs,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    json: Json = False,
) -> None:
    """Check specs and print every finding; exit 1 if there is one.

    Example: resgraph check specs/*.yaml
    """
    values = parse_settings(settings)
    try:
        graphs = load_all(specs, None, values)
    except SpecError as error:
        if not json:
            raise
        say_json([as_json(d) for d in error.diagnostics])
        raise typer.Exit(1) from None
    if json:
        say_json([])
    else:
        names = ", ".join(graph.name for graph in graphs)
        say(f"{len(specs)} spec{'s' * (len(specs) > 1)} without findings: {names}")


def load_all(
    specs: list[Path], network: str | None, settings: Mapping[str, Fraction]
) -> list[Graph]:
    """The graphs of all specs. Raises `SpecError` with the findings of all of them."""
    compiler = Compiler()
    graphs: list[Graph] = []
    findings: list[Diagnostic] = []
    for spec in specs:
        try:
            graphs += compiler.graphs(spec, network, settings)
        except SpecError as error:
            findings += error.diagnostics
    if findings:
        raise compiler.failure(findings)
    return graphs


def weight_source(weights: Path | None, seed: int) -> Callable[[Graph], WeightSource]:
    """From the file, or drawn from the seed."""
    from resgraph.emit.weights import drawn, stored

    if weights is None:
        return lambda graph: drawn(seed)
    return lambda graph: stored(weights, graph)


def report_stale(graphs: list[Graph], out: Path, json: bool) -> None:
    """Print a diff per stale file, and exit 1 if there is one."""
    from resgraph.emit import stale

    diffs = stale(graphs, out)
    if json:
        say_json({path.as_posix(): diff for path, diff in diffs.items()})
    else:
        for diff in diffs.values():
            say(diff)
        say(f"{len(graphs) - len(diffs)} of {len(graphs)} files are up to date")
    if diffs:
        raise typer.Exit(1)


def summary(graph: Graph) -> str:
    """Parameters and multiply-adds, aligned."""
    parameters, cost = graph.total("parameters"), graph.total("multiply_adds")
    return f"{parameters:>10,} parameters  {cost / 1e6:>8,.2f}M multiply-adds"


def files(written: Written) -> str:
    return " ".join(path.as_posix() for path in written.files)


def written_json(written: Written) -> dict[str, Any]:
    from resgraph.graph import digest

    graph = written.graph
    return {
        "network": graph.name,
        "spec": graph.file,
        "digest": digest(graph),
        "parameters": graph.total("parameters"),
        "multiply_adds": graph.total("multiply_adds"),
        "files": [path.as_posix() for path in written.files],
    }


COMMANDS = {"compile": compile_command, "check": check_command}
