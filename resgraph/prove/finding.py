"""What `prove` tells: a finding, and the words that findings share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from resgraph.diagnostics import Note, Span
from resgraph.graph import Node

LISTED = 6
"""How many names or places a message lists before it says how many more there are."""


class Level(StrEnum):
    """What a finding means."""

    HOLDS = "holds"
    """A property of the paper that the topology has."""
    BROKEN = "broken"
    """A property of the paper that it does not have: a fact, not a fault."""
    FACT = "fact"
    SUSPECT = "suspect"
    """Usually a mistake."""


class Topic(StrEnum):
    """What a finding is about, in the order of the report."""

    IDENTITY = "identity path"
    GRADIENT = "gradient"
    FIELD = "receptive field"
    DEPTH = "depth"
    MISTAKE = "usually a mistake"


@dataclass(frozen=True)
class Finding:
    """One finding about a network.

    `where` names the nodes it is about, `stage2.0.h_conv`: of units in a row, the first
    one's. `span` is the line of the spec that decides it.
    """

    level: Level
    topic: Topic
    message: str
    span: Span
    where: tuple[str, ...] = ()
    hint: str | None = None
    notes: tuple[Note, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """For a program: level, topic, message, file, line, col, where, hint."""
        return {
            "level": self.level.value,
            "topic": self.topic.value,
            "message": self.message,
            "file": self.span.file,
            "line": self.span.line,
            "col": self.span.col,
            "where": list(self.where),
            "hint": self.hint,
        }


def listing(items: Sequence[str], last: str = ", ", most: int = LISTED) -> str:
    """`a, b, c`, or `a, b and c`; a long list is cut."""
    if len(items) > most:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])}{last}{items[-1]}"


def at(node: Node, span: Span) -> str:
    """`h_conv (30:20)`: the node with its place, where that is not the finding's own."""
    here = node.span
    if here == span:
        return node.name
    place = str(here) if here.file != span.file else f"{here.line}:{here.col}"
    return f"{node.name} ({place})"
