"""Findings as text: a block per network, a line per finding, suspects with their lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from resgraph.diagnostics import told, visible
from resgraph.graph import Graph
from resgraph.prove.finding import Finding, Level, listing

Proof = tuple[Graph, list[Finding]]


def report(proofs: Sequence[Proof], sources: Mapping[str, str]) -> str:
    """All networks' findings; networks of one spec with equal ones are told together.

    `sources` maps file names to their text, for the excerpts.
    """
    blocks: list[tuple[list[Graph], list[Finding]]] = []
    for graph, findings in proofs:
        if blocks and blocks[-1][1] == findings:
            blocks[-1][0].append(graph)
        else:
            blocks.append(([graph], findings))
    texts = ["\n".join(_block(*block, sources)) for block in blocks]
    return "\n\n".join([*texts, _summary(proofs)])


def _block(
    graphs: Sequence[Graph], findings: Sequence[Finding], sources: Mapping[str, str]
) -> Iterator[str]:
    names = listing([graph.name for graph in graphs], most=len(graphs))
    yield visible(f"{names}: {graphs[0].title}")
    for topic, group in groupby(findings, lambda finding: finding.topic):
        yield f"\n{topic}"
        for finding in group:
            yield _line(finding, sources)


def _line(finding: Finding, sources: Mapping[str, str]) -> str:
    """The finding as diagnostics are told; an excerpt only where something is to be mended."""
    shown = dict(sources) if finding.level is Level.SUSPECT else {}
    at = (finding.span, shown)
    message = visible(finding.message)
    return told(finding.level.value, message, *at, finding.hint, finding.notes)


def _summary(proofs: Sequence[Proof]) -> str:
    """How many of the findings are suspect, and in which networks."""
    counts = {
        graph.name: sum(f.level is Level.SUSPECT for f in findings)
        for graph, findings in proofs
    }
    if not any(counts.values()):
        count = len(proofs)
        return f"{count} network{'s' * (count != 1)}, nothing suspect"
    told = [f"{name} {count}" for name, count in counts.items() if count]
    return f"suspect: {listing(told, most=len(told))}"
