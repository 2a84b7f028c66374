"""The page of all findings: the catalogue, each code with its example as it is told."""

from __future__ import annotations

from collections.abc import Iterator

from resgraph.codes import CODES
from resgraph.diagnostics import Code
from resgraph.explain import excerpts, told


def page() -> str:
    """A table of all codes, and a section for each."""
    rows = [_row(code) for code in CODES.values()]
    table = ["| code | severity | |", "|---|---|---|", *rows, ""]
    return "\n".join([*table, *(line for c in CODES.values() for line in _section(c))])


def _row(code: Code) -> str:
    mark = " (`prove`)" if code.by_prove else ""
    link = f"[`{code.name}`](#{code.name})"
    return f"| {link} | {code.severity}{mark} | {code.summary} |"


def _section(code: Code) -> Iterator[str]:
    yield f"## {code.name}\n"
    yield f"{code.severity.title()}. {code.summary} {code.why}\n"
    if code.example is not None:
        wrong, right = excerpts(code.example)
        yield f"```yaml\n{wrong}\n```\n"
        yield f"```text\n{told(code)}\n```\n"
        yield f"Mended:\n\n```yaml\n{right}\n```\n"
