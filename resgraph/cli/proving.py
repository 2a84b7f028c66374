"""`prove`."""

from __future__ import annotations

import typer

from resgraph.cli.common import (
    Json,
    Network,
    Set,
    SpecFile,
    say,
    say_json,
    telling_compiler,
)
from resgraph.compiler import parse_settings


def prove_command(
    spec: SpecFile,
    network: Network = None,
    settings: Set = [],  # noqa: B006 (typer reads the default)
    json: Json = False,
) -> None:
    """Say what the topology keeps of the paper's identity mappings, and what looks wrong.

    Identity path and gradient, Eq. (4) and (5); receptive field; depth; and, with exit
    code 1, what is usually a mistake.

    Example: resgraph prove specs/preact_bottleneck.yaml --network resnet164
    """
    from resgraph.prove import Level, prove
    from resgraph.prove.report import report

    compiler = telling_compiler()
    graphs = compiler.graphs(spec, network, parse_settings(settings))
    proofs = [(graph, prove(graph)) for graph in graphs]
    if json:
        say_json(
            [
                {"network": graph.name, "findings": [f.as_json() for f in findings]}
                for graph, findings in proofs
            ]
        )
    else:
        say(report(proofs, compiler.sources.texts))
    if any(f.level is Level.SUSPECT for _, findings in proofs for f in findings):
        raise typer.Exit(1)


COMMANDS = {"prove": prove_command}
