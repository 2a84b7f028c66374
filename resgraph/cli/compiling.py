"""`compile` and `check`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.cli.common import (
    Json,
    Network,
    Out,
    Set,
    Specs,
    as_json,
    say,
    say_json,
    tell_findings,
    telling_compiler,
)
from resgraph.compiler import Compiler
from resgraph.diagnostics import (
    Diagnostic,
    Severity,
    SpecError,
    UsageError,
    counted,
    ordered,
    plural,
)
from resgraph.settings import parse_settings
from resgraph.values import Value, amount

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
    compiler = telling_compiler()
    graphs = load_all(compiler, specs, network, parse_settings(settings))
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
        warnings = compiler.warnings
        say_json([written_json(w, warnings[w.graph.file]) for w in written])
    else:
        width = max(len(w.graph.name) for w in written)
        for w in written:
            say(f"{w.graph.name:<{width}}  {summary(w.graph)}  {files(w)}")


def check_command(
    specs: Specs,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 for warnings, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Check specs and print every finding; exit 1 if one is an error.

    `resgraph explain CODE` says more of a finding; a spec's `allow` acknowledges warnings
    and notes.

    Example: resgraph check specs/*.yaml
    """
    compiler = Compiler()
    graphs, failed = gather(compiler, specs, None, parse_settings(settings))
    findings = ordered(chain(failed, *compiler.warnings.values()))
    if json:
        allowed = {*compiler.allowed}
        both = ordered([*findings, *allowed])
        say_json([as_json(finding, finding in allowed) for finding in both])
    else:
        tell_findings(findings, compiler.sources.texts, sys.stdout)
        say(verdict(specs, graphs, findings))
        if count := len(compiler.allowed):
            say(f"{count} {plural(count, 'finding')} allowed")
    wrong = {Severity.ERROR, *([Severity.WARNING] if strict else [])}
    if any(finding.severity in wrong for finding in findings):
        raise typer.Exit(1)


def verdict(specs: list[Path], graphs: list[Graph], findings: list[Diagnostic]) -> str:
    """What `check` says below the findings."""
    checked = f"{len(specs)} {plural(len(specs), 'spec')}"
    if findings:
        return f"{counted(findings)} in {checked}"
    names = ", ".join(graph.name for graph in graphs)
    return f"{checked} without findings: {names}"


def load_all(
    compiler: Compiler,
    specs: list[Path],
    network: str | None,
    settings: Mapping[str, Value],
) -> list[Graph]:
    """The graphs of all specs. Raises `SpecError` with the findings of all of them."""
    graphs, findings = gather(compiler, specs, network, settings)
    if findings:
        raise compiler.failure(findings)
    return graphs


def gather(
    compiler: Compiler,
    specs: list[Path],
    network: str | None,
    settings: Mapping[str, Value],
) -> tuple[list[Graph], list[Diagnostic]]:
    """The graphs of the specs that compile, and the findings of those that do not."""
    graphs: list[Graph] = []
    findings: list[Diagnostic] = []
    for spec in specs:
        try:
            graphs += compiler.graphs(spec, network, settings)
        except SpecError as error:
            findings += error.diagnostics
    return graphs, findings


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
    return f"{parameters:>10,} parameters  {amount(cost):>9} multiply-adds"


def files(written: Written) -> str:
    return " ".join(path.as_posix() for path in written.files)


def written_json(written: Written, findings: list[Diagnostic]) -> dict[str, Any]:
    """What was written, and the warnings and notes of its spec."""
    from resgraph.graph import digest

    graph = written.graph
    return {
        "network": graph.name,
        "spec": graph.file,
        "digest": digest(graph),
        "parameters": graph.total("parameters"),
        "multiply_adds": graph.total("multiply_adds"),
        "files": [path.as_posix() for path in written.files],
        "findings": [as_json(finding) for finding in findings],
    }


COMMANDS = {"compile": compile_command, "check": check_command}
