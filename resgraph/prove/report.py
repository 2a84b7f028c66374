"""Findings as text: a block per network, a line per finding, what looks wrong with its lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from resgraph import allow
from resgraph.diagnostics import Diagnostic, Severity, plural, render, told, visible
from resgraph.graph import Graph
from resgraph.graph.sites import listing
from resgraph.prove.finding import Finding

Proof = tuple[Graph, list[Finding]]


@dataclass(frozen=True)
class Judged:
    """What is proved of a spec's networks, by what the spec allows."""

    proofs: list[Proof]
    """The networks with the findings that are not allowed."""
    allowed: list[Proof]
    unused: list[Diagnostic]
    """Notes on items of `allow` that nothing needs."""

    def has(self, *severities: Severity) -> bool:
        """Whether a finding that is not allowed weighs so much."""
        found = chain.from_iterable(findings for _, findings in self.proofs)
        return any(f.level in severities for f in found)


def judge(proofs: Sequence[Proof], whole: bool) -> Judged:
    """Proofs of one spec's networks, by its `allow`. `whole`: of all of its networks, so
    that an item which none of them needs is unused."""
    items = proofs[0][0].allow
    found = [f.diagnostic for _, findings in proofs for f in findings if f.code]
    result = allow.judged(found, items, by_prove=True)
    codes = {each.code for each in result.allowed}
    return Judged(
        [(graph, [f for f in each if f.code not in codes]) for graph, each in proofs],
        [(graph, [f for f in each if f.code in codes]) for graph, each in proofs],
        result.unused if whole else [],
    )


def report(judged: Judged, sources: Mapping[str, str]) -> str:
    """All networks' findings; networks of one spec with equal ones are told together.

    `sources` maps file names to their text, for the excerpts.
    """
    blocks: list[tuple[list[Graph], list[Finding]]] = []
    for graph, findings in judged.proofs:
        if blocks and blocks[-1][1] == findings:
            blocks[-1][0].append(graph)
        else:
            blocks.append(([graph], findings))
    texts = ["\n".join(_block(*block, sources)) for block in blocks]
    ending = [
        *(render(note, dict(sources)) for note in judged.unused),
        *_summary(judged),
    ]
    return "\n\n".join([*texts, "\n".join(ending)])


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
    at = (finding.span, dict(sources) if finding.code else {})
    message = visible(finding.message)
    return told(finding.label, message, *at, finding.hint, finding.notes)


def _summary(judged: Judged) -> Iterator[str]:
    """How many warnings there are, and in which networks; what is allowed."""
    counts = {
        g.name: sum(f.code is not None for f in each) for g, each in judged.proofs
    }
    if any(counts.values()):
        several = [f"{name} {count}" for name, count in counts.items() if count]
        yield f"warnings: {listing(several, most=len(several))}"
    else:
        count = len(counts)
        yield f"{count} {plural(count, 'network')}, no warnings"
    allowed = Counter(f.code.name for _, each in judged.allowed for f in each if f.code)
    if allowed:
        yield f"allowed: {listing([f'{name} {n}' for name, n in allowed.items()])}"
