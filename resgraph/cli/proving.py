"""`prove`."""

from __future__ import annotations

from typing import Annotated

import typer

from resgraph.cli.common import (
    Json,
    Network,
    Set,
    SpecFile,
    as_json,
    say,
    say_json,
    telling_compiler,
)
from resgraph.diagnostics import Severity
from resgraph.settings import parse_settings


def prove_command(
    spec: SpecFile,
    network: Network = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 for warnings, too.")
    ] = False,
    json: Json = False,
) -> None:
    """Say what the topology keeps of the paper's identity mappings, and what looks wrong.

    Identity path and gradient, Eq. (4) and (5); receptive field; depth; and, as warnings,
    what is usually a mistake. A spec's `allow` acknowledges them.

    Example: resgraph prove specs/preact_bottleneck.yaml --network resnet164
    """
    from resgraph.prove import prove
    from resgraph.prove.report import judge, report

    compiler = telling_compiler()
    graphs = compiler.graphs(spec, network, parse_settings(settings))
    proofs = [(graph, prove(graph)) for graph in graphs]
    judged = judge(proofs, whole=network is None and not settings)
    if json:
        allowed = {id(f) for _, findings in judged.allowed for f in findings}
        say_json(
            [
                {
                    "network": graph.name,
                    "findings": [f.as_json(id(f) in allowed) for f in findings],
                    "notes": [as_json(note) for note in judged.unused],
                }
                for graph, findings in proofs
            ]
        )
    else:
        say(report(judged, compiler.sources.texts))
    if judged.has(Severity.ERROR, *([Severity.WARNING] if strict else [])):
        raise typer.Exit(1)


COMMANDS = {"prove": prove_command}
