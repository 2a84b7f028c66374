"""What `prove` tells: a finding, and the words that findings share."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from resgraph.diagnostics import Code, Diagnostic, Note, Severity, Span
from resgraph.graph import Node


class Level(StrEnum):
    """What a property of a network means."""

    HOLDS = "holds"
    """A property of the paper that the topology has."""
    BROKEN = "broken"
    """One that it could have, and has not: most variants of the paper choose so."""
    FACT = "fact"
    """A number, a consequence, or what cannot be otherwise where the shape changes."""


class Topic(StrEnum):
    """What a finding is about, in the order of the report."""

    IDENTITY = "identity path"
    GRADIENT = "gradient"
    FIELD = "receptive field"
    DEPTH = "depth"
    MISTAKE = "usually a mistake"


@dataclass(frozen=True)
class Finding:
    """One finding about a network: a property of it, or with a code what looks wrong.

    `where` names the nodes it is about, `stage2.0.h_conv`: of units in a row, the first
    one's. `span` is the line of the spec that decides it.
    """

    kind: Level | Code
    topic: Topic
    message: str
    span: Span
    where: tuple[str, ...] = ()
    hint: str | None = None
    notes: tuple[Note, ...] = field(default=())

    @property
    def code(self) -> Code | None:
        """That of a finding to be judged; none of a property."""
        return self.kind if isinstance(self.kind, Code) else None

    @property
    def level(self) -> Level | Severity:
        """What it means, or how much it weighs."""
        return self.kind.severity if isinstance(self.kind, Code) else self.kind

    @property
    def label(self) -> str:
        """`holds`, or `warning[missing-tail]`."""
        return f"{self.level}[{self.code.name}]" if self.code else self.level.value

    @property
    def diagnostic(self) -> Diagnostic:
        """The same for what judges and tells findings of all kinds. It must have a code."""
        if self.code is None:
            raise ValueError(f"a property of a network is not judged: {self.message}")
        parts = (self.message, self.span, self.hint, self.notes)
        return Diagnostic(self.code, *parts)

    def as_json(self, allowed: bool = False) -> dict[str, Any]:
        """For a program; code and severity are null for what is not to be judged."""
        return {
            "level": self.level.value,
            "code": self.code.name if self.code else None,
            "severity": self.code.severity.value if self.code else None,
            "allowed": allowed,
            "topic": self.topic.value,
            "message": self.message,
            "file": self.span.file,
            "line": self.span.line,
            "col": self.span.col,
            "where": list(self.where),
            "hint": self.hint,
        }


def at(node: Node, span: Span) -> str:
    """`h_conv (30:20)`: the node with its place, where that is not the finding's own."""
    here = node.span
    if here == span:
        return node.name
    place = str(here) if here.file != span.file else f"{here.line}:{here.col}"
    return f"{node.name} ({place})"
