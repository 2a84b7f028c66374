"""What training learns from the spec behind a generated file, where it is there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from resgraph import codes
from resgraph.cli.planning import planner
from resgraph.compiler import Compiler
from resgraph.diagnostics import Diagnostic, ResgraphError, SpecError
from resgraph.provenance import SPEC

if TYPE_CHECKING:
    from resgraph.graph import Graph
    from resgraph.origin import Source
    from resgraph.plan import Planner


@dataclass(frozen=True)
class Behind:
    """The graph and the resolved spec of a generated file; None where there is no spec."""

    graph: Graph | None
    spec: str | None

    @property
    def files(self) -> dict[str, str]:
        """What a run folder keeps of it."""
        return {} if self.spec is None else {SPEC: self.spec}

    @cached_property
    def cuts(self) -> Mapping[str, bool] | None:
        """By unit, whether its f cuts at zero; None where that is not known."""
        from resgraph.prove.cuts import truncating

        return None if self.graph is None else truncating(self.graph)

    def planner(self, budget: str) -> Planner | None:
        """What plans memory within a budget as `--memory-budget` has it.

        Raises `ResgraphError` if an amount is asked for, and there is no spec.
        """
        return planner(self.graph, budget)


def behind(source: Source) -> Behind:
    """The spec behind a generated file that was read."""
    if source.origin is None:
        return Behind(None, None)
    return Behind(source.graph, source.origin.resolved(Compiler()))


def classifying(source: Source) -> Source:
    """The source, whose network tells classes of images apart as far as is known of it.

    Raises `SpecError` at the spec's line where it does not.
    """
    if source.graph is not None:
        refuse_unclassified(source.graph)
    return source


def refuse_unclassified(graph: Graph) -> None:
    """Raise `SpecError` at the spec's line where a network tells no classes of images apart."""
    from resgraph.passes.classes import unclassified
    from resgraph.spec.files import Sources

    finding = _unfed(graph) or unclassified(graph)
    if finding is None or finding.span is None:
        return
    error, sources = SpecError([finding]), Sources()
    with suppress(ResgraphError):
        sources.read(Path(finding.span.file), finding.span.file)
    error.sources = sources.texts
    raise error


def _unfed(graph: Graph) -> Diagnostic | None:
    """A finding where the network takes no images: what it ends in does not matter then."""
    from resgraph.data.source import of_images

    try:
        of_images(graph.input)
    except ResgraphError as error:
        span = graph.program.input_span
        return Diagnostic(codes.WRONG_RANK, error.message, span, error.hint)
    return None
