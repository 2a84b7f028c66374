"""What a verification found: one check after the other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from resgraph.diagnostics import Span


class Verdict(StrEnum):
    """How a check ended."""

    passed = "passed"
    failed = "failed"
    unproven = "not proven"
    """Equal in numbers, and of another structure as far as the rules know; or numbers of a
    network that are not finite, so that there is nothing to compare."""
    skipped = "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that was compared, with what, and what came out."""

    name: str
    verdict: Verdict
    detail: str
    span: Span | None = None
    """Where the spec has the node at fault."""

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        place = None
        if self.span is not None:
            place = {
                "file": self.span.file,
                "line": self.span.line,
                "col": self.span.col,
            }
        return {
            "check": self.name,
            "verdict": self.verdict.value,
            "detail": self.detail,
            "place": place,
        }


def passed(name: str, detail: str) -> Check:
    return Check(name, Verdict.passed, detail)


def failed(name: str, detail: str, span: Span | None = None) -> Check:
    return Check(name, Verdict.failed, detail, span)


def unproven(name: str, detail: str, span: Span | None = None) -> Check:
    return Check(name, Verdict.unproven, detail, span)


def skipped(name: str, why: str) -> Check:
    return Check(name, Verdict.skipped, why)
