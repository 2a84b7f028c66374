"""Where things stand in the spec's files, and what was found there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from resgraph.diagnostics import Diagnostic, Note, Span, visible
from resgraph.graph import Graph
from resgraph.prove import Finding, prove

Place = list[int]
"""A span for the page: file's number, line, column, last line, column behind the end."""


class Files:
    """The files that spans are in, by number."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts
        self.numbers = {name: i for i, name in enumerate(texts)}

    def place(self, span: Span | None) -> Place | None:
        """The span; None where its file was not read."""
        if span is None or span.file not in self.numbers:
            return None
        number = self.numbers[span.file]
        return [number, span.line, span.col, span.end_line, span.end_col]

    def as_json(self) -> list[dict[str, Any]]:
        """Names and lines, what cannot be printed replaced one for one."""
        return [
            {"name": visible(name), "lines": [visible(t) for t in text.splitlines()]}
            for name, text in self.texts.items()
        ]


def of_check(diagnostic: Diagnostic, files: Files, where: list[str]) -> dict[str, Any]:
    """A finding of `check`; `where` are the ops and units that it is about."""
    return {
        "level": diagnostic.severity.value,
        "code": diagnostic.code.name,
        "topic": "check",
        "message": visible(diagnostic.message),
        "place": files.place(diagnostic.span),
        "hint": visible(diagnostic.hint or ""),
        "notes": _notes(diagnostic.notes, files),
        "where": where,
        "networks": None,
    }


def of_prove(graphs: Sequence[Graph], files: Files) -> list[dict[str, Any]]:
    """The findings of `prove` that are not allowed, each once, with the numbers of the networks it is about."""
    found: dict[Finding, list[int]] = {}
    for number, graph in enumerate(graphs):
        allowed = {item.code for item in graph.allow}
        for finding in prove(graph):
            if finding.code not in allowed:
                found.setdefault(finding, []).append(number)
    return [_finding(each, numbers, files) for each, numbers in found.items()]


def _finding(finding: Finding, numbers: list[int], files: Files) -> dict[str, Any]:
    return {
        "level": finding.level.value,
        "code": finding.code.name if finding.code else None,
        "topic": finding.topic.value,
        "message": visible(finding.message),
        "place": files.place(finding.span),
        "hint": visible(finding.hint or ""),
        "notes": _notes(finding.notes, files),
        "where": [*finding.where],
        "networks": numbers,
    }


def _notes(notes: Iterable[Note], files: Files) -> list[dict[str, Any]]:
    return [
        {"message": visible(note.message), "place": files.place(note.span)}
        for note in notes
    ]
