"""What a spec acknowledges: `allow: [code, ...]`, and which of its findings that covers.

`check` and the compiler judge the codes that they find, `prove` those that it alone finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from resgraph import codes
from resgraph.diagnostics import Code, Diagnostic, Severity, Span, did_you_mean

ALLOWABLE = {
    name: code
    for name, code in codes.CODES.items()
    if code.severity is not Severity.ERROR
}
"""The codes of warnings and notes, by name."""


@dataclass(frozen=True)
class Allow:
    """An item of a spec's `allow`; an inherited one stands in a spec that it extends."""

    code: Code
    span: Span
    inherited: bool = False


@dataclass(frozen=True)
class Judged:
    """Findings by what the spec allows; `unused` has a note for each item without any."""

    told: list[Diagnostic]
    allowed: list[Diagnostic]
    unused: list[Diagnostic]


def read(
    items: Iterable[tuple[str, Span]], file: str
) -> tuple[tuple[Allow, ...], list[Diagnostic]]:
    """What the items allow in the spec at `file`, and a finding for each that cannot."""
    allow: list[Allow] = []
    findings: list[Diagnostic] = []
    for name, span in items:
        if name in ALLOWABLE:
            allow.append(Allow(ALLOWABLE[name], span, inherited=span.file != file))
        else:
            findings.append(_refused(name, span))
    return tuple(allow), findings


def _refused(name: str, span: Span) -> Diagnostic:
    if name in codes.CODES:
        message = f"'{name}' is an error, and only warnings and notes can be allowed"
        hint = f"mend what it is about: resgraph explain {name}"
        return Diagnostic(codes.NOT_ALLOWABLE, message, span, hint)
    hint = did_you_mean(name, ALLOWABLE) or "resgraph explain lists all codes"
    return Diagnostic(codes.UNKNOWN_CODE, f"unknown code '{name}'", span, hint)


def judged(
    findings: Iterable[Diagnostic], allow: Sequence[Allow], by_prove: bool = False
) -> Judged:
    """The findings of one spec, all of its networks together, by what it allows.

    Only the codes that are judged here can be unused: with `by_prove` those that `prove`
    alone finds, else the others. Unused items matter where every pass has run.
    """
    covered = {item.code for item in allow}
    told: list[Diagnostic] = []
    allowed: list[Diagnostic] = []
    for finding in findings:
        (allowed if finding.code in covered else told).append(finding)
    mine = [item for item in allow if item.code.by_prove is by_prove]
    unused = [*_unused(mine, {finding.code for finding in allowed})]
    if codes.UNUSED_ALLOW in covered:
        return Judged(told, [*allowed, *unused], [])
    return Judged(told, allowed, unused)


def _unused(allow: Iterable[Allow], found: set[Code]) -> Iterator[Diagnostic]:
    """A note for each item of this spec that covers nothing, or what another covers."""
    waiting = found | {codes.UNUSED_ALLOW}
    for item in allow:
        if item.code in waiting:
            waiting.remove(item.code)
        elif not item.inherited:
            name = item.code.name
            why = "is allowed twice" if item.code in found else "is not found here"
            message = f"'{name}' {why}, so this allows nothing"
            yield Diagnostic(codes.UNUSED_ALLOW, message, item.span, "remove it")
