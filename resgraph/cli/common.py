"""What the commands share: options, output, and the way that errors are told."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resgraph.diagnostics import (
    Diagnostic,
    ResgraphError,
    SpecError,
    UsageError,
)

if TYPE_CHECKING:
    from rich.console import Console

Specs = Annotated[
    list[Path],
    typer.Argument(help="Spec files.", metavar="SPEC...", show_default=False),
]
SpecFile = Annotated[
    Path, typer.Argument(help="A spec file.", metavar="SPEC", show_default=False)
]
Network = Annotated[
    str | None, typer.Option("--network", help="Only this one of the spec's networks.")
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a parameter: --set depth=1001."
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The output folder.")]
SPEC = "spec.yaml"
"""The run folder's copy of the resolved spec, from which `export` compiles."""
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


def say(text: str = "") -> None:
    """A line of result, on stdout."""
    print(text)


def say_json(value: Any) -> None:
    """A result for a program, on stdout."""
    print(json.dumps(value, indent=2))


def console() -> Console:
    """For tables and progress, on stdout; plain text where that is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 100
    return Console(width=width, highlight=False, soft_wrap=False)


def warn(text: str) -> None:
    """What the user should know beside the result, on stderr."""
    print(f"note: {text}", file=sys.stderr)


def require_file(path: Path) -> None:
    """Raise `UsageError` unless the file is there, before anything heavy is imported."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file")
    if not path.is_file():
        raise UsageError(f"{path}: no such file")


def tell(error: ResgraphError) -> None:
    """The error and its hint, on stderr; a spec's findings with their lines.

    Of several processes that torchrun started, each says which it is.
    """
    if isinstance(error, SpecError):
        count = len(error.diagnostics)
        for line in (*error.lines(), f"{count} finding{'s' * (count != 1)}"):
            _paint(line)
        return
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    rank = f"rank {os.environ.get('RANK')}: " if ranks > 1 else ""
    first, *others = error.lines()
    for line in (f"{rank}{first}", *others):
        _paint(line)


_COLOURS = {
    "error": "\033[1;31m",
    "warning": "\033[1;33m",
    "note": "\033[36m",
    "hint": "\033[32m",
}
_LABEL = re.compile(r"(?<!\S)(error|warning|note|hint)(\[[a-z-]+\])?: ")


def _paint(line: str) -> None:
    """Colour the word that says what the line is, on a terminal that shows colours."""
    if sys.stderr.isatty():
        line = _LABEL.sub(lambda m: f"{_COLOURS[m[1]]}{m[0]}\033[0m", line, count=1)
    print(line, file=sys.stderr)


def as_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """A diagnostic as JSON: code, severity, message, span, hint, notes."""
    about = {"code": diagnostic.code.name, "severity": diagnostic.severity.value}
    return dataclasses.asdict(diagnostic) | about
