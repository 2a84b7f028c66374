"""A kind of finding explained, by an example that the compiler is run on."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

from resgraph import codes
from resgraph.compiler import Compiler
from resgraph.diagnostics import (
    Code,
    Diagnostic,
    Example,
    SpecError,
    UsageError,
    render,
)
from resgraph.spec import Sources

FILE = "spec.yaml"
"""What the examples are called."""
AROUND = 2
"""How many lines are shown around the example's own."""


class Given(Sources):
    """Texts alone, and no files."""

    def read(self, path: Path, name: str, root: Path | None = None) -> str:
        """The text of that name. Raises `UsageError`."""
        if name not in self.texts:
            raise UsageError(f"{name}: no such file")
        return self.texts[name]


def specs(example: Example) -> tuple[str, str]:
    """The whole spec with what is wrong, and mended."""
    right = codes.SPEC if example.spec is None else example.spec
    return right.replace(example.right, example.wrong, 1), right


def findings(text: str, by_prove: bool = False) -> list[Diagnostic]:
    """All that `check` finds in a spec that is given as text, and `prove`, if asked."""
    compiler = Compiler(Given({FILE: text}))
    try:
        graphs = compiler.graphs(Path(FILE))
    except SpecError as error:
        return error.diagnostics
    found = compiler.warnings[FILE]
    if not by_prove:
        return found
    from resgraph.prove import prove

    proven = (finding for graph in graphs for finding in prove(graph))
    return [*found, *(f.diagnostic for f in proven if f.code)]


def excerpts(example: Example) -> tuple[str, str]:
    """The lines with what is wrong, and mended, each with a few around them."""
    wrong, right = specs(example)
    first = right[: right.index(example.right)].count("\n")
    return _around(wrong, first, example.wrong), _around(right, first, example.right)


def _around(text: str, first: int, part: str) -> str:
    lines = text.splitlines()
    after = first + part.count("\n") + 1 + AROUND
    return dedent("\n".join(lines[max(0, first - AROUND) : after]))


def told(code: Code) -> str:
    """What `check` or `prove` says of the code's example, as it says it."""
    if code.example is None:
        return ""
    wrong, _ = specs(code.example)
    found = findings(wrong, code.by_prove)
    return "\n".join(render(finding, {FILE: wrong}) for finding in found)


def explanation(code: Code) -> str:
    """What the code means, why it matters, an example, what is said of it, how it is mended."""
    text = f"{code.severity}[{code.name}]: {code.summary}\n{code.why}".rstrip()
    if code.example is None:
        return text
    wrong, right = (indent(lines, "    ") for lines in excerpts(code.example))
    return f"{text}\n\n{wrong}\n\n{told(code)}\n\nmended:\n\n{right}"
